//! The daemon as a child: given the listeners, restarted whenever it ends.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use backstay_supervisor::census::{INSTANCE_MARKER, KEEPER_MARKER};
use backstay_supervisor::log::file::LogFile;
use backstay_supervisor::log::format::Source;
use backstay_supervisor::log::pump::Log;
use backstay_supervisor::restart::{self, Decision, History};
use backstay_supervisor::spawn::{isolate, start};
use backstay_supervisor::spec::{RestartCondition, RestartPolicy, StopPolicy};
use backstay_supervisor::stop::{Hurry, Target, stop, sweep};
use backstay_supervisor::watch::{Child, Exit};
use rustix::pipe::PipeFlags;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::inherited::FIRST;
use crate::keep::Surroundings;
use crate::records::Identity;
use crate::start::OWN_LOGS;

/// The marker of the daemon and what it runs itself, installs for instance. No instance can have it.
const NAME: &str = "daemon";
/// At once, then ever more slowly; never given up, as the fleet is of no use without.
const RESTART: RestartPolicy = RestartPolicy {
    condition: RestartCondition::Always,
    max_attempts: None,
    delay_ms: 100,
    max_delay_ms: 10_000,
    window_ms: 30_000,
};

/// Keeps a daemon running.
#[derive(Debug)]
pub(crate) struct Daemon {
    surroundings: Surroundings,
    argv: Vec<String>,
    /// Names of the listeners, joined by colons.
    names: String,
    log: Log,
    process: watch::Sender<Option<Identity>>,
    stopping: Arc<Notify>,
    hurry: Hurry,
}

/// Ends it.
#[derive(Debug)]
pub(crate) struct DaemonHandle {
    stopping: Arc<Notify>,
    hurry: Hurry,
}

impl DaemonHandle {
    /// Asks it, and kills it if it takes long.
    pub(crate) fn stop(&self) {
        self.stopping.notify_one();
    }

    /// Kills it.
    pub(crate) fn hurry(&self) {
        self.hurry.up();
    }
}

impl Daemon {
    /// A daemon not yet started, and where to see its process.
    pub(crate) fn new(
        surroundings: Surroundings,
        argv: Vec<String>,
        names: String,
    ) -> (Self, watch::Receiver<Option<Identity>>) {
        let log = Log::new(LogFile::new(&surroundings.logs, NAME, OWN_LOGS));
        let (process, seen) = watch::channel(None);
        (
            Self {
                surroundings,
                argv,
                names,
                log,
                process,
                stopping: Arc::default(),
                hurry: Hurry::default(),
            },
            seen,
        )
    }

    pub(crate) fn handle(&self) -> DaemonHandle {
        DaemonHandle {
            stopping: Arc::clone(&self.stopping),
            hurry: self.hurry.clone(),
        }
    }

    /// Runs it until told to stop.
    pub(crate) async fn run(self) {
        if self.argv.is_empty() {
            return self.stopping.notified().await;
        }
        let clock = Instant::now();
        let now = || u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut history = History::default();
        loop {
            history.started_at_ms = now();
            let what = match self.spawn() {
                Ok((child, start_time)) => {
                    let target = Target {
                        name: NAME,
                        child: &child,
                        start_time,
                    };
                    tokio::select! {
                        _ = child.ended() => {}
                        () = self.stopping.notified() => {
                            stop(&self.surroundings.house, target, &StopPolicy::default(), &self.hurry).await;
                            return;
                        }
                    }
                    let ended = sweep(&self.surroundings.house, target).await;
                    self.process.send_replace(None);
                    ended
                        .exit
                        .map_or_else(|| "does not end".to_owned(), |exit| exit.to_string())
                }
                Err(error) => format!("could not be started: {error}"),
            };
            // How it ended makes no difference to this policy, which restarts always.
            let decision =
                restart::decide(&RESTART, history, Exit::Code(1), now(), restart::roll());
            let Decision::Restart { after_ms, in_a_row } = decision else {
                return;
            };
            history.in_a_row = in_a_row;
            self.surroundings.log.note(&format!(
                "the daemon {what}; the next starts in {after_ms} ms"
            ));
            tokio::select! {
                () = sleep(Duration::from_millis(after_ms)) => {}
                () = self.stopping.notified() => return,
            }
        }
    }

    /// Starts one, with the keeper's environment and the listeners at their numbers.
    ///
    /// `LISTEN_FDS` and `LISTEN_FDNAMES` are as systemd sets them; `LISTEN_PID` is not
    /// set, because the process's number is not known before it runs.
    fn spawn(&self) -> std::io::Result<(Child, u64)> {
        let listeners = self
            .names
            .split(':')
            .filter(|name| !name.is_empty())
            .count();
        let (out, their_out) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (err, their_err) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new(&self.argv[0]);
        command
            .args(&self.argv[1..])
            .env("LISTEN_FDS", listeners.to_string())
            .env("LISTEN_FDNAMES", &self.names)
            .env_remove("LISTEN_PID")
            .env(INSTANCE_MARKER, NAME)
            .env(KEEPER_MARKER, self.surroundings.house.keeper())
            .stdin(Stdio::null())
            .stdout(their_out)
            .stderr(their_err);
        let last = FIRST + i32::try_from(listeners).unwrap_or(0);
        isolate(&mut command, self.surroundings.inheritance, FIRST..last);
        let (child, start_time) = start(&self.surroundings.house, command)?;
        tokio::spawn(self.log.clone().pump(out, Source::Out));
        tokio::spawn(self.log.clone().pump(err, Source::Err));
        self.process.send_replace(Some(Identity {
            pid: child.pid(),
            start_time,
        }));
        Ok((child, start_time))
    }
}
