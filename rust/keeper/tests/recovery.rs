//! Who survives whom: daemons die and come back, keepers are killed.

// Helpers outside of test functions fail by panicking too.
#![allow(clippy::unwrap_used)]

mod support;

use backstay_supervisor::event::InstanceState;
use backstay_supervisor::spec::{RestartCondition, Stdio};
use backstay_supervisor::wire::frame::Frame;
use backstay_supervisor::wire::socket;
use backstay_supervisor::{InstanceView, KeeperClient, KeeperError, KeeperEvent, McpPipes};
use rustix::process::Signal;
use support::{Daemon, Keeper, eventually, kill, read, runs, script};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;

/// What a daemon finds when it connects.
#[derive(Default)]
struct Found {
    replayed: Vec<KeeperEvent>,
    adopted: Vec<(InstanceView, Option<McpPipes>, Vec<u8>)>,
}

async fn take_over(daemon: &mut Daemon) -> Found {
    let mut found = Found::default();
    loop {
        let reported = daemon.next().await;
        match reported.event {
            KeeperEvent::AdoptedAll => return found,
            KeeperEvent::Adopted {
                instance,
                pipes,
                note,
            } => found.adopted.push((instance, pipes, note)),
            other => {
                assert!(
                    reported.replayed,
                    "{other:?} is no news before the list is complete"
                );
                found.replayed.push(other);
            }
        }
    }
}

/// Says a line to a stdio server and hears its answer.
async fn exchange(pipes: &McpPipes, line: &str) -> String {
    let mut stdin = pipe::Sender::from_owned_fd(pipes.stdin.try_clone().unwrap()).unwrap();
    let stdout = pipe::Receiver::from_owned_fd(pipes.stdout.try_clone().unwrap()).unwrap();
    stdin
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    support::within("an answer", BufReader::new(stdout).read_line(&mut answer))
        .await
        .unwrap();
    answer.trim_end().to_owned()
}

/// A server that remembers all it was ever told.
const MEMORY: &str = "n=; while read line; do n=\"$n $line\"; echo \"$n\"; done";

#[tokio::test]
async fn a_new_daemon_finds_the_same_processes_with_their_memory_pipes_journal_and_notes() {
    let keeper = Keeper::start();
    let mut first = keeper.adopt().await;
    let mut spec = script("memory.1", MEMORY);
    spec.stdio = Stdio::Mcp;
    let start = first.start(spec).await;
    first.ready().await;
    let plain = first.start(script("web.1", "exec sleep 1000")).await;
    let pipes = start.pipes.unwrap();
    assert_eq!(exchange(&pipes, "one").await, " one");
    rustix::io::write(&pipes.journal, b"half").unwrap();
    first
        .client
        .set_note("memory.1", Some(start.pid), b"handshake"[..].into())
        .await
        .unwrap();
    first
        .client
        .set_note("memory.1", Some(start.pid - 1), b"stale"[..].into())
        .await
        .unwrap();
    // As good as kill -9: every descriptor of the first daemon closes.
    drop((first, pipes));

    let mut second = keeper.connect().await;
    let found = take_over(&mut second).await;
    let [(memory, pipes, note), (web, no_pipes, _)] = &found.adopted[..] else {
        panic!("{:?}", found.adopted)
    };
    assert_eq!(
        (memory.name.as_str(), memory.pid),
        ("memory.1", Some(start.pid))
    );
    assert_eq!(
        (web.name.as_str(), web.pid, web.state),
        ("web.1", Some(plain.pid), InstanceState::Ready)
    );
    assert!(no_pipes.is_none());
    assert_eq!(note, b"handshake");
    let pipes = pipes.as_ref().unwrap();
    assert_eq!(
        exchange(pipes, "two").await,
        " one two",
        "it is the same process, and remembers"
    );
    // The journal's offset went on where the first daemon left it.
    assert_eq!(rustix::fs::tell(&pipes.journal).unwrap(), 4);
}

#[tokio::test]
async fn a_restarted_server_has_fresh_pipes_an_empty_journal_and_no_note() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let mut spec = script("memory.1", MEMORY);
    spec.stdio = Stdio::Mcp;
    spec.restart.condition = RestartCondition::Always;
    let start = daemon.start(spec).await;
    rustix::io::write(&start.pipes.as_ref().unwrap().journal, b"half").unwrap();
    daemon
        .client
        .set_note("memory.1", None, b"old"[..].into())
        .await
        .unwrap();
    kill(start.pid, Signal::KILL);
    let again = daemon.spawned().await;
    let pipes = again.pipes.unwrap();
    assert_eq!(exchange(&pipes, "one").await, " one");
    assert_eq!(rustix::fs::fstat(&pipes.journal).unwrap().st_size, 0);
    let mut next = keeper.connect().await;
    assert_eq!(take_over(&mut next).await.adopted[0].2, b"");
}

