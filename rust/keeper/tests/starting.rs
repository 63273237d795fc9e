//! The keeper's own start: one line, and what it says when it cannot.

// Helpers outside of test functions fail by panicking too.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use support::{Keeper, refused, script};

#[tokio::test]
async fn the_line_says_where_it_listens() {
    let keeper = Keeper::start_with(&[
        "--listen",
        "gateway=127.0.0.1:0",
        "--unix",
        "local=run/gateway.sock",
    ]);
    assert_eq!(keeper.ready["pid"], keeper.pid());
    assert_eq!(keeper.ready["leftovers"], serde_json::json!([]));
    let address = keeper.ready["listeners"]["gateway"].as_str().unwrap();
    std::net::TcpStream::connect(address).unwrap();
    let path = keeper.ready["listeners"]["local"].as_str().unwrap();
    assert_eq!(
        path,
        keeper.dir().join("run/gateway.sock").to_str().unwrap()
    );
    UnixStream::connect(path).unwrap();
}

#[tokio::test]
async fn a_second_keeper_of_a_directory_is_refused_and_the_first_not_disturbed() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let start = daemon.start(script("web.1", "exec sleep 1000")).await;
    let (line, code) = refused(keeper.dir(), &[]);
    assert_eq!(code, Some(2));
    assert_eq!(line["code"], "already_running");
    assert_eq!(line["pid"], keeper.pid());
    let expected = format!(
        "a keeper already runs for {} (pid {})",
        keeper.dir().display(),
        keeper.pid()
    );
    assert_eq!(line["error"], expected);
    assert!(
        line["hint"].as_str().unwrap().contains("backstay down"),
        "{line}"
    );
    assert!(support::runs(start.pid));
    assert_eq!(daemon.client.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_holder_and_nothing_is_left() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (line, code) = refused(
        directory.path(),
        &[
            "--unix",
            "c=c.sock",
            "--listen",
            &format!("gateway={address}"),
        ],
    );
    assert_eq!(code, Some(2));
    assert_eq!(
        (line["code"].as_str(), line["listener"].as_str()),
        (Some("port_taken"), Some("gateway"))
    );
    let error = line["error"].as_str().unwrap();
    assert!(
        error.starts_with(&format!("{address} is taken by ")),
        "{error}"
    );
    assert!(
        error.ends_with(&format!("(pid {})", std::process::id())),
        "{error}"
    );
    assert!(
        !directory.path().join("c.sock").exists(),
        "a socket is left"
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    // `/proc` takes no directories, whoever asks.
    let (line, code) = refused("/proc/backstay".as_ref(), &[]);
    assert_eq!((code, line["code"].as_str()), (Some(2), Some("state_dir")));
    assert!(
        line["error"]
            .as_str()
            .unwrap()
            .starts_with("the state directory /proc/backstay cannot be used: "),
        "{line}"
    );
}

#[tokio::test]
async fn a_wrong_command_line_and_a_missing_daemon_are_told_in_the_same_way() {
    let directory = tempfile::tempdir().unwrap();
    let (line, code) = refused(directory.path(), &["--listen", "gateway"]);
    assert_eq!((code, line["code"].as_str()), (Some(2), Some("usage")));
    let (line, code) = refused(
        directory.path(),
        &["--", "/no/such/python", "-m", "backstay.daemon"],
    );
    assert_eq!((code, line["code"].as_str()), (Some(2), Some("daemon")));
    assert_eq!(
        line["error"],
        "the daemon cannot be started: `/no/such/python` was not found in /no/such"
    );
}

#[tokio::test]
async fn a_state_directory_may_lie_deeper_than_a_socket_address_is_long() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("x".repeat(120)).join("y".repeat(120));
    let mut keeper = Keeper::start_in(&deep, &["--unix", "control=control.sock"]);
    let mut daemon = keeper.adopt().await;
    daemon.start(script("web.1", "exec sleep 1000")).await;
    keeper.signal(Signal::TERM);
    assert_eq!(keeper.exited().await, Some(0));
    assert!(!deep.join("run/keeper.sock").exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_but_a_file_in_its_place_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    drop(Keeper::start_in(
        directory.path(),
        &["--unix", "control=control.sock"],
    ));
    std::fs::write(&socket, "mine").unwrap();
    let (line, _) = refused(directory.path(), &["--unix", "control=control.sock"]);
    assert_eq!(line["code"], "listen");
    assert_eq!(support::read(&socket), "mine");
}

#[tokio::test]
async fn an_idle_keeper_is_small_and_does_nothing() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    daemon.start(script("web.1", "exec sleep 1000")).await;
    daemon.ready().await;
    let status = support::read(format!("/proc/{}/status", keeper.pid()).as_ref());
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    };
    let rss = field("VmRSS:");
    assert!(rss < 16 << 10, "{rss} KiB in a debug build");
    // The thread that writes the records goes a second after the last of them; from then on
    // nothing in the keeper is woken by a clock.
    let tasks = format!("/proc/{}/task", keeper.pid());
    support::eventually("one thread", || {
        std::fs::read_dir(&tasks).unwrap().count() == 1
    })
    .await;
    let switches = || {
        support::read(format!("/proc/{}/status", keeper.pid()).as_ref())
            .lines()
            .find(|line| line.starts_with("voluntary"))
            .unwrap()
            .to_owned()
    };
    let before = switches();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(switches(), before, "an idle keeper was woken");
}
