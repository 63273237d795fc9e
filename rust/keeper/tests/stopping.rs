//! Ending instances, the unwilling too, and ending the keeper.

// Helpers outside of test functions fail by panicking too.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Instant;

use backstay_supervisor::KeeperEvent;
use backstay_supervisor::spec::{Stdio, StopPolicy};
use rustix::process::Signal;
use support::{Keeper, eventually, read, runs, script, waiting_for};

#[tokio::test]
async fn a_stdio_server_is_asked_by_end_of_file_first() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script(
        "files.1",
        "trap 'echo TERM came >&2' TERM; cat; echo saw the end >&2",
    );
    spec.stdio = Stdio::Mcp;
    spec.stop.eof = true;
    let start = daemon.start(spec).await;
    daemon.client.stop("files.1").await.unwrap();
    // Our own end of its input is a write end too.
    daemon
        .until("the request to let go", |event| {
            matches!(event, KeeperEvent::Stopping { .. }).then_some(())
        })
        .await;
    assert!(runs(start.pid));
    drop(start.pipes);
    daemon.stopped().await;
    assert!(
        keeper.log("files.1").ends_with("err saw the end\n"),
        "{}",
        keeper.log("files.1")
    );
}

#[tokio::test]
async fn a_server_that_ignores_end_of_file_gets_the_signal() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script(
        "deaf.1",
        &waiting_for("INT", "print('INT came', file=sys.stderr)"),
    );
    spec.stdio = Stdio::Mcp;
    spec.stop = StopPolicy {
        eof: true,
        eof_grace_ms: 50,
        signal: "SIGINT".to_owned(),
        ..spec.stop
    };
    daemon.start(spec).await;
    eventually("the trap", || keeper.log("deaf.1").contains("up")).await;
    daemon.client.stop("deaf.1").await.unwrap();
    daemon.stopped().await;
    assert!(keeper.log("deaf.1").contains("INT came"));
}

#[tokio::test]
async fn one_that_ignores_every_request_is_killed_with_all_that_hide_from_it() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let pids = keeper.dir().join("pids");
    // A child that ignores TERM, a grandchild in its own session that ignores it, and one
    // in its own session that has lost its environment besides.
    let text = format!(
        "trap '' TERM; \
         sh -c 'echo $$ >> {pids}; while :; do sleep 1000; done' & \
         setsid sh -c 'echo $$ >> {pids}; while :; do sleep 1000; done' & \
         env -i setsid /bin/sh -c 'echo $$ >> {pids}; while :; do /bin/sleep 1000; done' & \
         echo $$ >> {pids}; while :; do sleep 1000; done",
        pids = pids.display()
    );
    let mut spec = script("hydra.1", &text);
    spec.stop.grace_ms = 100;
    daemon.start(spec).await;
    eventually("all four to run", || read(&pids).lines().count() == 4).await;
    let heads: Vec<i32> = read(&pids)
        .lines()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(heads.iter().all(|pid| runs(*pid)));
    daemon.client.stop("hydra.1").await.unwrap();
    daemon.stopped().await;
    for pid in heads {
        assert!(!runs(pid), "{pid} is alive");
    }
}

#[tokio::test]
async fn children_of_a_willing_parent_are_asked_before_they_are_killed() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    // Like `npx`: the wrapper dies of the signal and does not pass it on.
    let child = waiting_for("TERM", "print('child asked')");
    let text = format!("sh -c '{}' & wait", child.replace('\'', "'\\''"));
    daemon.start(script("wrapper.1", &text)).await;
    eventually("the child", || keeper.log("wrapper.1").contains("up")).await;
    let began = Instant::now();
    daemon.client.stop("wrapper.1").await.unwrap();
    daemon.stopped().await;
    assert!(
        keeper.log("wrapper.1").contains("child asked"),
        "{}",
        keeper.log("wrapper.1")
    );
    assert!(
        began.elapsed().as_secs() < 15,
        "the grace period of 20 s was not waited out"
    );
}

