//! A connection over the HTTP+SSE transport of 2024-11-05: one endless event stream from the server, whose first
//! event names the place that messages are posted to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::call::CallError;
use super::closing::{CloseReason, HandshakeError};
use super::config::Endpoint;
use super::core::{Core, Shared};
use super::inbound::Inbound;
use super::link::Link;
use crate::transport::http::{
    Address, BodyError, Client, Events, Prepared, Response, explain, read_whole,
};

const QUEUE: usize = 1000;
const ACCEPT: Duration = Duration::from_secs(30);
const EXPLANATION: usize = 64 << 10;

pub(super) struct SseLink {
    client: Client,
    posting: Prepared,
    /// Where messages go.
    place: Address,
    queue: Mutex<Option<mpsc::Sender<Bytes>>>,
}

/// Opens the event stream and waits for the place that messages go to.
pub(super) async fn open(
    shared: Shared,
    endpoint: &Endpoint,
    within: Duration,
    inbound: Arc<dyn Inbound>,
) -> Result<(Arc<Core>, Vec<JoinHandle<()>>), HandshakeError> {
    let instance = shared.instance.clone();
    let bad = |reason| HandshakeError::BadTarget {
        instance: instance.clone(),
        reason,
    };
    let address = Address::new(endpoint).map_err(bad)?;
    let client = Client::new(address.is_tls()).map_err(|error| bad(error.to_string()))?;
    let opening = begin(&client, &address, shared.limits.max_bytes, &instance);
    let (events, place) = timeout(within, opening).await.unwrap_or_else(|_| {
        let printed = super::Printed::default();
        Err(HandshakeError::TimedOut {
            asked: "initialize",
            instance: instance.clone(),
            after: within,
            printed,
        })
    })?;
    let (queue, queued) = mpsc::channel(QUEUE);
    let link = Arc::new(SseLink {
        client,
        posting: Prepared::new(place.request(Method::POST)),
        place,
        queue: Mutex::new(Some(queue)),
    });
    let core = Core::new(shared, Link::Sse(Arc::clone(&link)), inbound);
    let reading = tokio::spawn(read(Arc::clone(&core), events));
    let sending = tokio::spawn(send_queued(link, queued));
    Ok((core, vec![reading, sending]))
}

async fn begin(
    client: &Client,
    address: &Address,
    limit: usize,
    instance: &str,
) -> Result<(Events, Address), HandshakeError> {
    let instance = || instance.to_owned();
    let response = client
        .send(&Prepared::new(address.request(Method::GET)), Bytes::new())
        .await
        .map_err(|undone| HandshakeError::Unreachable {
            instance: instance(),
            reason: format!("{} at {}", undone.reason, address.uri),
        })?;
    let Response {
        status,
        headers,
        body,
    } = response;
    let kind = headers.get(&http::header::CONTENT_TYPE).unwrap_or_default();
    if status != StatusCode::OK || !kind.to_ascii_lowercase().starts_with("text/event-stream") {
        let said = if status == StatusCode::OK {
            Bytes::from(format!("content of the type `{kind}`, not an event stream"))
        } else {
            read_whole(body, EXPLANATION).await.unwrap_or_default()
        };
        let reason = explain(status, &headers, &said);
        return Err(HandshakeError::Http {
            asked: "initialize",
            instance: instance(),
            status: status.as_u16(),
            reason,
        });
    }
    let mut events = Events::new(body, limit);
    loop {
        match events.next().await {
            Ok(Some(event)) if event.name == "endpoint" => {
                let place = String::from_utf8_lossy(&event.data);
                let place = address
                    .at(&place)
                    .map_err(|reason| HandshakeError::BadTarget {
                        instance: instance(),
                        reason,
                    })?;
                return Ok((events, place));
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                let reason = "its event stream ended before it named an endpoint".to_owned();
                return Err(HandshakeError::NoAnswer {
                    asked: "initialize",
                    instance: instance(),
                    reason,
                });
            }
            Err(error) => {
                return Err(HandshakeError::Unreachable {
                    instance: instance(),
                    reason: error.to_string(),
                });
            }
        }
    }
}

async fn read(core: Arc<Core>, mut events: Events) {
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                if event.is_message() && core.receive(event.data.clone(), None).is_err() {
                    core.garbage(&event.data);
                }
            }
            Ok(None) => return core.close(&CloseReason::StreamEnded),
            Err(BodyError::Broken(reason)) => {
                return core.close(&CloseReason::Io(format!("its event stream: {reason}")));
            }
            Err(error @ BodyError::TooLarge { .. }) => {
                core.oversize(String::new());
                return core.close(&CloseReason::Io(format!("its event stream: {error}")));
            }
        }
    }
}

impl SseLink {
    /// Posts a request; its answer comes in the stream.
    pub(super) async fn call(&self, core: &Core, body: Vec<u8>) -> Result<(), CallError> {
        self.post(&core.instance, body.into()).await
    }

    async fn post(&self, instance: &str, body: Bytes) -> Result<(), CallError> {
        let instance = || instance.to_owned();
        let response = self
            .client
            .send(&self.posting, body)
            .await
            .map_err(|undone| CallError::Unreachable {
                instance: instance(),
                reason: format!("{} at {}", undone.reason, self.place.uri),
                sent: undone.sent,
            })?;
        let Response {
            status,
            headers,
            body,
        } = response;
        let said = read_whole(body, EXPLANATION).await.unwrap_or_default();
        if status.is_success() {
            return Ok(());
        }
        let reason = explain(status, &headers, &said);
        Err(CallError::Http {
            instance: instance(),
            status: status.as_u16(),
            reason,
        })
    }

    /// Sends what wants no answer, in order.
    pub(super) fn enqueue(&self, message: &[u8]) -> bool {
        let queue = self.queue.lock();
        queue
            .as_ref()
            .is_some_and(|queue| queue.try_send(Bytes::copy_from_slice(message)).is_ok())
    }

    pub(super) fn close(&self) {
        self.queue.lock().take();
    }
}

async fn send_queued(link: Arc<SseLink>, mut queued: mpsc::Receiver<Bytes>) {
    while let Some(message) = queued.recv().await {
        // What goes wrong here shows at the next call, which has somebody to tell.
        let _ = timeout(ACCEPT, link.post("", message)).await;
    }
}
