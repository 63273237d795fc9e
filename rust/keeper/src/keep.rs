//! The keeper at work, from the ready line to its exit.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use backstay_supervisor::census::{House, own_pid};
use backstay_supervisor::log::pump::Log;
use backstay_supervisor::spawn::Inheritance;
use backstay_supervisor::stop::stop_strangers;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use crate::connection;
use crate::daemon::Daemon;
use crate::fleet::Fleet;
use crate::leftovers::Leftover;
use crate::listeners::{Listening, SocketFile};
use crate::records;
use crate::signals::Signals;
use crate::state_dir::StateDir;
use crate::vanished::Watched;

/// Time for the last events to reach the daemon's successor, if anyone still reads.
const FAREWELL: Duration = Duration::from_millis(500);

/// What everything the keeper runs has in common.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) house: House,
    pub(crate) inheritance: Inheritance,
    /// Where log files are.
    pub(crate) logs: Arc<Path>,
    /// The keeper's own log.
    pub(crate) log: Log,
}

/// A keeper that holds everything and has detached.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub(crate) state: StateDir,
    pub(crate) listening: Vec<Listening>,
    pub(crate) signals: Signals,
    pub(crate) socket: (UnixListener, SocketFile),
    pub(crate) leftovers: Vec<Leftover>,
    pub(crate) daemon: Vec<String>,
    pub(crate) surroundings: Surroundings,
}

impl Keeping {
    /// Keeps until told to end.
    pub(crate) async fn run(self) -> ExitCode {
        let Self {
            state,
            listening,
            mut signals,
            socket: (socket, _socket_file),
            leftovers,
            daemon,
            surroundings,
        } = self;
        let Surroundings { house, log, .. } = &surroundings;
        log.note(&format!(
            "keeper {} holds {}",
            own_pid(),
            state.path().display()
        ));
        let nursery = house.nursery().clone();
        tokio::spawn(async move { nursery.reap_orphans().await });
        let (arrivals_in, arrivals) = mpsc::channel(1);
        tokio::spawn(connection::accept(socket, arrivals_in, log.clone()));
        let names = listening
            .iter()
            .map(|one| one.name.as_str())
            .collect::<Vec<_>>()
            .join(":");
        let (daemon, daemon_process) = Daemon::new(surroundings.clone(), daemon, names);
        let daemon_handle = daemon.handle();
        let mut daemon = tokio::spawn(daemon.run());
        let mut fleet = Fleet::new(surroundings.clone(), arrivals, daemon_process);
        let recorder = records::write_changes(state.records(), fleet.records(), log.clone());
        let recorder = tokio::spawn(recorder);
        fleet.report_leftovers(&leftovers);
        let watched = state.watch();
        if let Err(error) = &watched {
            log.note(&format!("the state directory cannot be watched: {error}"));
        }
        let mut there = true;
        loop {
            tokio::select! {
                () = fleet.serve() => break,
                signal = signals.next() => fleet.close(signal),
                () = vanished(watched.as_ref().ok()), if there => {
                    there = false;
                    // Whatever is written there from now on may be another fleet's.
                    recorder.abort();
                    daemon_handle.stop();
                    fleet.close("the state directory is gone");
                }
            }
        }
        daemon_handle.stop();
        // The daemon is served to its end: it may be writing down what it heard last.
        loop {
            tokio::select! {
                _ = &mut daemon => break,
                () = fleet.serve_forever() => {}
                _ = signals.next() => daemon_handle.hurry(),
            }
        }
        end_descendants(house).await;
        let _nobody_reads = tokio::time::timeout(FAREWELL, fleet.farewell()).await;
        // Nothing may be written after the file is removed.
        drop(fleet);
        let _disk_hangs = tokio::time::timeout(FAREWELL, recorder).await;
        if there {
            let _never_written = std::fs::remove_file(state.records());
        }
        drop(listening);
        log.note("ended");
        ExitCode::SUCCESS
    }
}

async fn vanished(watched: Option<&Watched>) {
    match watched {
        Some(watched) => watched.vanished().await,
        None => std::future::pending().await,
    }
}

/// Ends whatever is left below us: what lost its session, its parents and its marker.
async fn end_descendants(house: &House) {
    for _ in 0..10 {
        let left = house.census().await.living_descendants(own_pid());
        if left.is_empty() {
            return;
        }
        stop_strangers(left, Duration::ZERO).await;
    }
}
