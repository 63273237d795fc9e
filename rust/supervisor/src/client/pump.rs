//! The two tasks of a connection to the keeper: one writes requests, one reads replies and events.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::KeeperError;
use crate::event::{KeeperEvent, Reported};
use crate::pipes::McpPipes;
use crate::wire::frame::{Frame, FrameError, JSON_MAX};
use crate::wire::message::{Message, Outcome, Refusal, Request};
use crate::wire::socket::{self, Inbox};

/// What came of a request, and the descriptors that came with it.
pub(super) type Answer = (Outcome, Vec<OwnedFd>);

/// A request on its way, and who waits for its reply.
pub(super) struct Outgoing {
    pub(super) request: Request,
    pub(super) raw: Bytes,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.request.fmt(f)
    }
}

/// Requests sent and not yet answered, by id; gone (`None`) once the connection is.
/// Held for one map operation at a time, so a plain lock is enough.
pub(super) type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>>;

pub(super) fn pack(request: &Request, raw: Bytes) -> Result<Frame, KeeperError> {
    let json = serde_json::to_vec(request).map_err(|_| KeeperError::Answer)?;
    if json.len() > JSON_MAX {
        return Err(FrameError::JsonTooLong { length: json.len() }.into());
    }
    Ok(Frame {
        json: json.into(),
        raw,
        fds: 0,
    })
}

pub(super) async fn write(
    stream: Arc<UnixStream>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    waiting: Waiting,
) {
    let mut id = 0;
    while let Some(Outgoing {
        mut request,
        raw,
        reply,
    }) = outgoing.recv().await
    {
        id += 1;
        request.id = id;
        let frame = match pack(&request, raw) {
            Ok(frame) => frame,
            Err(error) => {
                let reason = error.to_string();
                let refused = Outcome::Refused(Refusal::Malformed { reason });
                let _asker_gone = reply.send((refused, Vec::new()));
                continue;
            }
        };
        match waiting.lock().as_mut() {
            Some(waiting) => waiting.insert(id, reply),
            None => return,
        };
        if socket::send(&stream, &frame, &[]).await.is_err() {
            return;
        }
    }
}

pub(super) async fn read(
    stream: Arc<UnixStream>,
    mut inbox: Inbox,
    waiting: Waiting,
    events: mpsc::Sender<Reported>,
    live_from: u64,
) {
    let (mut last, mut at) = (0, 0);
    while let Ok(Some((frame, fds))) = inbox.receive(&stream).await {
        match serde_json::from_slice(&frame.json) {
            Ok(Message::Reply { id, outcome }) => {
                let asker = waiting
                    .lock()
                    .as_mut()
                    .and_then(|waiting| waiting.remove(&id));
                if let Some(asker) = asker {
                    let _asker_gone = asker.send((outcome, fds));
                }
            }
            Ok(Message::Event {
                seq,
                at: happened,
                mut event,
            }) => {
                attach_descriptors(&mut event, &frame, fds);
                (last, at) = (seq, happened);
                let current =
                    matches!(event, KeeperEvent::Adopted { .. } | KeeperEvent::AdoptedAll);
                let replayed = seq < live_from && !current;
                if events
                    .send(Reported {
                        seq,
                        at,
                        replayed,
                        event,
                    })
                    .await
                    .is_err()
                {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    waiting.lock().take();
    let _consumer_gone = events
        .send(Reported {
            seq: last,
            at,
            replayed: false,
            event: KeeperEvent::Lost,
        })
        .await;
}

fn attach_descriptors(event: &mut KeeperEvent, frame: &Frame, fds: Vec<OwnedFd>) {
    match event {
        KeeperEvent::Spawned { pipes, .. } => *pipes = McpPipes::from_received(fds),
        KeeperEvent::Adopted { pipes, note, .. } => {
            *pipes = McpPipes::from_received(fds);
            *note = frame.raw.to_vec();
        }
        _ => {}
    }
}
