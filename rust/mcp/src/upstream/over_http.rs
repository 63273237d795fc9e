//! A connection over streamable HTTP (2025-03-26 and later): every message is a request of its own, and its
//! answer may be a stream.
//!
//! The connection as such cannot end: a server that is gone shows at the next call. A server that has forgotten
//! the session (404) is greeted anew, once for all calls that find out, and each of them is tried once more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::call::CallError;
use super::closing::HandshakeError;
use super::config::Endpoint;
use super::core::{Core, Shared};
use super::handshake::{Greeting, shake};
use super::inbound::Inbound;
use super::info::ServerInfo;
use super::link::Link;
use crate::transport::http::{
    Address, BodyError, Client, Events, LAST_EVENT, SESSION, VERSION, describe, explain, read_whole,
};

/// Messages without an answer that wait for their turn.
const QUEUE: usize = 1000;
/// How long a server may take to accept such a message.
const ACCEPT: Duration = Duration::from_secs(30);
/// When a broken stream is tried again, where the server did not say, and how that grows.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// What is read of a body that only explains a status.
const EXPLANATION: usize = 64 << 10;
/// How long the rest of a stream may take to end after its answer came, so that its connection can be used again.
const TAIL: Duration = Duration::from_secs(5);

pub(super) struct HttpLink {
    client: Client,
    address: Address,
    greeting: Greeting,
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Bytes>>>,
    /// What the answer to the running `initialize` gave as the session's id.
    opened: Mutex<Option<String>>,
    /// Held while a session is renewed; an async lock, as that takes a while and others wait for it.
    renewing: tokio::sync::Mutex<()>,
    /// There is a session that the server may send messages of its own in.
    listening: Notify,
}

/// Opens a connection, which sends nothing yet.
pub(super) fn open(
    shared: Shared,
    endpoint: &Endpoint,
    greeting: Greeting,
    inbound: Arc<dyn Inbound>,
) -> Result<(Arc<Core>, Vec<JoinHandle<()>>), HandshakeError> {
    let bad = |reason| HandshakeError::BadTarget {
        instance: shared.instance.clone(),
        reason,
    };
    let address = Address::new(endpoint).map_err(bad)?;
    let client = Client::new(address.is_tls()).map_err(|error| bad(error.to_string()))?;
    let (queue, queued) = mpsc::channel(QUEUE);
    let link = Arc::new(HttpLink {
        client,
        address,
        greeting,
        queue: Mutex::new(Some(queue)),
        opened: Mutex::default(),
        renewing: tokio::sync::Mutex::default(),
        listening: Notify::new(),
    });
    let core = Core::new(shared, Link::Http(Arc::clone(&link)), inbound);
    let sending = tokio::spawn(send_queued(Arc::clone(&link), Arc::clone(&core), queued));
    let listening = tokio::spawn(listen(link, Arc::clone(&core)));
    Ok((core, vec![sending, listening]))
}

/// Which session a request belongs to.
#[derive(Clone, Copy)]
enum In<'a> {
    /// None: it opens one.
    New,
    /// This one.
    Session(&'a ServerInfo),
}

/// How the stream of a response ended.
enum Ended {
    /// The answer came.
    Answered,
    /// It did not, and the stream is over; why, if it broke.
    Unanswered(Option<String>),
}

