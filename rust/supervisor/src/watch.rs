//! Children and their exits, by pidfd.
//!
//! A pidfd names one process for ever, so neither a wait nor a signal can hit a
//! stranger that got the number later. [`Child`] is a process we started and must
//! reap; [`Process`] any other we only watch and signal. [`Nursery`] also reaps
//! the orphans that a subreaper inherits.

// Registering a descriptor asks for its owner's word that it stays open; and
// `waitid` with `WNOWAIT` over all children tells *which* child is dead without
// taking it from whoever waits for it; rustix does not expose the pid it reports.
#![allow(unsafe_code)]

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::signal::Signal;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether it ended well.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit code, if it exited.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) => None,
        }
    }

    /// The name of the signal, if one ended it.
    pub fn signal(self) -> Option<String> {
        match self {
            Self::Code(_) => None,
            Self::Signal(number) => Some(
                Signal::from_number(number)
                    .map_or_else(|| number.to_string(), |signal| signal.to_string()),
            ),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.signal()) {
            (Self::Code(code), _) => write!(f, "exited with code {code}"),
            (Self::Signal(_), name) => write!(f, "was ended by {}", name.unwrap_or_default()),
        }
    }
}

/// Any process, held by pidfd.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    pidfd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Takes hold of the process that has this number *now*.
    pub fn open(pid: i32) -> io::Result<Self> {
        let number = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = rustix::process::pidfd_open(number, PidfdFlags::NONBLOCK)?;
        // SAFETY: the `AsyncFd` owns the descriptor, so it is open for as long as it is registered.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE)? };
        Ok(Self { pid, pidfd })
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal; an error if it is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(
            self.pidfd.get_ref(),
            signal.raw(),
        )?)
    }

    /// Waits until it has ended, reaped or not.
    pub async fn ended(&self) -> io::Result<()> {
        // A pidfd stays readable once its process is dead, so readiness is never taken back.
        self.pidfd
            .readable()
            .await
            .map(|mut guard| guard.retain_ready())
    }
}

/// A process we started: its exit is ours to take.
#[derive(Debug)]
pub struct Child {
    process: Process,
    nursery: Nursery,
    exit: OnceLock<Exit>,
}

impl Child {
    /// Its number, which is also its session's and its process group's.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Sends it a signal; an error if it is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.process.signal(signal)
    }

    /// Waits until it has ended, and leaves its exit to be taken: until then its number,
    /// and with it its session's and its group's, cannot become another's.
    pub async fn ended(&self) -> io::Result<()> {
        self.process.ended().await
    }

    /// Whether its exit was taken.
    pub fn is_reaped(&self) -> bool {
        self.exit.get().is_some()
    }

    /// Waits for its exit and takes it. May be called any number of times and dropped at any point.
    pub async fn wait(&self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.take_exit()? {
                return Ok(exit);
            }
            self.process.ended().await?;
        }
    }

    /// Takes its exit if it has ended.
    pub fn take_exit(&self) -> io::Result<Option<Exit>> {
        if let Some(exit) = self.exit.get() {
            return Ok(Some(*exit));
        }
        let id = WaitId::PidFd(self.process.pidfd.get_ref().as_fd());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let Some(status) = rustix::process::waitid(id, options)? else {
            return Ok(None);
        };
        let code = || Exit::Code(status.exit_status().unwrap_or(-1));
        let exit = status.terminating_signal().map_or_else(code, Exit::Signal);
        let _first = self.exit.set(exit);
        self.nursery.gone(self.pid());
        Ok(Some(exit))
    }
}

impl Drop for Child {
    /// One that nobody waits for any more is the reaper's, like an orphan.
    fn drop(&mut self) {
        if self.exit.get().is_none() {
            self.nursery.gone(self.pid());
        }
    }
}

/// The children of this process, told apart from orphans it inherits.
///
/// Spawn and [`Nursery::reap_orphans`] belong on one thread: a child is known
/// before the reaper can look for the first time.
#[derive(Clone, Debug, Default)]
pub struct Nursery(Arc<Children>);

#[derive(Debug, Default)]
struct Children {
    /// Children someone waits for. Held for single set operations only.
    known: Mutex<HashSet<i32>>,
    /// A known child was reaped: the reaper may see past it now.
    reaped: Notify,
}

impl Nursery {
    /// Takes charge of a process just started by this one.
    pub fn adopt(&self, pid: i32) -> io::Result<Child> {
        let process = Process::open(pid)?;
        self.0.known.lock().insert(pid);
        Ok(Child {
            process,
            nursery: self.clone(),
            exit: OnceLock::new(),
        })
    }

    /// The children someone waits for.
    pub fn children(&self) -> HashSet<i32> {
        self.0.known.lock().clone()
    }

    fn gone(&self, pid: i32) {
        self.0.known.lock().remove(&pid);
        self.0.reaped.notify_one();
    }

    /// Reaps orphans for as long as it is polled. Needs a subreaper to have any effect.
    pub async fn reap_orphans(&self) -> io::Result<()> {
        let mut ended = signal(SignalKind::child())?;
        loop {
            self.reap_dead_orphans();
            tokio::select! {
                _ = ended.recv() => {}
                () = self.0.reaped.notified() => {}
            }
        }
    }

    /// Reaps the orphans that are dead, up to the first dead child that someone
    /// waits for: the kernel shows one at a time, and that one's own waiter calls us again.
    fn reap_dead_orphans(&self) {
        while let Some(pid) = first_dead_child() {
            if self.0.known.lock().contains(&pid.as_raw_nonzero().get()) {
                return;
            }
            let _already_reaped =
                rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        }
    }
}

fn first_dead_child() -> Option<Pid> {
    // SAFETY: `siginfo_t` is plain data for which all zeroes is valid, and `waitid`
    // writes to nothing but the one we pass.
    let info = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &raw mut info, options) != 0 {
            return None;
        }
        info
    };
    // SAFETY: filled by `waitid`, which sets the pid, or left zero by it.
    Pid::from_raw(unsafe { info.si_pid() })
}
