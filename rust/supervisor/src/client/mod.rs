//! The daemon's end of the connection to the keeper.
//!
//! Commands are answered as soon as the keeper has accepted them; what comes of
//! them arrives as events, in the keeper's order. Here is what can be asked; `pump.rs` has the two tasks that carry it.
//! The keeper's own half is in `rust/keeper/src/connection.rs`.

mod pump;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::unix::pid_t;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use pump::{Answer, Outgoing, Waiting, pack, read, write};

use crate::address;
use crate::event::{InstanceView, Reported};
use crate::spec::InstanceSpec;
use crate::wire::frame::{FrameError, RAW_MAX};
use crate::wire::message::{Command, KeeperInfo, Message, Outcome, PROTOCOL, Refusal, Request};
use crate::wire::socket::{self, Inbox};

/// Longest wait for a connection and for any reply. The keeper answers at once, so
/// this is only ever reached when it is stopped or the machine is out of memory.
const DEADLINE: Duration = Duration::from_secs(10);
/// Events the consumer may be behind before the keeper is made to wait.
const EVENTS: usize = 4096;
/// Requests on their way to the socket.
const REQUESTS: usize = 64;

/// Why the keeper did not do as asked.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// Nothing answers at the socket.
    #[error("no keeper answers at {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The connection is gone: the keeper died or a newer daemon took over.
    #[error("the connection to the keeper is lost")]
    Lost,
    /// No answer in time.
    #[error("the keeper did not answer within {} s", DEADLINE.as_secs())]
    Deadline,
    /// The request is over a limit and was not sent.
    #[error(transparent)]
    TooLarge(#[from] FrameError),
    /// The keeper answered, and says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The keeper answered with something else than what was asked for.
    #[error("the keeper's answer was not understood")]
    Answer,
}

/// A connection to the keeper. Cloning gives another handle to the same one;
/// it closes when the last handle is gone.
#[derive(Clone, Debug)]
pub struct KeeperClient {
    requests: mpsc::Sender<Outgoing>,
    info: Arc<KeeperInfo>,
    _reader: Arc<Reader>,
}