impl HttpLink {
    /// Sends a request and receives what comes in response, until its answer has come.
    pub(super) async fn call(
        self: &Arc<Self>,
        core: &Arc<Core>,
        id: u64,
        body: Vec<u8>,
        opens: bool,
    ) -> Result<(), CallError> {
        let body = Bytes::from(body);
        if opens {
            let response = self.post(core, In::New, body).await?;
            let session = response
                .headers()
                .get(SESSION)
                .map(|value| value.to_str().map(str::to_owned));
            *self.opened.lock() = match session {
                Some(Ok(session)) => Some(session),
                Some(Err(_)) => {
                    let reason =
                        "its session id has characters that are not visible ASCII".to_owned();
                    return Err(CallError::NoAnswer {
                        instance: core.instance.clone(),
                        reason,
                    });
                }
                None => None,
            };
            return self.take(core, id, In::New, response).await;
        }
        let info = Arc::clone(&core.info.read());
        let response = self.post(core, In::Session(&info), body.clone()).await?;
        if info.session.is_none() || !forgotten(response.status()) {
            return self.take(core, id, In::Session(&info), response).await;
        }
        let status = response.status();
        let said = read_whole(response.into_body(), EXPLANATION)
            .await
            .unwrap_or_default();
        // The right word is 404; servers built on the official examples say 400 and speak of the session.
        if status == StatusCode::BAD_REQUEST
            && !String::from_utf8_lossy(&said)
                .to_lowercase()
                .contains("session")
        {
            return Err(Self::refused(core, status, &http::HeaderMap::new(), &said));
        }
        Self::renew(Arc::clone(self), Arc::clone(core), Arc::clone(&info)).await?;
        let info = Arc::clone(&core.info.read());
        let response = self.post(core, In::Session(&info), body).await?;
        self.take(core, id, In::Session(&info), response).await
    }

