//! A real keeper in a directory of its own, and a daemon's connection to it.

// Each test file uses its own part of this; outside of test functions clippy does not see a test.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backstay_supervisor::event::InstanceState;
use backstay_supervisor::spec::{
    LogPolicy, RestartCondition, RestartPolicy, Stdio as Streams, StopPolicy,
};
use backstay_supervisor::{InstanceSpec, InstanceView, KeeperClient, KeeperEvent, Reported};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Far longer than anything here takes on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running keeper; ended, by force if need be, when it goes.
pub(crate) struct Keeper {
    process: Child,
    /// The line it printed.
    pub(crate) ready: Value,
    state_dir: PathBuf,
    directory: Option<TempDir>,
}

/// What no instance may ever see: the keeper has it in its environment, and descriptor 9 open.
pub(crate) const SECRET: &str = "BACKSTAY_TEST_SECRET";

/// Starts the program and reads its one line.
pub(crate) fn launch(state_dir: &Path, arguments: &[&str]) -> (Child, Value) {
    let mut process = Command::new("sh")
        .args(["-c", "umask 022; exec \"$0\" \"$@\" 9</dev/null"])
        .arg(env!("CARGO_BIN_EXE_backstay-keeper"))
        .env(SECRET, "hunter2")
        .arg("--state-dir")
        .arg(state_dir)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (process, serde_json::from_str(&line).unwrap())
}

/// Runs a keeper that is expected not to start: its line and its exit code.
pub(crate) fn refused(state_dir: &Path, arguments: &[&str]) -> (Value, Option<i32>) {
    let (mut process, line) = launch(state_dir, arguments);
    if line.get("ready").is_some() {
        process.kill().unwrap();
        panic!("it started: {line}");
    }
    (line, process.wait().unwrap().code())
}

impl Keeper {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("state");
        let mut keeper = Self::start_in(&state_dir, arguments);
        keeper.directory = Some(directory);
        keeper
    }

    pub(crate) fn start_in(state_dir: &Path, arguments: &[&str]) -> Self {
        let (process, ready) = launch(state_dir, arguments);
        assert_eq!(ready["ready"], true, "{ready}");
        let state_dir = state_dir.canonicalize().unwrap();
        Self {
            process,
            ready,
            state_dir,
            directory: None,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.state_dir
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    pub(crate) async fn connect(&self) -> Daemon {
        self.connect_after(None).await
    }

    pub(crate) async fn connect_after(&self, seq: Option<u64>) -> Daemon {
        let socket = self.state_dir.join("run/keeper.sock");
        let (client, events) = KeeperClient::connect_after(&socket, seq).await.unwrap();
        Daemon {
            client,
            events,
            last: 0,
        }
    }

    /// Connects and waits for the end of the adoption list.
    pub(crate) async fn adopt(&self) -> Daemon {
        let mut daemon = self.connect().await;
        daemon
            .until("the adoption list", |event| {
                matches!(event, KeeperEvent::AdoptedAll).then_some(())
            })
            .await;
        daemon
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Waits for its exit.
    pub(crate) async fn exited(&mut self) -> Option<i32> {
        let mut exit = None;
        let process = &mut self.process;
        eventually("the keeper to exit", || {
            exit = process.try_wait().unwrap();
            exit.is_some()
        })
        .await;
        exit.and_then(|status| status.code())
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.state_dir.join("logs").join(format!("{name}.log")))
            .unwrap_or_default()
    }

    pub(crate) fn records(&self) -> Value {
        let json = std::fs::read(self.state_dir.join("run/keeper.json")).unwrap_or_default();
        serde_json::from_slice(&json).unwrap_or_default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            // Asked twice, it does not wait for anyone's grace period.
            self.signal(Signal::TERM);
            self.signal(Signal::INT);
            let _status = self.process.wait();
        }
    }
}

/// A daemon's end of the connection.
pub(crate) struct Daemon {
    pub(crate) client: KeeperClient,
    pub(crate) events: mpsc::Receiver<Reported>,
    /// Number of the newest event seen.
    pub(crate) last: u64,
}

impl Daemon {
    pub(crate) async fn next(&mut self) -> Reported {
        let reported = within("an event", self.events.recv())
            .await
            .expect("the connection is open");
        self.last = reported.seq;
        reported
    }

