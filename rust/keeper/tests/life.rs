//! An instance's life in a real keeper: started, restarted by its policy, given up, removed.

// Helpers outside of test functions fail by panicking too.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::process::Command;

use backstay_supervisor::event::InstanceState;
use backstay_supervisor::spec::{RestartCondition, RestartPolicy};
use backstay_supervisor::wire::message::Refusal;
use backstay_supervisor::{KeeperError, KeeperEvent};
use rustix::process::Signal;
use support::{Keeper, SECRET, eventually, kill, read, runs, script, waiting_for};

fn restarting(max_attempts: Option<u32>) -> RestartPolicy {
    RestartPolicy {
        condition: RestartCondition::Always,
        max_attempts,
        delay_ms: 20,
        max_delay_ms: 60_000,
        window_ms: 60_000,
    }
}

#[tokio::test]
async fn an_instance_has_its_own_environment_session_and_streams_and_nothing_else() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let look = r#"
import json, os
def is_open(fd):
    try: return bool(os.fstat(fd))
    except OSError: return False
environment = open("/proc/self/environ").read().rstrip("\0").split("\0")
print(json.dumps({
    "environment": sorted(variable.split("=")[0] for variable in environment),
    "secrets": [variable for variable in environment if "hunter2" in variable],
    "descriptors": [fd for fd in range(100) if is_open(fd)],
    "leads": os.getsid(0) == os.getpid() == os.getpgid(0),
    "stdin": os.readlink("/proc/self/fd/0"),
    "umask": os.umask(0),
}))
"#;
    let mut spec = script("clean.1", "");
    // The program itself: what is called `python3` may be a wrapper that sets variables.
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .unwrap();
    let python = String::from_utf8(asked.stdout).unwrap();
    spec.argv = [python.trim_end(), "-c", look].map(str::to_owned).into();
    spec.env.insert("GREETING".to_owned(), "hello".to_owned());
    daemon.start(spec).await;
    daemon.exited().await;
    let log = keeper.log("clean.1");
    let seen: serde_json::Value = serde_json::from_str(log.split_once(" out ").unwrap().1).unwrap();
    let expected = serde_json::json!({
        "environment": ["BACKSTAY_INSTANCE", "BACKSTAY_KEEPER", "GREETING", "PATH"],
        "secrets": [],
        "descriptors": [0, 1, 2],
        "leads": true,
        "stdin": "/dev/null",
        "umask": 0o022,
    });
    assert_eq!(
        seen, expected,
        "the keeper has {SECRET}, descriptor 9 and a mask of its own"
    );
}

#[tokio::test]
async fn one_that_ends_is_restarted_at_once_then_ever_later_then_given_up_with_its_last_words() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script("falls.1", "echo about to fall; echo why >&2; exit 3");
    spec.restart = restarting(Some(3));
    daemon.client.start(spec).await.unwrap();
    let mut delays = Vec::new();
    for restarts in 0..3 {
        assert_eq!(daemon.spawned().await.restarts, restarts);
        let (code, signal, restart) = daemon.exited().await;
        assert_eq!((code, signal), (Some(3), None));
        delays.push(restart.unwrap());
    }
    assert_eq!(delays[0], 0);
    assert!((15..=25).contains(&delays[1]), "{delays:?}");
    assert!((30..=50).contains(&delays[2]), "{delays:?}");
    daemon.spawned().await;
    assert_eq!(daemon.exited().await, (Some(3), None, None));
    let (reason, tail) = daemon.failed().await;
    assert_eq!(
        reason,
        "it exited with code 3, after being restarted 3 times"
    );
    let mut lines: Vec<_> = tail.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["about to fall", "why"]);
    let view = daemon.view("falls.1").await;
    assert_eq!(
        (view.state, view.pid, view.restarts),
        (InstanceState::Failed, None, 3)
    );
}