    /// Greets a server that has forgotten the session; whoever comes second finds it done. Boxed, as greeting is a call.
    fn renew(
        self: Arc<Self>,
        core: Arc<Core>,
        stale: Arc<ServerInfo>,
    ) -> BoxFuture<'static, Result<(), CallError>> {
        Box::pin(async move {
            let _turn = self.renewing.lock().await;
            if core.info.read().session != stale.session {
                return Ok(());
            }
            shake(&core, &self.greeting)
                .await
                .map_err(|error| CallError::Unreachable {
                    instance: core.instance.clone(),
                    reason: format!("it had forgotten the session, and then: {error}"),
                })?;
            let info = Arc::clone(&core.info.read());
            core.inbound.renewed(&info);
            self.listening.notify_one();
            Ok(())
        })
    }

    /// What the answer to `initialize` gave as the session's id.
    pub(super) fn opened(&self) -> Option<String> {
        self.opened.lock().take()
    }

    /// Says `notifications/initialized` in a new session, and waits until that is accepted: what follows may overtake it.
    pub(super) async fn greet(
        &self,
        core: &Core,
        info: &ServerInfo,
        message: Vec<u8>,
    ) -> Result<(), CallError> {
        let response = timeout(ACCEPT, self.post(core, In::Session(info), message.into())).await;
        let response = response.map_err(|_| CallError::TimedOut {
            instance: core.instance.clone(),
            after: ACCEPT,
        })??;
        if response.status().is_success() {
            return Ok(());
        }
        let (parts, body) = response.into_parts();
        let said = read_whole(body, EXPLANATION).await.unwrap_or_default();
        Err(Self::refused(core, parts.status, &parts.headers, &said))
    }

    /// Sends what wants no answer, in order. Where the queue is full it is dropped, and counted.
    pub(super) fn enqueue(&self, message: &[u8]) -> bool {
        let queue = self.queue.lock();
        queue
            .as_ref()
            .is_some_and(|queue| queue.try_send(Bytes::copy_from_slice(message)).is_ok())
    }

    /// The handshake is done: the server may be listened to.
    pub(super) fn start_listening(&self) {
        self.listening.notify_one();
    }

    pub(super) fn close(&self) {
        self.queue.lock().take();
    }

    /// Ends the session, if the server has one and lets us.
    pub(super) async fn farewell(&self, core: &Core, within: Duration) {
        let info = Arc::clone(&core.info.read());
        if info.session.is_some() {
            let request = self.request(Method::DELETE, In::Session(&info), Bytes::new());
            let _ = timeout(within, self.client.send(request)).await;
        }
    }

    fn request(
        &self,
        method: Method,
        within: In<'_>,
        body: Bytes,
    ) -> http::Request<http_body_util::Full<Bytes>> {
        let mut request = self.address.request(method, body);
        if let In::Session(info) = within {
            let headers = request.headers_mut();
            if let Some(session) = info
                .session
                .as_ref()
                .and_then(|session| HeaderValue::try_from(session).ok())
            {
                headers.insert(SESSION, session);
            }
            if info.version.has_header() {
                headers.insert(VERSION, HeaderValue::from_static(info.version.as_str()));
            }
        }
        request
    }

    async fn post(
        &self,
        core: &Core,
        within: In<'_>,
        body: Bytes,
    ) -> Result<Response<Incoming>, CallError> {
        let request = self.request(Method::POST, within, body);
        self.client
            .send(request)
            .await
            .map_err(|error| CallError::Unreachable {
                instance: core.instance.clone(),
                reason: format!("{} at {}", describe(&error), self.address.uri),
            })
    }

    /// Receives the response to a request, whatever form it has.
    async fn take(
        &self,
        core: &Arc<Core>,
        id: u64,
        within: In<'_>,
        response: Response<Incoming>,
    ) -> Result<(), CallError> {
        let no_answer = |reason: String| CallError::NoAnswer {
            instance: core.instance.clone(),
            reason,
        };
        let (parts, body) = response.into_parts();
        let kind = parts
            .headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let kind = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if parts.status.is_success() && kind == "text/event-stream" {
            return self.take_events(core, id, within, body).await;
        }
        let limit = if parts.status.is_success() {
            core.limits.max_bytes
        } else {
            EXPLANATION
        };
        let body = match read_whole(body, limit).await {
            Ok(body) => body,
            Err(BodyError::TooLarge { limit }) if parts.status.is_success() => {
                core.oversize(String::new());
                return Err(CallError::AnswerTooLarge {
                    instance: core.instance.clone(),
                    limit,
                });
            }
            Err(error) => return Err(no_answer(error.to_string())),
        };
        // An error's status may come with the error itself, and that says more.
        let received = if kind == "application/json" {
            core.receive(body.clone(), Some(id)).err()
        } else {
            None
        };
        if !core.pending.is_waiting(id) {
            return Ok(());
        }
        if !parts.status.is_success() {
            return Err(Self::refused(core, parts.status, &parts.headers, &body));
        }
        Err(no_answer(match received {
            Some(error) => error.to_string(),
            None if kind == "application/json" => {
                "the JSON it sent is no answer to the request".to_owned()
            }
            None => format!("{} with content of the type `{kind}`", parts.status),
        }))
    }

    /// Receives a stream of events until the answer has come, taking it up again where the server allows that.
    async fn take_events(
        &self,
        core: &Arc<Core>,
        id: u64,
        within: In<'_>,
        body: Incoming,
    ) -> Result<(), CallError> {
        let no_answer = |reason: String| CallError::NoAnswer {
            instance: core.instance.clone(),
            reason,
        };
        let mut events = Events::new(body, core.limits.max_bytes);
        let mut wait = RETRY;
        loop {
            let broken = match pump(core, Some(id), &mut events).await? {
                Ended::Answered => {
                    // Whatever else it says is received too, and the connection goes back when it has ended.
                    let core = Arc::clone(core);
                    tokio::spawn(async move {
                        timeout(TAIL, pump(&core, Some(id), &mut events))
                            .await
                            .map(drop)
                    });
                    return Ok(());
                }
                Ended::Unanswered(broken) => broken,
            };
            let last = events.parser.last_id().to_owned();
            if last.is_empty() {
                return Err(no_answer(
                    broken.unwrap_or_else(|| "its event stream ended".to_owned()),
                ));
            }
            // 2025-11-25, "Polling SSE": the server may end the stream at any time, and we come back for the rest.
            sleep(
                events
                    .parser
                    .retry()
                    .map_or(wait, |retry| retry.min(LONGEST_RETRY)),
            )
            .await;
            match self.resume(within, &last).await {
                Ok(response) if is_events(&response) => {
                    wait = RETRY;
                    events.continue_with(response.into_body());
                }
                Ok(response) => {
                    let reason = explain(response.status(), response.headers(), b"");
                    return Err(no_answer(format!(
                        "its stream could not be taken up again: {} {reason}",
                        response.status()
                    )));
                }
                Err(_) => wait = (wait * 2).min(LONGEST_RETRY), // the call's own time ends this
            }
        }
    }

    async fn resume(&self, within: In<'_>, last: &str) -> Result<Response<Incoming>, String> {
        let mut request = self.request(Method::GET, within, Bytes::new());
        if !last.is_empty()
            && let Ok(last) = HeaderValue::try_from(last)
        {
            request.headers_mut().insert(LAST_EVENT, last);
        }
        self.client
            .send(request)
            .await
            .map_err(|error| describe(&error))
    }

    fn refused(
        core: &Core,
        status: StatusCode,
        headers: &http::HeaderMap,
        said: &[u8],
    ) -> CallError {
        CallError::Http {
            instance: core.instance.clone(),
            status: status.as_u16(),
            reason: explain(status, headers, said),
        }
    }
}