#[tokio::test]
async fn instances_are_restarted_with_no_daemon_and_the_next_one_hears_of_it() {
    let keeper = Keeper::start();
    let mut first = keeper.adopt().await;
    let mut spec = script("web.1", "exec sleep 1000");
    spec.restart.condition = RestartCondition::Always;
    let start = first.start(spec).await;
    first.ready().await;
    drop(first);
    eventually("the daemon to be gone", || {
        keeper.log("keeper").contains("disconnected")
    })
    .await;
    kill(start.pid, Signal::KILL);
    eventually("the restart", || {
        let pid = &keeper.records()["instances"]["web.1"]["pid"];
        pid.as_i64().is_some_and(|pid| pid != i64::from(start.pid))
    })
    .await;

    let mut second = keeper.connect().await;
    let found = take_over(&mut second).await;
    let kinds: Vec<_> = found
        .replayed
        .iter()
        .map(|event| match event {
            KeeperEvent::Exited { pid, .. } => ("exited", *pid),
            KeeperEvent::Spawned {
                pid, pipes: None, ..
            } => ("spawned", *pid),
            KeeperEvent::Ready { .. } => ("ready", 0),
            other => panic!("{other:?}"),
        })
        .collect();
    let pid = found.adopted[0].0.pid.unwrap();
    assert_eq!(
        kinds,
        [("exited", start.pid), ("spawned", pid), ("ready", 0)]
    );
    assert_eq!(found.adopted[0].0.restarts, 1);
    assert!(runs(pid));
}

#[tokio::test]
async fn events_are_replayed_from_any_number_or_from_the_last_acknowledged() {
    let keeper = Keeper::start();
    let mut first = keeper.adopt().await;
    first.start(script("a.1", "exit 0")).await;
    let spawned = first.last;
    first.exited().await;
    let exited = first.last;
    drop(first);
    let mut second = keeper.connect_after(Some(spawned - 1)).await;
    // Spawned, ready or not before it ended, exited.
    let replayed = take_over(&mut second).await.replayed;
    assert!(
        matches!(replayed.first(), Some(KeeperEvent::Spawned { .. })),
        "{replayed:?}"
    );
    assert!(
        matches!(replayed.last(), Some(KeeperEvent::Exited { .. })),
        "{replayed:?}"
    );
    second.client.acknowledge(exited - 1).await.unwrap();
    let mut third = keeper.connect().await;
    assert_eq!(take_over(&mut third).await.replayed.len(), 1);
    third.client.acknowledge(exited).await.unwrap();
    let mut fourth = keeper.connect().await;
    assert_eq!(take_over(&mut fourth).await.replayed.len(), 0);
}