#[tokio::test]
async fn a_killed_one_says_which_signal_it_was_and_comes_back() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script("victim.1", "exec sleep 1000");
    spec.restart = restarting(None);
    let first = daemon.start(spec).await;
    daemon.ready().await;
    kill(first.pid, Signal::SEGV);
    assert_eq!(
        daemon.exited().await,
        (None, Some("SIGSEGV".to_owned()), Some(0))
    );
    let second = daemon.spawned().await;
    assert_ne!(first.pid, second.pid);
    assert!(runs(second.pid));
}

#[tokio::test]
async fn one_that_is_done_is_completed() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script("migrate.1", "exit 0");
    spec.restart.condition = RestartCondition::OnFailure;
    daemon.start(spec).await;
    assert_eq!(daemon.exited().await, (Some(0), None, None));
    assert_eq!(daemon.state("migrate.1").await, InstanceState::Completed);
}

#[tokio::test]
async fn what_cannot_be_run_fails_once_and_says_what_is_wrong() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let file = |name: &str, text: &str, mode: u32| {
        let path = keeper.dir().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        (
            "missing.1",
            "no-such-program".to_owned(),
            "`no-such-program` was not found in PATH (",
        ),
        (
            "absent.1",
            "/opt/none/prog".to_owned(),
            "`/opt/none/prog` was not found in /opt/none",
        ),
        (
            "plain.1",
            file("plain", "#!/bin/sh\n", 0o600),
            "plain is not executable",
        ),
        (
            "script.1",
            file("script", "#!/no/such/node --flag\n", 0o700),
            "needs `/no/such/node`, which was not found",
        ),
        (
            "noise.1",
            file("noise", "\x01\x02\x03", 0o700),
            "is neither a program for this machine nor a script",
        ),
    ];
    for (name, program, expected) in cases {
        let mut spec = script(name, "");
        spec.argv = vec![program];
        spec.restart = restarting(None);
        daemon.client.start(spec).await.unwrap();
        let (reason, _) = daemon.failed().await;
        assert!(reason.contains(expected), "{name}: {reason}");
        assert!(keeper.log(name).contains(expected), "it is in the log too");
    }
    let mut spec = script("nowhere.1", "true");
    spec.working_dir = PathBuf::from("/no/such/place");
    daemon.client.start(spec).await.unwrap();
    assert_eq!(
        daemon.failed().await.0,
        "the working directory /no/such/place is not a directory"
    );
}

#[tokio::test]
async fn a_relative_program_is_found_from_the_working_directory() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    std::os::unix::fs::symlink("/bin/sh", keeper.dir().join("shell")).unwrap();
    let mut spec = script("relative.1", "exit 7");
    spec.argv[0] = "./shell".to_owned();
    spec.working_dir = keeper.dir().to_owned();
    daemon.start(spec).await;
    assert_eq!(daemon.exited().await.0, Some(7));
}

#[tokio::test]
async fn starting_twice_by_one_spec_is_once_and_by_another_is_refused() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let spec = script("web.1", "exec sleep 1000");
    let first = daemon.start(spec.clone()).await;
    daemon.client.start(spec.clone()).await.unwrap();
    let mut next = spec.clone();
    next.revision = 2;
    let refused = daemon.client.start(next.clone()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            KeeperError::Refused(Refusal::AlreadyRunning { revision: 1, .. })
        ),
        "{refused}"
    );
    assert_eq!(daemon.view("web.1").await.pid, Some(first.pid));
    // Ordered to stop, it may be told its next life at once.
    daemon.client.stop("web.1").await.unwrap();
    daemon.client.start(next).await.unwrap();
    daemon.stopped().await;
    daemon.spawned().await;
    assert_eq!(daemon.view("web.1").await.revision, 2);
    assert!(!runs(first.pid));
}