fn forgotten(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::BAD_REQUEST
}

fn is_events(response: &Response<Incoming>) -> bool {
    let kind = response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    response.status() == StatusCode::OK
        && kind
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("text/event-stream")
}

/// Receives events until the stream ends, or the answer of that call has come.
async fn pump(core: &Arc<Core>, of: Option<u64>, events: &mut Events) -> Result<Ended, CallError> {
    let waited = of.is_some_and(|id| core.pending.is_waiting(id));
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                if event.is_message() && core.receive(event.data.clone(), of).is_err() {
                    core.garbage(&event.data);
                }
                if let Some(id) = of
                    && waited
                    && !core.pending.is_waiting(id)
                {
                    return Ok(Ended::Answered);
                }
            }
            Ok(None) => return Ok(Ended::Unanswered(None)),
            Err(BodyError::Broken(reason)) => return Ok(Ended::Unanswered(Some(reason))),
            Err(BodyError::TooLarge { limit }) => {
                core.oversize(String::new());
                return Err(CallError::AnswerTooLarge {
                    instance: core.instance.clone(),
                    limit,
                });
            }
        }
    }
}

/// Sends what wants no answer, one after the other.
async fn send_queued(link: Arc<HttpLink>, core: Arc<Core>, mut queued: mpsc::Receiver<Bytes>) {
    while let Some(message) = queued.recv().await {
        let info = Arc::clone(&core.info.read());
        // What goes wrong here shows at the next call, which has somebody to tell.
        if let Ok(Ok(response)) =
            timeout(ACCEPT, link.post(&core, In::Session(&info), message)).await
        {
            let _ = timeout(ACCEPT, read_whole(response.into_body(), EXPLANATION)).await;
        }
    }
}

/// Holds the stream for what the server sends on its own, where it has one.
async fn listen(link: Arc<HttpLink>, core: Arc<Core>) {
    let mut last = String::new();
    let mut wait = RETRY;
    link.listening.notified().await;
    loop {
        let info = Arc::clone(&core.info.read());
        match link.resume(In::Session(&info), &last).await {
            Ok(response) if is_events(&response) => {
                let mut events = Events::new(response.into_body(), core.limits.max_bytes);
                let begun = tokio::time::Instant::now();
                let _ = pump(&core, None, &mut events).await;
                if !events.parser.last_id().is_empty() {
                    last = events.parser.last_id().to_owned();
                }
                // A stream that lasted was worth having; one that ends at once is asked for less and less.
                wait = if begun.elapsed() > LONGEST_RETRY {
                    RETRY
                } else {
                    (wait * 2).min(LONGEST_RETRY)
                };
                if let Some(retry) = events.parser.retry() {
                    wait = retry.min(LONGEST_RETRY);
                }
            }
            Ok(response) if forgotten(response.status()) && info.session.is_some() => {
                last.clear();
                let status = response.status();
                drop(response);
                // 400 may also mean that there is no such stream: only 404 says that the session is gone.
                let renewed = status == StatusCode::NOT_FOUND
                    && HttpLink::renew(Arc::clone(&link), Arc::clone(&core), info)
                        .await
                        .is_ok();
                if !renewed {
                    link.listening.notified().await;
                }
                continue;
            }
            Ok(response) if response.status().is_server_error() => {
                wait = (wait * 2).min(LONGEST_RETRY);
            }
            Err(_) => wait = (wait * 2).min(LONGEST_RETRY),
            // 405: it has no such stream. Until there is another session it will not get one.
            Ok(_) => {
                link.listening.notified().await;
                continue;
            }
        }
        sleep(wait).await;
    }
}
