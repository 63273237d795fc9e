//! Logs are drained and capped whoever lives.

// Helpers outside of test functions fail by panicking too.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use backstay_supervisor::spec::LogPolicy;
use support::{Keeper, eventually, script};

fn sizes(directory: &Path, prefix: &str) -> Vec<(String, u64)> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry.metadata().unwrap().len(),
            )
        })
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_flood_is_drained_with_no_daemon_and_stays_in_capped_files() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let policy = LogPolicy {
        max_bytes: 256 << 10,
        max_files: 3,
    };
    let done = keeper.dir().join("done");
    let mut spec = script(
        "flood.1",
        &format!(
            "seq -f 'line number %.0f' 200000; echo x > {}; exec sleep 1000",
            done.display()
        ),
    );
    spec.log = policy;
    let start = daemon.start(spec).await;
    drop(daemon);
    // A pipe that nobody reads would hold 64 KiB of it, and the instance with them.
    eventually("all to be written", || done.exists()).await;
    assert!(support::runs(start.pid));
    let logs = keeper.dir().join("logs");
    eventually("all to be read", || {
        keeper.log("flood.1").contains("line number 200000\n")
    })
    .await;
    let files = sizes(&logs, "flood.1.log");
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["flood.1.log", "flood.1.log.1", "flood.1.log.2"]);
    assert!(
        files.iter().all(|(_, size)| *size <= policy.max_bytes),
        "{files:?}"
    );
}

#[tokio::test]
async fn lines_say_when_and_from_where_and_the_endless_ones_are_split() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let text =
        "echo out; echo err >&2; head -c 40000 /dev/zero | tr '\\0' x; printf '\\nunfinished'";
    daemon.start(script("talks.1", text)).await;
    daemon.exited().await;
    let log = keeper.log("talks.1");
    let mut lines = Vec::new();
    for line in log.lines() {
        let [at, stream, text] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert!(
            at.len() == 24 && at.ends_with('Z') && at.as_bytes()[10] == b'T',
            "{at}"
        );
        lines.push((stream, text.len()));
    }
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            ("err", 3),
            ("out", 3),
            ("out", 10),
            ("out", 40_000 - 32_768),
            ("out", 16_384),
            ("out", 16_384)
        ]
    );
}

#[tokio::test]
async fn a_log_goes_on_over_a_restart_and_is_private() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let spec = script("again.1", "echo hello");
    daemon.start(spec.clone()).await;
    daemon.exited().await;
    eventually("it to be over", || keeper.log("again.1").contains("hello")).await;
    daemon.client.start(spec).await.unwrap();
    daemon.exited().await;
    assert_eq!(keeper.log("again.1").matches("hello").count(), 2);
    let mode = |path: &str| {
        let data = std::fs::metadata(keeper.dir().join(path)).unwrap();
        std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o777
    };
    assert_eq!(mode("logs/again.1.log"), 0o600);
    assert_eq!(mode("run/keeper.sock"), 0o600);
    assert_eq!(mode("run"), 0o700);
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_nothing_else() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let file = keeper.dir().join("logs/chatty.1.log");
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let (written, go) = (keeper.dir().join("written"), keeper.dir().join("go"));
    let text = format!(
        "seq 50000; echo x > {}; while [ ! -e {} ]; do sleep 0.01; done; echo room again; exec sleep 1000",
        written.display(),
        go.display()
    );
    let start = daemon.start(script("chatty.1", &text)).await;
    eventually("all to be written", || written.exists()).await;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&go, "").unwrap();
    eventually("the log", || {
        keeper.log("chatty.1").contains("out room again\n")
    })
    .await;
    let log = keeper.log("chatty.1");
    assert!(
        log.contains("[backstay] ") && log.contains("lines were lost: No space left on device"),
        "{log}"
    );
    assert!(support::runs(start.pid));
    // Whoever asks for its last words gets them: they are not read from the disk.
    support::kill(start.pid, rustix::process::Signal::KILL);
    assert!(daemon.failed().await.1.ends_with("50000\nroom again\n"));
}
