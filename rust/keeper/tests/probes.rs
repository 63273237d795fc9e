//! Each kind of probe, against real processes.

// Helpers outside of test functions fail by panicking too.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener;
use std::path::Path;

use backstay_supervisor::KeeperEvent;
use backstay_supervisor::event::InstanceState;
use backstay_supervisor::spec::{InstanceSpec, ProbeKind, ProbeSpec};
use support::{Keeper, eventually, script};

fn probed(name: &str, text: &str, kind: ProbeKind) -> InstanceSpec {
    let probe = ProbeSpec {
        kind,
        interval_ms: 20,
        timeout_ms: 5_000,
        retries: 2,
        start_period_ms: 60_000,
        start_interval_ms: 20,
    };
    InstanceSpec {
        probe: Some(probe),
        ..script(name, text)
    }
}

/// A script that waits for a file.
fn when(file: &Path, then: &str) -> String {
    format!(
        "while [ ! -e {} ]; do sleep 0.01; done; {then}; exec sleep 1000",
        file.display()
    )
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

const SERVER: &str = r#"
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if os.path.exists("sick") else 200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

fn server(keeper: &Keeper, port: u16, kind: ProbeKind) -> InstanceSpec {
    let argv = ["python3", "-c", SERVER, &port.to_string()].map(str::to_owned);
    InstanceSpec {
        argv: argv.into(),
        working_dir: keeper.dir().to_owned(),
        ..probed("web.1", "", kind)
    }
}

#[tokio::test]
async fn tcp_is_ready_when_the_port_is_open() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let port = free_port();
    daemon
        .start(server(&keeper, port, ProbeKind::Tcp { port }))
        .await;
    daemon.ready().await;
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

#[tokio::test]
async fn http_tells_ready_unhealthy_and_ready_again() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let port = free_port();
    daemon
        .start(server(
            &keeper,
            port,
            ProbeKind::Http {
                port,
                path: "/health".to_owned(),
            },
        ))
        .await;
    daemon.ready().await;
    std::fs::write(keeper.dir().join("sick"), "").unwrap();
    let reason = daemon
        .until("illness", |event| match event {
            KeeperEvent::Unhealthy { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, "GET /health answered 503");
    assert_eq!(daemon.state("web.1").await, InstanceState::Unhealthy);
    std::fs::remove_file(keeper.dir().join("sick")).unwrap();
    daemon.ready().await;
}

#[tokio::test]
async fn a_command_runs_as_the_instance_does_until_it_succeeds() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let file = keeper.dir().join("go");
    // The probe sees the instance's environment and directory.
    let argv = ["sh", "-c", "test \"$WHO\" = me && test -e go"]
        .map(str::to_owned)
        .into();
    let mut spec = probed("job.1", "exec sleep 1000", ProbeKind::Command { argv });
    spec.env.insert("WHO".to_owned(), "me".to_owned());
    spec.working_dir = keeper.dir().to_owned();
    daemon.start(spec).await;
    assert_eq!(daemon.state("job.1").await, InstanceState::Starting);
    std::fs::write(file, "").unwrap();
    daemon.ready().await;
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_and_counts_as_a_failure() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let pids = keeper.dir().join("pids");
    let hang = format!("echo $$ >> {}; sleep 1000 & wait", pids.display());
    let argv = ["sh", "-c", &hang].map(str::to_owned).into();
    let mut spec = probed("job.1", "exec sleep 1000", ProbeKind::Command { argv });
    if let Some(probe) = &mut spec.probe {
        (probe.timeout_ms, probe.start_period_ms) = (50, 0);
    }
    daemon.start(spec).await;
    let reason = daemon
        .until("illness", |event| match event {
            KeeperEvent::Unhealthy { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, "no answer within 50 ms");
    daemon.client.stop("job.1").await.unwrap();
    daemon.stopped().await;
    let probes: Vec<i32> = support::read(&pids)
        .lines()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(!probes.is_empty());
    eventually("all probes to be gone", || {
        probes.iter().all(|pid| !support::runs(*pid))
    })
    .await;
}

#[tokio::test]
async fn a_log_line_that_matches_makes_it_ready() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let file = keeper.dir().join("go");
    let text = format!(
        "echo not ready to accept; {}",
        when(&file, "echo 'ready to accept connections' >&2")
    );
    daemon
        .start(probed(
            "db.1",
            &text,
            ProbeKind::Log {
                pattern: "^ready to accept".to_owned(),
            },
        ))
        .await;
    eventually("the first line", || {
        keeper.log("db.1").contains("not ready")
    })
    .await;
    assert_eq!(daemon.state("db.1").await, InstanceState::Starting);
    std::fs::write(file, "").unwrap();
    daemon.ready().await;
}

#[tokio::test]
async fn notify_waits_for_ready_and_goes_on_listening() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let notify = r#"
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to = "\0" + os.environ["NOTIFY_SOCKET"][1:]
s.sendto(b"STATUS=warming up", to)
s.sendto(b"READY=1\nSTATUS=up", to)
for n in range(10000): s.sendto(b"STATUS=still up", to)
print("told", flush=True)
time.sleep(1000)
"#;
    let mut spec = probed("py.1", "", ProbeKind::Notify {});
    spec.argv = ["python3", "-c", notify].map(str::to_owned).into();
    daemon.start(spec).await;
    daemon.ready().await;
    eventually("all its news to be taken", || {
        keeper.log("py.1").contains("told")
    })
    .await;
}

#[tokio::test]
async fn one_that_never_becomes_ready_is_told_with_the_last_reason() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    for (name, kind, expected) in [
        (
            "tcp.1",
            ProbeKind::Tcp { port: 1 },
            "port 1: Connection refused",
        ),
        (
            "log.1",
            ProbeKind::Log {
                pattern: "ready".to_owned(),
            },
            "it has not logged a line that matches",
        ),
        ("notify.1", ProbeKind::Notify {}, "it has not sent READY=1"),
    ] {
        let mut spec = probed(name, "exec sleep 1000", kind);
        spec.probe
            .iter_mut()
            .for_each(|probe| probe.start_period_ms = 0);
        daemon.start(spec).await;
        let reason = daemon
            .until("illness", |event| match event {
                KeeperEvent::Unhealthy { reason, .. } => Some(reason),
                _ => None,
            })
            .await;
        assert!(reason.starts_with(expected), "{reason}");
    }
}

#[tokio::test]
async fn each_process_is_probed_anew() {
    let keeper = Keeper::start();
    let mut daemon = keeper.adopt().await;
    let file = keeper.dir().join("go");
    let text = format!("echo hello; {}", when(&file, "rm go; exit 1"));
    let mut spec = probed(
        "again.1",
        &text,
        ProbeKind::Log {
            pattern: "hello".to_owned(),
        },
    );
    spec.working_dir = keeper.dir().to_owned();
    spec.restart.condition = backstay_supervisor::spec::RestartCondition::Always;
    daemon.start(spec).await;
    daemon.ready().await;
    std::fs::write(&file, "").unwrap();
    daemon.exited().await;
    daemon.spawned().await;
    daemon.ready().await;
}
