//! From a command line to a keeper that holds its listeners, or one clear error.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use backstay_supervisor::census::House;
use backstay_supervisor::log::file::LogFile;
use backstay_supervisor::log::pump::Log;
use backstay_supervisor::spawn::{Inheritance, SpawnError, find_program};
use backstay_supervisor::spec::LogPolicy;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::UnixListener;

use crate::command_line::CommandLine;
use crate::keep::{Keeping, Surroundings};
use crate::leftovers::{self, Leftover};
use crate::listeners::{self, Listening, SocketFile};
use crate::signals::Signals;
use crate::state_dir::StateDir;

/// How much is kept of what the keeper and the daemon have to say.
pub(crate) const OWN_LOGS: LogPolicy = LogPolicy {
    max_bytes: 5 << 20,
    max_files: 3,
};

/// Why the keeper does not start. Printed as one JSON line, with what to do about it.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error("{problem}")]
    Usage { problem: String },
    #[error("the state directory {} cannot be used: {source}", path.display())]
    StateDir { path: PathBuf, source: io::Error },
    #[error("a keeper already runs for {}{}", path.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    AlreadyRunning { path: PathBuf, pid: Option<i32> },
    #[error("{address} is taken{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    PortTaken {
        name: String,
        address: SocketAddr,
        holder: Option<String>,
    },
    #[error("cannot listen at {place}: {source}")]
    Listen { place: String, source: io::Error },
    #[error("the daemon cannot be started: {source}")]
    Daemon { source: SpawnError },
    #[error("the system refuses: {source}")]
    System { source: io::Error },
}

impl StartError {
    /// A short name for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::Usage { .. } => "usage",
            Self::StateDir { .. } => "state_dir",
            Self::AlreadyRunning { .. } => "already_running",
            Self::PortTaken { .. } => "port_taken",
            Self::Listen { .. } => "listen",
            Self::Daemon { .. } => "daemon",
            Self::System { .. } => "system",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Usage { .. } => "backstay-keeper is started by `backstay up`".to_owned(),
            Self::StateDir { .. } => "make the directory beside the stack file writable".to_owned(),
            Self::AlreadyRunning { .. } => {
                "use `backstay ps` to see the fleet, `backstay down` to end it".to_owned()
            }
            Self::PortTaken { name, .. } => {
                format!("end that process, or give `{name}.listen` another port")
            }
            Self::Listen { .. } => {
                "check the address and the permissions of its directory".to_owned()
            }
            Self::Daemon { .. } => {
                "the installation is incomplete: install backstay again".to_owned()
            }
            Self::System { .. } => {
                "the machine may be out of memory, processes or open files".to_owned()
            }
        }
    }

    /// What is printed.
    pub(crate) fn line(&self) -> Value {
        let mut line = json!({"error": self.to_string(), "hint": self.hint(), "code": self.code()});
        match self {
            Self::AlreadyRunning { pid, .. } => line["pid"] = json!(pid),
            Self::PortTaken { name, address, .. } => {
                line["listener"] = json!(name);
                line["address"] = json!(address);
            }
            _ => {}
        }
        line
    }
}

/// A keeper that holds everything it needs and has told nobody yet.
#[derive(Debug)]
pub(crate) struct Started {
    state: StateDir,
    listening: Vec<Listening>,
    signals: Signals,
    socket: (UnixListener, SocketFile),
    leftovers: Vec<Leftover>,
    daemon: Vec<String>,
    surroundings: Surroundings,
}

/// Takes the state directory, ends what a dead keeper left, and binds the listeners.
///
/// In this order: only the one keeper of a directory may look for leftovers, and
/// those may still hold the ports.
pub(crate) async fn start(
    line: CommandLine,
    reserved: Vec<OwnedFd>,
) -> Result<Started, StartError> {
    let inheritance = Inheritance::current();
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let limit = inheritance.open_files;
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _as_it_was_then = rustix::process::setrlimit(Resource::Nofile, raised);
    if let Some(program) = line.daemon.first() {
        let path = std::env::var("PATH").unwrap_or_default();
        let here = std::env::current_dir().unwrap_or_default();
        find_program(program, &path, &here).map_err(|source| StartError::Daemon { source })?;
    }
    let signals = Signals::catch().map_err(|source| StartError::System { source })?;
    let state = StateDir::take(&line.state_dir)?;
    let house = House::new(state.path());
    let leftovers = leftovers::stop(&house, &state).await;
    let listening = listeners::bind(&line.listeners, state.path(), reserved)?;
    let socket = listeners::bind_own(&state.socket())?;
    let log = Log::new(LogFile::new(&state.logs(), "keeper", OWN_LOGS));
    let surroundings = Surroundings {
        house,
        inheritance,
        logs: Arc::from(state.logs()),
        log,
    };
    Ok(Started {
        state,
        listening,
        signals,
        socket,
        leftovers,
        daemon: line.daemon,
        surroundings,
    })
}

impl Started {
    /// What whoever started the keeper is told.
    pub(crate) fn ready_line(&self) -> Value {
        let listeners: serde_json::Map<_, _> = self
            .listening
            .iter()
            .map(|one| (one.name.clone(), Value::from(one.address.clone())))
            .collect();
        json!({
            "ready": true,
            "pid": std::process::id(),
            "listeners": listeners,
            "leftovers": self.leftovers,
        })
    }

    /// Lets go of the terminal, the session and the directory of whoever started it.
    pub(crate) fn detach(self) -> io::Result<Keeping> {
        let _leader_already = rustix::process::setsid();
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        rustix::process::chdir("/")?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        // Only a panic writes to standard error; the log's own lines go through `Log`.
        let log = self.state.logs().join("keeper.log");
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        match rustix::fs::open(log, flags, Mode::RUSR | Mode::WUSR) {
            Ok(log) => rustix::stdio::dup2_stderr(&log)?,
            Err(_) => rustix::stdio::dup2_stderr(&null)?,
        }
        let Self {
            state,
            listening,
            signals,
            socket,
            leftovers,
            daemon,
            surroundings,
        } = self;
        Ok(Keeping {
            state,
            listening,
            signals,
            socket,
            leftovers,
            daemon,
            surroundings,
        })
    }
}
