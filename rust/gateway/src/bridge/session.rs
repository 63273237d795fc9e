//! The client's session at the gateway, kept for a client that knows of none. How a request gets its answer is in
//! `ask.rs`.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use backstay_mcp::{Envelope, RawJson, RpcError, jsonrpc};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::ask::{Ended, Heard, is_stream, read_answer};
use super::link::{Failure, Link};

/// How often a request is asked again that changes nothing.
pub(super) const TRIES: usize = 3;
/// Pause before the stream of the gateway's own messages is opened again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Session {
    pub(super) link: Link,
    out: mpsc::Sender<Bytes>,
    /// Held for one copy or assignment.
    pub(super) opened: Mutex<Opened>,
    /// One opening at a time; held while it lasts.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
pub(super) struct Opened {
    /// The client's `initialize`, for opening again.
    initialize: Option<Envelope>,
    id: String,
    version: String,
    /// Counts openings.
    pub(super) number: u64,
    listener: Option<AbortHandle>,
}

impl Session {
    pub(super) fn new(socket: &Path, path: &str, out: mpsc::Sender<Bytes>) -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(socket, path),
            out,
            opened: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        })
    }

    /// Passes the client's `initialize`, and listens from then on.
    pub(super) async fn open(self: Arc<Self>, initialize: Envelope) {
        let id = initialize.id().unwrap_or(RawJson::NULL);
        let opening = self.opening.lock().await;
        match self.handshake(&initialize).await {
            Ok(answer) => {
                let listener = tokio::spawn(Self::listen(Arc::downgrade(&self))).abort_handle();
                let former = {
                    let mut opened = self.opened.lock();
                    opened.initialize = Some(initialize);
                    opened.listener.replace(listener)
                };
                if let Some(former) = former {
                    former.abort();
                }
                drop(opening);
                self.say(answer).await;
            }
            Err(error) => self.say(jsonrpc::error(Some(&id), &error).into()).await,
        }
    }

    async fn handshake(&self, initialize: &Envelope) -> Result<Bytes, RpcError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Agreed {
            protocol_version: String,
        }
        let response = self
            .link
            .send(Method::POST, &[], initialize.bytes().clone())
            .await
            .map_err(unreachable)?;
        let id = response
            .headers()
            .get("mcp-session-id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let answer = read_answer(response, initialize.id().as_ref()).await?;
        if let Some(error) = answer.error() {
            return Err(RpcError::read(&error));
        }
        let agreed = answer
            .result()
            .and_then(|result| result.read::<Agreed>().ok());
        let mut opened = self.opened.lock();
        opened.id = id;
        opened.version = agreed
            .map(|agreed| agreed.protocol_version)
            .unwrap_or_default();
        opened.number += 1;
        Ok(answer.bytes().clone())
    }

    /// The session of this number is unknown to the gateway: opens another with the same words.
    pub(super) async fn reopen(&self, number: u64) -> Result<(), RpcError> {
        let _opening = self.opening.lock().await;
        let (initialize, current) = {
            let opened = self.opened.lock();
            (opened.initialize.clone(), opened.number)
        };
        if current != number {
            return Ok(());
        }
        let initialize = initialize
            .ok_or_else(|| RpcError::new(jsonrpc::INVALID_REQUEST, "`initialize` comes first"))?;
        self.handshake(&initialize).await?;
        let initialized = jsonrpc::notification("notifications/initialized", None);
        let _ = self.post(initialized.into()).await;
        Ok(())
    }

    /// Passes a notification or an answer.
    pub(super) async fn tell(&self, message: &Envelope) {
        for _ in 0..TRIES {
            let number = self.opened.lock().number;
            match self.post(message.bytes().clone()).await {
                Ok(response)
                    if response.status() == StatusCode::NOT_FOUND && self.knows_session() =>
                {
                    if self.reopen(number).await.is_err() {
                        return;
                    }
                }
                Err(Failure::Lost) => {}
                _ => return,
            }
        }
    }

    /// Keeps the stream open on which the gateway says what belongs to no request.
    async fn listen(weak: Weak<Self>) {
        let mut last = String::new();
        let mut heard = 0;
        let mut pause = PAUSE;
        loop {
            let Some(session) = weak.upgrade() else {
                return;
            };
            let number = session.opened.lock().number;
            if number != heard {
                (heard, last) = (number, String::new());
            }
            match session
                .get(
                    Some(&last)
                        .filter(|last| !last.is_empty())
                        .map(String::as_str),
                )
                .await
            {
                Ok(response) if is_stream(&response) => {
                    pause = PAUSE;
                    if let Ended::Broken(further) = session
                        .pass_stream(response, None, last.clone(), |_| Heard::Pass)
                        .await
                    {
                        last = further;
                    }
                }
                Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                    let _ = session.reopen(number).await;
                }
                _ => {}
            }
            drop(session);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The client is gone.
    pub(super) async fn end(&self) {
        let opened = self.opened.lock().clone();
        if let Some(listener) = opened.listener {
            listener.abort();
        }
        if !opened.id.is_empty() {
            let headers = [("mcp-session-id", opened.id.as_str())];
            let _ = tokio::time::timeout(
                PAUSE * 10,
                self.link.send(Method::DELETE, &headers, Bytes::new()),
            )
            .await;
        }
    }

    pub(super) fn knows_session(&self) -> bool {
        !self.opened.lock().id.is_empty()
    }

    pub(super) async fn post(&self, body: Bytes) -> Result<Response<Incoming>, Failure> {
        let opened = self.opened.lock().clone();
        self.link.send(Method::POST, &opened.headers(), body).await
    }

    pub(super) async fn get(&self, last: Option<&str>) -> Result<Response<Incoming>, Failure> {
        let opened = self.opened.lock().clone();
        let mut headers = opened.headers();
        headers.extend(last.map(|last| ("last-event-id", last)));
        self.link.send(Method::GET, &headers, Bytes::new()).await
    }

    pub(super) async fn say(&self, message: Bytes) {
        let _ = self.out.send(message).await;
    }
}

impl Opened {
    fn headers(&self) -> Vec<(&'static str, &str)> {
        let mut headers = Vec::new();
        if !self.id.is_empty() {
            headers.push(("mcp-session-id", self.id.as_str()));
        }
        if !self.version.is_empty() {
            headers.push(("mcp-protocol-version", self.version.as_str()));
        }
        headers
    }
}

pub(super) fn unreachable(failure: Failure) -> RpcError {
    let message = match failure {
        Failure::Nobody(error) => {
            format!("the fleet's gateway is not there: {error}; is the fleet up?")
        }
        Failure::Lost => "the daemon restarted during the call; its answer is lost".to_owned(),
    };
    RpcError::new(jsonrpc::CONNECTION_CLOSED, message)
}