/// Ends the reading task with the last handle.
#[derive(Debug)]
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl KeeperClient {
    /// Connects as the keeper's daemon, in place of any former one.
    ///
    /// The receiver yields, in this order: the events no daemon has seen
    /// (`replayed`), [`KeeperEvent::Adopted`](crate::event::KeeperEvent::Adopted) for every instance held,
    /// [`KeeperEvent::AdoptedAll`](crate::event::KeeperEvent::AdoptedAll), what happens from now on, and at the end
    /// [`KeeperEvent::Lost`](crate::event::KeeperEvent::Lost).
    pub async fn connect(sock: &Path) -> Result<(Self, mpsc::Receiver<Reported>), KeeperError> {
        Self::connect_after(sock, None).await
    }

    /// Like [`Self::connect`], with the events after number `seq` replayed, as far
    /// as the keeper still has them.
    pub async fn connect_after(
        sock: &Path,
        seq: Option<u64>,
    ) -> Result<(Self, mpsc::Receiver<Reported>), KeeperError> {
        let attaching = Self::attach(sock, seq);
        tokio::time::timeout(DEADLINE, attaching)
            .await
            .unwrap_or(Err(KeeperError::Deadline))
    }

    async fn attach(
        sock: &Path,
        after: Option<u64>,
    ) -> Result<(Self, mpsc::Receiver<Reported>), KeeperError> {
        let stream = address::connect(sock)
            .await
            .map_err(|source| KeeperError::Connect {
                path: sock.to_owned(),
                source,
            })?;
        let hello = Request {
            id: 0,
            command: Command::Attach {
                protocol: PROTOCOL,
                after,
            },
        };
        socket::send(&stream, &pack(&hello, Bytes::new())?, &[])
            .await
            .map_err(|_| KeeperError::Lost)?;
        let mut inbox = Inbox::default();
        let Ok(Some((first, _))) = inbox.receive(&stream).await else {
            return Err(KeeperError::Lost);
        };
        let info = match serde_json::from_slice(&first.json) {
            Ok(Message::Reply {
                outcome: Outcome::Attached(info),
                ..
            }) => info,
            Ok(Message::Reply {
                outcome: Outcome::Refused(refusal),
                ..
            }) => return Err(refusal.into()),
            _ => return Err(KeeperError::Answer),
        };
        let stream = Arc::new(stream);
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let (requests, outgoing) = mpsc::channel(REQUESTS);
        let (events, receiver) = mpsc::channel(EVENTS);
        tokio::spawn(write(Arc::clone(&stream), outgoing, Arc::clone(&waiting)));
        let reader = tokio::spawn(read(stream, inbox, waiting, events, info.live_from));
        Ok((
            Self {
                requests,
                info: Arc::new(info),
                _reader: Arc::new(Reader(reader)),
            },
            receiver,
        ))
    }

    /// Who the keeper is.
    pub fn keeper(&self) -> &KeeperInfo {
        &self.info
    }

    /// Has an instance started; does nothing if it runs by this very spec.
    pub async fn start(&self, spec: InstanceSpec) -> Result<(), KeeperError> {
        self.order(Command::Start {
            spec: Box::new(spec),
        })
        .await
    }

    /// Has an instance ended; ends in [`KeeperEvent::Stopped`](crate::event::KeeperEvent::Stopped).
    pub async fn stop(&self, name: &str) -> Result<(), KeeperError> {
        self.order(Command::Stop {
            name: name.to_owned(),
        })
        .await
    }

    /// Has an instance ended if it runs, and forgotten; ends in [`KeeperEvent::Removed`](crate::event::KeeperEvent::Removed).
    pub async fn remove(&self, name: &str) -> Result<(), KeeperError> {
        self.order(Command::Remove {
            name: name.to_owned(),
        })
        .await
    }

    /// Has an instance ended and started again, its restarts counted from zero.
    pub async fn restart(&self, name: &str) -> Result<(), KeeperError> {
        self.order(Command::Restart {
            name: name.to_owned(),
        })
        .await
    }

    /// Has a signal sent to an instance's main process.
    pub async fn signal(&self, name: &str, signal: &str) -> Result<(), KeeperError> {
        self.order(Command::Signal {
            name: name.to_owned(),
            signal: signal.to_owned(),
        })
        .await
    }

    /// Leaves a note for the next daemon, about the process `pid` of an instance.
    ///
    /// At most 64 KiB. It is handed back in [`KeeperEvent::Adopted`](crate::event::KeeperEvent::Adopted) for as long as
    /// that process lives; a note about an earlier process is dropped.
    pub async fn set_note(
        &self,
        name: &str,
        pid: Option<pid_t>,
        note: Bytes,
    ) -> Result<(), KeeperError> {
        if note.len() > RAW_MAX {
            return Err(FrameError::RawTooLong { length: note.len() }.into());
        }
        done(
            self.ask(
                Command::SetNote {
                    name: name.to_owned(),
                    pid,
                },
                note,
            )
            .await?
            .0,
        )
    }

    /// Says that events up to `seq` are dealt with and need never be replayed.
    ///
    /// Once a daemon has done so, the keeper replays what was not acknowledged
    /// rather than what was not sent.
    pub async fn acknowledge(&self, seq: u64) -> Result<(), KeeperError> {
        self.order(Command::Acknowledge { seq }).await
    }

    /// Has the keeper hold a listening TCP socket, and gives a duplicate of it. A daemon that asks for what a
    /// former one asked for gets the same socket: connections that came in between wait in it.
    pub async fn listen(
        &self,
        name: &str,
        address: SocketAddr,
    ) -> Result<(OwnedFd, SocketAddr), KeeperError> {
        let command = Command::Listen {
            name: name.to_owned(),
            address,
        };
        let (outcome, fds) = self.ask(command, Bytes::new()).await?;
        match (outcome, fds.into_iter().next()) {
            (Outcome::Listening(address), Some(socket)) => Ok((socket, address)),
            (other, _) => done(other).and(Err(KeeperError::Answer)),
        }
    }

    /// Has the keeper close every socket of [`Self::listen`] but those of these names.
    pub async fn unlisten(&self, except: Vec<String>) -> Result<(), KeeperError> {
        self.order(Command::Unlisten { except }).await
    }

    /// What the keeper holds.
    pub async fn list(&self) -> Result<Vec<InstanceView>, KeeperError> {
        match self.ask(Command::List, Bytes::new()).await?.0 {
            Outcome::Instances(instances) => Ok(instances),
            other => done(other).and(Err(KeeperError::Answer)),
        }
    }

    /// Ends all instances, this daemon and the keeper; the events go on to the last.
    pub async fn shutdown(&self) -> Result<(), KeeperError> {
        self.order(Command::Shutdown).await
    }

    async fn order(&self, command: Command) -> Result<(), KeeperError> {
        done(self.ask(command, Bytes::new()).await?.0)
    }

    async fn ask(&self, command: Command, raw: Bytes) -> Result<Answer, KeeperError> {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            // The writer numbers requests: it alone knows their order on the wire.
            let outgoing = Outgoing {
                request: Request { id: 0, command },
                raw,
                reply,
            };
            self.requests
                .send(outgoing)
                .await
                .map_err(|_| KeeperError::Lost)?;
            answer.await.map_err(|_| KeeperError::Lost)
        };
        tokio::time::timeout(DEADLINE, asking)
            .await
            .unwrap_or(Err(KeeperError::Deadline))
    }
}

fn done(outcome: Outcome) -> Result<(), KeeperError> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Attached(_) | Outcome::Instances(_) | Outcome::Listening(_) => {
            Err(KeeperError::Answer)
        }
    }
}