#[tokio::test]
async fn a_restart_on_order_counts_from_zero_and_a_removed_one_is_forgotten() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script("web.1", "exec sleep 1000");
    spec.restart = restarting(None);
    let first = daemon.start(spec).await;
    kill(first.pid, Signal::KILL);
    assert_eq!(daemon.spawned().await.restarts, 1);
    daemon.client.restart("web.1").await.unwrap();
    daemon.stopped().await;
    let third = daemon.spawned().await;
    assert_eq!(third.restarts, 0);
    daemon.client.remove("web.1").await.unwrap();
    daemon
        .until("removal", |event| {
            matches!(event, KeeperEvent::Removed { .. }).then_some(())
        })
        .await;
    assert!(!runs(third.pid));
    assert!(daemon.client.list().await.unwrap().is_empty());
    let gone = daemon.client.stop("web.1").await.unwrap_err();
    assert!(
        matches!(gone, KeeperError::Refused(Refusal::UnknownInstance { .. })),
        "{gone}"
    );
}

#[tokio::test]
async fn a_stop_while_waiting_for_a_restart_ends_the_waiting() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script("falls.1", "exit 1");
    spec.restart = RestartPolicy {
        delay_ms: 60_000,
        ..restarting(None)
    };
    daemon.client.start(spec).await.unwrap();
    daemon.exited().await;
    let (_, _, restart) = daemon.exited().await;
    assert!(restart.unwrap() > 40_000);
    assert_eq!(daemon.state("falls.1").await, InstanceState::Backoff);
    daemon.client.stop("falls.1").await.unwrap();
    daemon.stopped().await;
    assert_eq!(daemon.state("falls.1").await, InstanceState::Stopped);
}

#[tokio::test]
async fn signals_reach_the_main_process_by_any_spelling() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    daemon
        .start(script("waits.1", &waiting_for("HUP", "sys.exit(5)")))
        .await;
    eventually("it to wait", || keeper.log("waits.1").contains("up")).await;
    let wrong = daemon
        .client
        .signal("waits.1", "SIGNOPE")
        .await
        .unwrap_err();
    assert!(
        matches!(wrong, KeeperError::Refused(Refusal::Signal { .. })),
        "{wrong}"
    );
    daemon.client.signal("waits.1", "hup").await.unwrap();
    assert_eq!(daemon.exited().await.0, Some(5));
    let late = daemon.client.signal("waits.1", "HUP").await.unwrap_err();
    assert!(
        matches!(late, KeeperError::Refused(Refusal::NotRunning { .. })),
        "{late}"
    );
}

#[tokio::test]
async fn what_an_exit_leaves_behind_is_killed_and_orphans_are_reaped() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let pids = keeper.dir().join("pids");
    // Three ways out: a plain child, one in its own session, and an orphan that ended long ago.
    let text = format!(
        "sleep 1000 & echo $! > {pids}; setsid sh -c 'echo $$ >> {pids}; exec sleep 1000' & (sleep 0 &) ; \
         while [ $(wc -l < {pids}) -lt 2 ]; do :; done; kill -9 $$",
        pids = pids.display()
    );
    daemon.start(script("parent.1", &text)).await;
    assert_eq!(daemon.exited().await.1, Some("SIGKILL".to_owned()));
    let left: Vec<i32> = read(&pids)
        .lines()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(left.len(), 2);
    for pid in left {
        assert!(!runs(pid), "{pid} outlived its instance");
    }
    let keeper_pid = keeper.pid();
    eventually("all zombies to be reaped", || {
        let census = backstay_supervisor::census::Census::look();
        census.descendants(keeper_pid).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_spec_that_makes_no_sense_is_refused_and_nothing_is_held() {
    let keeper = Keeper::start();
    let daemon = keeper.adopt().await;
    let refused = daemon
        .client
        .start(script("../etc", "true"))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, KeeperError::Refused(Refusal::Spec { .. })),
        "{refused}"
    );
    let mut huge = script("huge.1", "true");
    huge.env.insert("X".to_owned(), "x".repeat(2 << 20));
    let refused = daemon.client.start(huge).await.unwrap_err();
    assert!(refused.to_string().contains("over the limit"), "{refused}");
    assert!(daemon.client.list().await.unwrap().is_empty());
}