#[tokio::test]
async fn a_newer_daemon_replaces_the_older() {
    let keeper = Keeper::start();
    let mut first = keeper.adopt().await;
    let second = keeper.adopt().await;
    first
        .until("the loss", |event| {
            matches!(event, KeeperEvent::Lost).then_some(())
        })
        .await;
    let lost = first.client.list().await.unwrap_err();
    assert!(matches!(lost, KeeperError::Lost), "{lost}");
    assert!(second.client.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_daemon_that_is_killed_is_started_again_with_the_same_listeners_and_nothing_of_it_is_left()
 {
    let daemon = "echo $LISTEN_FDS $LISTEN_FDNAMES; readlink /proc/$$/fd/3 /proc/$$/fd/4; ls /proc/$$/fd; \
                  setsid sleep 1000 & echo started $$ $!; exec sleep 1000";
    let listeners = [
        "--listen",
        "gateway=127.0.0.1:0",
        "--unix",
        "control=control.sock",
    ];
    let keeper = Keeper::start_with(&[&listeners[..], &["--", "sh", "-c", daemon]].concat());
    let started = || {
        let log = keeper.log("daemon");
        let lines = log
            .lines()
            .filter_map(|line| Some(line.split_once("started ")?.1.to_owned()));
        lines.collect::<Vec<_>>()
    };
    let pids =
        |line: &str| -> Vec<i32> { line.split(' ').map(|pid| pid.parse().unwrap()).collect() };
    eventually("the daemon", || started().len() == 1).await;
    let first = pids(&started()[0]);
    eventually("its record", || {
        keeper.records()["daemon"]["pid"] == first[0]
    })
    .await;
    // A client is let wait, not refused, while there is no daemon to accept.
    let address = keeper.ready["listeners"]["gateway"]
        .as_str()
        .unwrap()
        .to_owned();
    kill(first[0], Signal::KILL);
    std::net::TcpStream::connect(&address).unwrap();
    eventually("the next daemon", || started().len() == 2).await;
    let second = pids(&started()[1]);
    assert!(
        !runs(first[0]) && !runs(first[1]),
        "what the first had started is gone with it"
    );
    assert!(runs(second[0]));
    let log = keeper.log("daemon");
    let lines: Vec<_> = log
        .lines()
        .map(|line| line.split_once(" out ").unwrap().1)
        .collect();
    let (one, two) = lines.split_at(lines.len() / 2);
    assert_eq!(one[0], "2 gateway:control");
    assert_eq!(one[..3], two[..3], "the very same sockets");
    assert_eq!(one[3..8], ["0", "1", "2", "3", "4"], "and nothing else");
}

#[tokio::test]
async fn a_daemon_that_dies_at_once_is_tried_again_ever_more_slowly_and_never_given_up() {
    let keeper = Keeper::start_with(&["--", "sh", "-c", "exit 1"]);
    let tries = || keeper.log("keeper").matches("the next starts in").count();
    eventually("five tries", || tries() >= 5).await;
    let log = keeper.log("keeper");
    let delays: Vec<u64> = log
        .lines()
        .filter_map(|line| {
            line.split_once("the next starts in ")?
                .1
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert_eq!(delays[0], 0);
    assert!(
        delays[1..5].windows(2).all(|pair| pair[0] < pair[1]),
        "{delays:?}"
    );
}

#[tokio::test]
async fn the_next_keeper_stops_what_a_killed_one_left() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let daemon = [
        "--listen",
        "gateway=127.0.0.1:0",
        "--",
        "sh",
        "-c",
        "echo up; exec sleep 1000",
    ];
    let mut keeper = Keeper::start_in(&state, &daemon);
    let mut client = keeper.adopt().await;
    let pids = state.join("pids");
    let text = format!(
        "setsid sh -c 'echo $$ > {pids}; exec sleep 1000' & trap '' TERM; echo up; while :; do sleep 1000; done",
        pids = pids.display()
    );
    let web = client.start(script("web.1", &text)).await;
    eventually("both to run", || {
        !read(&pids).is_empty() && keeper.log("web.1").contains("up")
    })
    .await;
    let hidden: i32 = read(&pids).trim().parse().unwrap();
    eventually("the records", || {
        keeper.records()["instances"]["web.1"]["pid"] == web.pid
            && keeper.records()["daemon"].is_object()
    })
    .await;
    let daemon_pid = i32::try_from(keeper.records()["daemon"]["pid"].as_i64().unwrap()).unwrap();
    let address = keeper.ready["listeners"]["gateway"]
        .as_str()
        .unwrap()
        .to_owned();

    keeper.signal(Signal::KILL);
    keeper.exited().await;
    client
        .until("the loss", |event| {
            matches!(event, KeeperEvent::Lost).then_some(())
        })
        .await;
    assert!(
        runs(web.pid) && runs(hidden) && runs(daemon_pid),
        "all of it outlives a killed keeper"
    );

    // The same port: the old daemon, which holds it, must be gone before it is bound.
    let again = Keeper::start_in(&state, &["--listen", &format!("gateway={address}")]);
    assert!(!runs(web.pid) && !runs(hidden) && !runs(daemon_pid));
    let leftovers = again.ready["leftovers"].to_string();
    for (name, pid) in [
        ("web.1", web.pid),
        ("web.1", hidden),
        ("daemon", daemon_pid),
    ] {
        assert!(
            leftovers.contains(&format!("{{\"name\":\"{name}\",\"pid\":{pid}}}")),
            "{leftovers}"
        );
    }
    let mut next = again.connect().await;
    let told = take_over(&mut next).await.replayed;
    assert!(
        told.iter()
            .any(|event| matches!(event, KeeperEvent::Leftover { pid, .. } if *pid == web.pid)),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_a_killed_keeper_had_no_time_to_record_is_found_by_its_marker() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut keeper = Keeper::start_in(&state, &[]);
    let start = keeper
        .adopt()
        .await
        .start(script("web.1", "exec sleep 1000"))
        .await;
    keeper.signal(Signal::KILL);
    keeper.exited().await;
    let _never_written = std::fs::remove_file(state.join("run/keeper.json"));
    // Another directory's keeper has no business with it.
    let other = Keeper::start();
    assert!(runs(start.pid) && other.ready["leftovers"] == serde_json::json!([]));
    let again = Keeper::start_in(&state, &[]);
    assert!(!runs(start.pid));
    assert_eq!(
        again.ready["leftovers"],
        serde_json::json!([{"name": "web.1", "pid": start.pid}])
    );
}

#[tokio::test]
async fn a_keeper_whose_directory_is_deleted_ends_with_all_that_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let daemon = ["--", "sh", "-c", "exec sleep 1000"];
    let mut keeper = Keeper::start_in(&state, &daemon);
    let web = keeper
        .adopt()
        .await
        .start(script("web.1", "exec sleep 1000"))
        .await;
    eventually("the records", || {
        keeper.records()["instances"]["web.1"]["pid"] == web.pid
            && keeper.records()["daemon"].is_object()
    })
    .await;
    let daemon_pid = i32::try_from(keeper.records()["daemon"]["pid"].as_i64().unwrap()).unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    keeper.exited().await;
    assert!(!runs(web.pid) && !runs(daemon_pid));
    assert!(!state.exists(), "nothing was written any more");
}

#[tokio::test]
async fn the_next_keeper_of_a_directory_that_was_deleted_takes_over_from_the_former() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut former = Keeper::start_in(&state, &["--listen", "gateway=127.0.0.1:0"]);
    let slow = "trap '' TERM; while :; do sleep 1000; done";
    let web = former.adopt().await.start(script("web.1", slow)).await;
    let address = former.ready["listeners"]["gateway"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually("the records", || {
        former.records()["instances"]["web.1"]["pid"] == web.pid
    })
    .await;
    std::fs::remove_dir_all(&state).unwrap();
    // The same port, while the former may be ending still.
    let next = Keeper::start_in(&state, &["--listen", &format!("gateway={address}")]);
    assert!(!runs(web.pid) && !runs(former.pid()));
    former.exited().await;
    next.adopt().await;
    eventually("its records", || {
        next.records()["keeper"]["pid"] == next.pid()
    })
    .await;
}

#[tokio::test]
async fn a_request_of_another_version_is_refused_and_the_connection_goes_on() {
    let keeper = Keeper::start();
    let stream = tokio::net::UnixStream::connect(keeper.dir().join("run/keeper.sock"))
        .await
        .unwrap();
    let mut inbox = socket::Inbox::default();
    let ask = async |json: &'static str| {
        let frame = Frame {
            json: json.as_bytes().into(),
            ..Frame::default()
        };
        socket::send(&stream, &frame, &[]).await.unwrap();
    };
    ask(r#"{"id": 1, "command": {"attach": {"protocol": 1, "after": null}}}"#).await;
    ask(r#"{"id": 2, "command": {"levitate": {"name": "web.1"}}}"#).await;
    ask(r#"{"id": 3, "command": "list"}"#).await;
    let mut replies = Vec::new();
    while replies.len() < 3 {
        let (frame, _) = support::within("a reply", inbox.receive(&stream))
            .await
            .unwrap()
            .unwrap();
        let message: serde_json::Value = serde_json::from_slice(&frame.json).unwrap();
        replies.extend(message.get("reply").cloned());
    }
    assert!(
        replies[1].to_string().contains("levitate"),
        "{}",
        replies[1]
    );
    assert_eq!(
        (&replies[1]["id"], &replies[2]["id"]),
        (&2.into(), &3.into())
    );
    assert_eq!(replies[2]["outcome"]["instances"], serde_json::json!([]));
    let old = tokio::net::UnixStream::connect(keeper.dir().join("run/keeper.sock"))
        .await
        .unwrap();
    let hello = Frame {
        json: br#"{"id": 1, "command": {"attach": {"protocol": 7, "after": null}}}"#[..].into(),
        ..Frame::default()
    };
    socket::send(&old, &hello, &[]).await.unwrap();
    let (frame, _) = support::within("a refusal", socket::Inbox::default().receive(&old))
        .await
        .unwrap()
        .unwrap();
    assert!(
        std::str::from_utf8(&frame.json)
            .unwrap()
            .contains(r#""protocol":{"keeper":1,"daemon":7}"#)
    );
}

#[tokio::test]
async fn a_process_that_got_a_recorded_number_later_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    std::fs::create_dir_all(state.join("run")).unwrap();
    let mut stranger = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let records = serde_json::json!({
        "boot": boot.trim(), "keeper": null, "daemon": null,
        "instances": {"web.1": {"service": "web", "revision": 1, "pid": stranger.id(), "start_time": 1}},
    });
    std::fs::write(state.join("run/keeper.json"), records.to_string()).unwrap();
    let keeper = Keeper::start_in(&state, &[]);
    assert_eq!(keeper.ready["leftovers"], serde_json::json!([]));
    assert_eq!(stranger.try_wait().unwrap(), None);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn nobody_answers_where_no_keeper_is() {
    let directory = tempfile::tempdir().unwrap();
    let missing = KeeperClient::connect(&directory.path().join("keeper.sock"))
        .await
        .unwrap_err();
    assert!(matches!(missing, KeeperError::Connect { .. }), "{missing}");
}
