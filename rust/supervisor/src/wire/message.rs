//! What the frames mean: requests of the daemon, replies and events of the keeper.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::event::{InstanceView, KeeperEvent};
use crate::spec::{InstanceSpec, SpecError};

/// The protocol's number; both sides must have the same.
pub const PROTOCOL: u32 = 1;

/// Daemon to keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Returned in the reply.
    pub id: u64,
    /// What is asked.
    pub command: Command,
}

/// What a daemon may ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// The first request of a connection: become the keeper's daemon.
    Attach {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Replay the events after this one; `None`: those no daemon was sent or acknowledged.
        after: Option<u64>,
    },
    /// Events up to this one need never be replayed.
    Acknowledge {
        /// Number of the newest event dealt with.
        seq: u64,
    },
    /// Start an instance; nothing happens if it runs by the very same spec.
    Start {
        /// What to run.
        spec: Box<InstanceSpec>,
    },
    /// End an instance.
    Stop {
        /// Which.
        name: String,
    },
    /// End an instance if it runs, then forget it.
    Remove {
        /// Which.
        name: String,
    },
    /// End an instance and start it again, its restarts counted from zero.
    Restart {
        /// Which.
        name: String,
    },
    /// Send a signal to an instance's main process.
    Signal {
        /// Which.
        name: String,
        /// The signal, by name or number.
        signal: String,
    },
    /// Keep the frame's raw bytes for the next daemon, until the process ends.
    SetNote {
        /// Whose note.
        name: String,
        /// The process it is about: a note for a former one is dropped.
        pid: Option<i32>,
    },
    /// Hold a listening TCP socket for this daemon and its successors; the reply brings it.
    Listen {
        /// What it is for; a socket of that name and address is the one that is held already.
        name: String,
        /// Where it listens.
        address: SocketAddr,
    },
    /// Close the sockets of [`Command::Listen`] whose names are not among these.
    Unlisten {
        /// Names of those to keep.
        except: Vec<String>,
    },
    /// What the keeper holds.
    List,
    /// End all instances, the daemon and the keeper.
    Shutdown,
}

/// Keeper to daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    /// The answer to a request.
    Reply {
        /// The request's.
        id: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// Something happened. Pipes are the frame's descriptors, a note its raw bytes.
    Event {
        /// See [`crate::event::Reported`].
        seq: u64,
        /// See [`crate::event::Reported`].
        at: u64,
        /// What.
        event: KeeperEvent,
    },
}

/// What came of a request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Accepted; what follows is told by events.
    Done,
    /// Attached.
    Attached(KeeperInfo),
    /// The instances held.
    Instances(Vec<InstanceView>),
    /// It listens there; the socket is the frame's descriptor.
    Listening(SocketAddr),
    /// Not done, and why.
    Refused(Refusal),
}

/// Who the keeper is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeeperInfo {
    /// Its process.
    pub pid: i32,
    /// Its package version.
    pub version: String,
    /// Number of the first event that is news; those before it are replayed.
    pub live_from: u64,
}

/// Why the keeper does not do what it is asked.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Refusal {
    /// The two speak different protocols: one was upgraded without the other.
    #[error("the keeper speaks protocol {keeper}, this daemon {daemon}")]
    Protocol {
        /// The keeper's.
        keeper: u32,
        /// The daemon's.
        daemon: u32,
    },
    /// It holds no instance of that name.
    #[error("the keeper holds no instance `{name}`")]
    UnknownInstance {
        /// The name asked for.
        name: String,
    },
    /// It runs, by another spec.
    #[error("`{name}` runs already, at revision {revision}: stop it first")]
    AlreadyRunning {
        /// The instance.
        name: String,
        /// What it runs.
        revision: u64,
    },
    /// It has no process to signal.
    #[error("`{name}` is not running")]
    NotRunning {
        /// The instance.
        name: String,
    },
    /// It has more orders waiting than anyone sensible gives.
    #[error("`{name}` has too many orders waiting")]
    Busy {
        /// The instance.
        name: String,
    },
    /// The keeper holds as many instances as it can.
    #[error("the keeper holds {limit} instances, its limit")]
    Full {
        /// The cap.
        limit: usize,
    },
    /// The spec cannot be run.
    #[error(transparent)]
    Spec {
        /// Why.
        #[serde(rename = "reason")]
        #[from]
        source: SpecError,
    },
    /// Somebody else listens there.
    #[error("port {} is taken{}", address.port(), holder.as_deref().map(|by| format!(" by {by}")).unwrap_or_default())]
    PortTaken {
        /// Where it was to listen.
        address: SocketAddr,
        /// Who listens there, as far as can be known.
        holder: Option<String>,
    },
    /// It cannot listen there.
    #[error("cannot listen at {address}: {reason}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// Not a signal.
    #[error("`{signal}` is not a signal")]
    Signal {
        /// What was given.
        signal: String,
    },
    /// The keeper is going away.
    #[error("the keeper is shutting down")]
    ShuttingDown,
    /// The request was not understood.
    #[error("the keeper did not understand a request: {reason}")]
    Malformed {
        /// What was wrong with it.
        reason: String,
    },
    /// Another daemon connected.
    #[error("a newer daemon took over")]
    Superseded,
}