    /// The first event that `wanted` makes something of; those before it are skipped.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(KeeperEvent) -> Option<T>,
    ) -> T {
        let mut skipped = Vec::new();
        loop {
            let Ok(Some(reported)) = tokio::time::timeout(DEADLINE, self.events.recv()).await
            else {
                panic!("{what} did not come; what came: {skipped:#?}");
            };
            self.last = reported.seq;
            skipped.push(format!("{reported:?}"));
            if let Some(found) = wanted(reported.event) {
                return found;
            }
        }
    }

    pub(crate) async fn start(&mut self, spec: InstanceSpec) -> Start {
        self.client.start(spec).await.unwrap();
        self.spawned().await
    }

    pub(crate) async fn spawned(&mut self) -> Start {
        self.until("a start", |event| match event {
            KeeperEvent::Spawned {
                pid,
                restarts,
                pipes,
                ..
            } => Some(Start {
                pid,
                restarts,
                pipes,
            }),
            _ => None,
        })
        .await
    }

    pub(crate) async fn ready(&mut self) {
        self.until("readiness", |event| {
            matches!(event, KeeperEvent::Ready { .. }).then_some(())
        })
        .await;
    }

    pub(crate) async fn stopped(&mut self) {
        self.until("the stop", |event| {
            matches!(event, KeeperEvent::Stopped { .. }).then_some(())
        })
        .await;
    }

    /// The reason and the last lines.
    pub(crate) async fn failed(&mut self) -> (String, String) {
        self.until("the failure", |event| match event {
            KeeperEvent::Failed { reason, tail, .. } => Some((reason, tail)),
            _ => None,
        })
        .await
    }

    /// The code, the signal, and when it is restarted.
    pub(crate) async fn exited(&mut self) -> (Option<i32>, Option<String>, Option<u64>) {
        self.until("the exit", |event| match event {
            KeeperEvent::Exited {
                code,
                signal,
                will_restart_in_ms,
                ..
            } => Some((code, signal, will_restart_in_ms)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn view(&self, name: &str) -> InstanceView {
        let instances = self.client.list().await.unwrap();
        instances
            .into_iter()
            .find(|instance| instance.name == name)
            .unwrap()
    }

    pub(crate) async fn state(&self, name: &str) -> InstanceState {
        self.view(name).await.state
    }
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) pid: i32,
    pub(crate) restarts: u32,
    pub(crate) pipes: Option<backstay_supervisor::McpPipes>,
}

/// A shell script as an instance that is not restarted and need not be waited for.
pub(crate) fn script(name: &str, text: &str) -> InstanceSpec {
    InstanceSpec {
        name: name.to_owned(),
        service: name.split('.').next().unwrap().to_owned(),
        revision: 1,
        argv: vec!["sh".to_owned(), "-c".to_owned(), text.to_owned()],
        env: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
        working_dir: PathBuf::from("/"),
        stdio: Streams::Logs,
        ports: BTreeMap::new(),
        restart: RestartPolicy {
            condition: RestartCondition::No,
            ..RestartPolicy::default()
        },
        stop: StopPolicy {
            grace_ms: 20_000,
            eof_grace_ms: 20_000,
            ..StopPolicy::default()
        },
        probe: None,
        log: LogPolicy::default(),
    }
}

/// The text of a script that says `up` on standard error, waits for a signal and then runs
/// a line of Python. Not a shell's `trap`: between fork and exec a shell's child can
/// swallow a signal meant for it.
pub(crate) fn waiting_for(signal: &str, then: &str) -> String {
    format!(
        "exec python3 -c \"import signal, sys; wanted = {{signal.SIG{signal}}}; \
         signal.pthread_sigmask(signal.SIG_BLOCK, wanted); \
         print('up', file=sys.stderr, flush=True); signal.sigwait(wanted); {then}\""
    )
}

/// Waits for a future, with the deadline of all tests.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"))
}

/// Waits for a condition outside of anyone's reach to be told.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether a process runs; one that only waits to be reaped does not.
pub(crate) fn runs(pid: i32) -> bool {
    backstay_supervisor::census::Entry::read(pid).is_some_and(|entry| !entry.dead)
}

/// A file a script writes its findings to.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