#[tokio::test]
async fn one_that_has_shed_session_and_environment_is_found_though_its_parent_ended_first() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let pid = keeper.dir().join("pid");
    let hidden = format!("echo $$ > {}; exec /bin/sleep 1000", pid.display());
    let text = format!("env -i setsid /bin/sh -c '{hidden}' & exec sleep 1000");
    daemon.start(script("parent.1", &text)).await;
    eventually("the hidden one", || read(&pid).ends_with('\n')).await;
    let hidden: i32 = read(&pid).trim().parse().unwrap();
    daemon.client.stop("parent.1").await.unwrap();
    daemon.stopped().await;
    assert!(!runs(hidden), "{hidden} is alive");
}

#[tokio::test]
async fn a_kill_ends_the_waiting_for_a_stop() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script(
        "stubborn.1",
        "trap '' TERM; echo up; while :; do sleep 1000; done",
    );
    spec.stop.grace_ms = 3_600_000;
    daemon.start(spec).await;
    eventually("the trap", || keeper.log("stubborn.1").contains("up")).await;
    daemon.client.stop("stubborn.1").await.unwrap();
    daemon
        .until("stopping", |event| {
            matches!(event, KeeperEvent::Stopping { .. }).then_some(())
        })
        .await;
    daemon.client.signal("stubborn.1", "KILL").await.unwrap();
    // Its child is asked for the rest of the grace period, and does as asked.
    daemon.stopped().await;
}

#[tokio::test]
async fn sigterm_ends_the_fleet_in_reverse_and_leaves_nothing() {
    let mut keeper = Keeper::start_with(&["--unix", "control=control.sock"]);
    let mut daemon = keeper.adopt().await;
    let order = keeper.dir().join("order");
    let mut pids = Vec::new();
    for name in ["db.1", "web.1", "web.2", "job.1"] {
        let text = waiting_for(
            "TERM",
            &format!("open('{}', 'a').write('{name}\\n')", order.display()),
        );
        pids.push(daemon.start(script(name, &text)).await.pid);
        eventually("the trap", || keeper.log(name).contains("up")).await;
    }
    keeper.signal(Signal::TERM);
    assert_eq!(keeper.exited().await, Some(0));
    let ended = read(&order);
    let services: Vec<_> = ended
        .lines()
        .map(|name| name.split('.').next().unwrap())
        .collect();
    assert_eq!(services, ["job", "web", "web", "db"]);
    assert!(pids.into_iter().all(|pid| !runs(pid)));
    for file in ["run/keeper.sock", "run/keeper.json", "control.sock"] {
        assert!(!keeper.dir().join(file).exists(), "{file} is left");
    }
    daemon
        .until("the loss", |event| {
            matches!(event, KeeperEvent::Lost).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_daemon_that_asks_for_shutdown_hears_it_to_the_end() {
    let mut keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    daemon.start(script("web.1", "exec sleep 1000")).await;
    daemon.client.shutdown().await.unwrap();
    let refused = daemon
        .client
        .start(script("late.1", "true"))
        .await
        .unwrap_err();
    let closing = ["shutting down", "lost"];
    assert!(
        closing
            .iter()
            .any(|word| refused.to_string().contains(word)),
        "{refused}"
    );
    daemon.stopped().await;
    daemon
        .until("the loss", |event| {
            matches!(event, KeeperEvent::Lost).then_some(())
        })
        .await;
    assert_eq!(keeper.exited().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_anyone() {
    let mut keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script(
        "stubborn.1",
        "trap '' TERM; echo up; while :; do sleep 1000; done",
    );
    spec.stop.grace_ms = 3_600_000;
    let start = daemon.start(spec).await;
    eventually("the trap", || keeper.log("stubborn.1").contains("up")).await;
    keeper.signal(Signal::TERM);
    daemon
        .until("stopping", |event| {
            matches!(event, KeeperEvent::Stopping { .. }).then_some(())
        })
        .await;
    keeper.signal(Signal::INT);
    assert_eq!(keeper.exited().await, Some(0));
    assert!(!runs(start.pid));
}
