//! What the keeper reports: the states of an instance and the events between them.

use serde::{Deserialize, Serialize};

use crate::pipes::McpPipes;

/// Where an instance is in its life, as the keeper sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// It runs; its probe has not succeeded yet.
    Starting,
    /// Its probe succeeded, or it has none and runs.
    Ready,
    /// Its probe fails, after it was ready or for too long since the start.
    Unhealthy,
    /// It was asked to end and has not yet.
    Stopping,
    /// It ended and waits for its restart.
    Backoff,
    /// It ended, or could not start, and will not be restarted.
    Failed,
    /// It ended because it was asked to.
    Stopped,
    /// It ended with code 0 and its policy asks for no more.
    Completed,
}

impl InstanceState {
    /// Whether a process of it may be running.
    pub fn is_running(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Ready | Self::Unhealthy | Self::Stopping
        )
    }

    /// Whether nothing more happens to it unless it is asked to start.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Stopped | Self::Completed)
    }
}

/// One instance as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceView {
    /// The instance.
    pub name: String,
    /// Its service.
    pub service: String,
    /// The service's revision it runs.
    pub revision: u64,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Its process, while there is one.
    pub pid: Option<i32>,
    /// When that process started, in Unix milliseconds.
    pub started_at: Option<u64>,
    /// Restarts since it was last asked to start.
    pub restarts: u32,
    /// Why it is unhealthy or failed.
    pub reason: Option<String>,
}

/// One thing that happened, in the keeper's order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeeperEvent {
    /// The keeper holds this instance: sent for each after a connection, before what is new.
    Adopted {
        /// The instance as it is now.
        instance: InstanceView,
        /// Its pipes, for a running stdio server.
        #[serde(skip)]
        pipes: Option<McpPipes>,
        /// The note a former daemon left for this process; empty if none.
        #[serde(skip)]
        note: Vec<u8>,
    },
    /// The adoption list is complete; everything from here on is new.
    AdoptedAll,
    /// A process was started.
    Spawned {
        /// The instance.
        name: String,
        /// Its service.
        service: String,
        /// The service's revision it runs.
        revision: u64,
        /// Its process.
        pid: i32,
        /// When it started, in Unix milliseconds.
        started_at: u64,
        /// Restarts since it was last asked to start.
        restarts: u32,
        /// Its fresh pipes, for a stdio server. `None` in a replayed event.
        #[serde(skip)]
        pipes: Option<McpPipes>,
    },
    /// Its probe succeeded for the first time, or again; without a probe, it runs.
    Ready {
        /// The instance.
        name: String,
    },
    /// Its probe failed too often. It is left running: what to do is the daemon's decision.
    Unhealthy {
        /// The instance.
        name: String,
        /// What the last probe said.
        reason: String,
    },
    /// It is being stopped. Whoever holds its pipes closes `stdin` now: a server
    /// sees end-of-file only when the last write end is gone.
    Stopping {
        /// The instance.
        name: String,
    },
    /// Its process ended, and everything it left behind was killed.
    Exited {
        /// The instance.
        name: String,
        /// The process that ended.
        pid: i32,
        /// Its exit code, if it exited.
        code: Option<i32>,
        /// The signal that ended it, if one did.
        signal: Option<String>,
        /// When it will be started again, if it will.
        will_restart_in_ms: Option<u64>,
        /// The last lines of its log, at most 4 KiB.
        tail: String,
    },
    /// It ended as asked.
    Stopped {
        /// The instance.
        name: String,
    },
    /// It will not be started again: it could not start, or failed too often.
    Failed {
        /// The instance.
        name: String,
        /// Why.
        reason: String,
        /// The last lines of its log, at most 4 KiB.
        tail: String,
    },
    /// The keeper forgot it, as asked.
    Removed {
        /// The instance.
        name: String,
    },
    /// Processes of a keeper that had died were found and stopped.
    Leftover {
        /// The instance, or `daemon`.
        name: String,
        /// The process that was stopped.
        pid: i32,
    },
    /// The connection to the keeper is gone; nothing follows. Made by the client.
    #[serde(skip)]
    Lost,
}

/// An event with its place and time.
#[derive(Debug)]
pub struct Reported {
    /// Its number: rises by one, never repeats in a keeper's life. `Adopted` and
    /// `AdoptedAll` carry the number of the newest event before them.
    pub seq: u64,
    /// When it happened, in Unix milliseconds.
    pub at: u64,
    /// It happened while no daemon was connected, and what it says is already in
    /// the `Adopted` list that follows: history, not news.
    pub replayed: bool,
    /// What happened.
    pub event: KeeperEvent,
}
