//! The daemon's connection, from the keeper's side.
//!
//! Two tasks a connection: one reads requests and hands them on one at a time,
//! one writes replies and events in the order they are given. Neither can stall
//! the fleet: a daemon that does not read is disconnected.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backstay_supervisor::McpPipes;
use backstay_supervisor::log::pump::Log;
use backstay_supervisor::wire::frame::Frame;
use backstay_supervisor::wire::message::{Command, Message, Outcome, PROTOCOL, Refusal, Request};
use backstay_supervisor::wire::socket::{self, Inbox};
use bytes::Bytes;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::ring::EVENTS_MAX;

/// Time a peer has to say what it wants.
const GREETING: Duration = Duration::from_secs(5);
/// Frames that may wait for a slow daemon: all that is ever replayed, all adoptions, and as much news.
const QUEUE: usize = 3 * EVENTS_MAX;

/// A peer that asked to be the keeper's daemon.
#[derive(Debug)]
pub(crate) struct Arrival {
    stream: UnixStream,
    inbox: Inbox,
    /// The number of its request.
    pub(crate) request: u64,
    /// The newest event it knows.
    pub(crate) after: Option<u64>,
}

/// Something the daemon asks, or its end.
#[derive(Debug)]
pub(crate) enum Said {
    Request {
        request: Request,
        raw: Bytes,
    },
    /// It sent a frame that is no request we know.
    Malformed {
        id: u64,
        reason: String,
    },
    /// It closed the connection, or what it sent is no frame.
    Gone,
}

/// The descriptors that go with a frame.
#[derive(Clone, Debug, Default)]
pub(crate) enum With {
    #[default]
    Nothing,
    Pipes(Arc<McpPipes>),
    Socket(Arc<OwnedFd>),
}

impl From<Option<Arc<McpPipes>>> for With {
    fn from(pipes: Option<Arc<McpPipes>>) -> Self {
        pipes.map_or(Self::Nothing, Self::Pipes)
    }
}

impl With {
    fn borrowed(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Pipes(pipes) => pipes.borrowed().to_vec(),
            Self::Socket(socket) => vec![socket.as_fd()],
        }
    }
}

/// One frame to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) json: Bytes,
    pub(crate) raw: Bytes,
    pub(crate) with: With,
    /// The event's number, if it is news.
    pub(crate) seq: Option<u64>,
}

/// The connected daemon.
#[derive(Debug)]
pub(crate) struct Connection {
    outgoing: mpsc::Sender<Outgoing>,
    said: mpsc::Receiver<Said>,
    /// Number of the newest event written to the socket.
    sent: Arc<AtomicU64>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

/// Accepts peers and lets those in that greet as a daemon does.
pub(crate) async fn accept(listener: UnixListener, arrivals: mpsc::Sender<Arrival>, log: Log) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let arrivals = arrivals.clone();
                tokio::spawn(async move {
                    let greeting = tokio::time::timeout(GREETING, greet(stream));
                    if let Ok(Some(arrival)) = greeting.await {
                        let _ending = arrivals.send(arrival).await;
                    }
                });
            }
            Err(error) => {
                // Out of descriptors: nothing to do but wait for some to be freed.
                log.note(&format!("a connection could not be accepted: {error}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn greet(stream: UnixStream) -> Option<Arrival> {
    let own = rustix::process::getuid().as_raw();
    let peer = stream.peer_cred().ok()?.uid();
    if peer != own && peer != 0 {
        return None;
    }
    let mut inbox = Inbox::default();
    let (frame, _) = inbox.receive(&stream).await.ok()??;
    let refusal = match serde_json::from_slice(&frame.json) {
        Ok(Request {
            id,
            command:
                Command::Attach {
                    protocol: PROTOCOL,
                    after,
                },
        }) => {
            return Some(Arrival {
                stream,
                inbox,
                request: id,
                after,
            });
        }
        Ok(Request {
            command: Command::Attach { protocol, .. },
            ..
        }) => Refusal::Protocol {
            keeper: PROTOCOL,
            daemon: protocol,
        },
        Ok(_) => Refusal::Malformed {
            reason: "the first request is not `attach`".to_owned(),
        },
        Err(error) => Refusal::Malformed {
            reason: error.to_string(),
        },
    };
    let json = reply(0, Outcome::Refused(refusal));
    let _gone_already = socket::send(
        &stream,
        &Frame {
            json,
            ..Frame::default()
        },
        &[],
    )
    .await;
    None
}

/// A reply's message.
pub(crate) fn reply(id: u64, outcome: Outcome) -> Bytes {
    // Our own types, with string keys only: nothing in them can fail to be JSON.
    serde_json::to_vec(&Message::Reply { id, outcome })
        .unwrap_or_default()
        .into()
}

impl Connection {
    /// Takes up an arrival; events up to `sent` count as sent.
    pub(crate) fn open(arrival: Arrival, sent: u64) -> Self {
        let stream = Arc::new(arrival.stream);
        let (outgoing, frames) = mpsc::channel(QUEUE);
        let (saying, said) = mpsc::channel(1);
        let sent = Arc::new(AtomicU64::new(sent));
        let reader = tokio::spawn(read(Arc::clone(&stream), arrival.inbox, saying));
        let writer = tokio::spawn(write(stream, frames, Arc::clone(&sent)));
        Self {
            outgoing,
            said,
            sent,
            reader,
            writer,
        }
    }

    /// What the daemon says next.
    pub(crate) async fn said(&mut self) -> Said {
        self.said.recv().await.unwrap_or(Said::Gone)
    }

    /// Queues a frame; false if the daemon is gone or too far behind to be caught up.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        self.outgoing.try_send(outgoing).is_ok()
    }

    /// Number of the newest event that was written to the socket.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Writes what is queued, then closes.
    pub(crate) async fn finish(mut self) {
        let (closed, _) = mpsc::channel(1);
        self.outgoing = closed;
        let _written = (&mut self.writer).await;
    }
}

async fn read(stream: Arc<UnixStream>, mut inbox: Inbox, saying: mpsc::Sender<Said>) {
    while let Ok(Some((frame, _))) = inbox.receive(&stream).await {
        let said = match serde_json::from_slice(&frame.json) {
            Ok(request) => Said::Request {
                request,
                raw: frame.raw,
            },
            Err(error) => Said::Malformed {
                id: id_of(&frame.json),
                reason: error.to_string(),
            },
        };
        if saying.send(said).await.is_err() {
            return;
        }
    }
    let _nobody_listens = saying.send(Said::Gone).await;
}

/// The number of a request that is otherwise not understood, so that its asker need not wait.
fn id_of(json: &[u8]) -> u64 {
    let request: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    request["id"].as_u64().unwrap_or(0)
}

async fn write(
    stream: Arc<UnixStream>,
    mut frames: mpsc::Receiver<Outgoing>,
    sent: Arc<AtomicU64>,
) {
    while let Some(Outgoing {
        json,
        raw,
        with,
        seq,
    }) = frames.recv().await
    {
        let fds = with.borrowed();
        let frame = Frame {
            json,
            raw,
            fds: fds.len(),
        };
        if socket::send(&stream, &frame, &fds).await.is_err() {
            return;
        }
        if let Some(seq) = seq {
            sent.store(seq, Ordering::Relaxed);
        }
    }
}
