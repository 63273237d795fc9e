//! A connection over streamable HTTP (2025-03-26 and later): every message is a request of its own, and its
//! answer may be a stream. Legacy servers have sessions and a stream of their own ([`listen`]); modern ones have
//! neither, and want to see in headers what a request is ([`head`]).
//!
//! The connection as such cannot end: a server that is gone shows at the next call. A server that has forgotten
//! the session is greeted anew ([`session`]), and what found that out is tried once more.

mod call;
mod head;
mod listen;
mod pump;
mod session;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::call::CallError;
use super::closing::HandshakeError;
use super::config::Endpoint;
use super::core::{Core, Shared};
use super::handshake::Greeting;
use super::inbound::Inbound;
use super::info::ServerInfo;
use super::link::Link;
use crate::envelope::Envelope;
use crate::version::Era;
pub use head::RejectedTool;
use head::{Mirrors, opening};

use crate::transport::http::{
    Address, Client, Headers, LAST_EVENT, Prepared, Response, SESSION, VERSION, explain, read_whole,
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

pub(super) struct HttpLink {
    client: Client,
    address: Address,
    greeting: Greeting,
    /// The POST of a session's messages, and what it was made by. Held for one copy or assignment.
    prepared: Mutex<Option<(Arc<ServerInfo>, Arc<Prepared>)>>,
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Bytes>>>,
    /// What the answer to the running `initialize` gave as the session's id.
    opened: Mutex<Option<String>>,
    /// Held while a session is renewed; an async lock, as that takes a while and others wait for it.
    renewing: tokio::sync::Mutex<()>,
    /// What tools want mirrored in headers.
    pub(super) mirrors: Mirrors,
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
        prepared: Mutex::default(),
        queue: Mutex::new(Some(queue)),
        opened: Mutex::default(),
        renewing: tokio::sync::Mutex::default(),
        mirrors: Mirrors::default(),
        listening: Notify::new(),
    });
    let core = Core::new(shared, Link::Http(Arc::clone(&link)), inbound);
    let sending = tokio::spawn(send_queued(Arc::clone(&link), Arc::clone(&core), queued));
    let listening = tokio::spawn(listen::listen(link, Arc::clone(&core)));
    Ok((core, vec![sending, listening]))
}

impl HttpLink {
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
            let request = Prepared::new(self.request(Method::DELETE, Some(&info)));
            let _ = timeout(within, self.client.send(&request, Bytes::new())).await;
        }
    }

    fn request(&self, method: Method, within: Option<&ServerInfo>) -> Request<()> {
        let mut request = self.address.request(method);
        if let Some(info) = within {
            let headers = request.headers_mut();
            if let Some(session) = info
                .session
                .as_ref()
                .and_then(|session| HeaderValue::try_from(session).ok())
            {
                headers.insert(SESSION, session);
            }
            if let Some(version) = info.version.filter(|version| version.has_header()) {
                headers.insert(VERSION, HeaderValue::from_static(version.as_str()));
            }
        }
        request
    }

    async fn post(
        &self,
        core: &Core,
        within: Option<&Arc<ServerInfo>>,
        body: Bytes,
    ) -> Result<Response, CallError> {
        let prepared = self.posting(within);
        self.send(core, &prepared, body).await
    }

    /// A POST to the server as it is known now; the same one as last time, mostly.
    fn posting(&self, within: Option<&Arc<ServerInfo>>) -> Arc<Prepared> {
        let Some(info) = within else {
            return Arc::new(Prepared::new(self.request(Method::POST, None)));
        };
        if let Some((of, prepared)) = &*self.prepared.lock()
            && Arc::ptr_eq(of, info)
        {
            return Arc::clone(prepared);
        }
        let prepared = Arc::new(Prepared::new(self.request(Method::POST, Some(info))));
        *self.prepared.lock() = Some((Arc::clone(info), Arc::clone(&prepared)));
        prepared
    }

    /// Posts a message to a modern server.
    async fn post_modern(
        &self,
        core: &Core,
        head: HeaderMap,
        body: Bytes,
    ) -> Result<Response, CallError> {
        let mut request = self.request(Method::POST, None);
        request.headers_mut().extend(head);
        self.send(core, &Prepared::new(request), body).await
    }

    async fn send(
        &self,
        core: &Core,
        prepared: &Prepared,
        body: Bytes,
    ) -> Result<Response, CallError> {
        self.client
            .send(prepared, body)
            .await
            .map_err(|undone| CallError::Unreachable {
                instance: core.instance.clone(),
                reason: format!("{} at {}", undone.reason, self.address.uri),
                sent: undone.sent,
            })
    }

    async fn get(&self, within: Option<&ServerInfo>, last: &str) -> Result<Response, String> {
        let mut request = self.request(Method::GET, within);
        if !last.is_empty()
            && let Ok(last) = HeaderValue::try_from(last)
        {
            request.headers_mut().insert(LAST_EVENT, last);
        }
        self.client
            .send(&Prepared::new(request), Bytes::new())
            .await
            .map_err(|undone| undone.reason)
    }

    fn refused(core: &Core, status: StatusCode, headers: &Headers, said: &[u8]) -> CallError {
        CallError::Http {
            instance: core.instance.clone(),
            status: status.as_u16(),
            reason: explain(status, headers, said),
        }
    }
}

/// The type of a response's content, without its parameters.
fn kind(headers: &Headers) -> &str {
    let kind = headers.get(&http::header::CONTENT_TYPE).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

fn is_events(response: &Response) -> bool {
    response.status == StatusCode::OK
        && kind(&response.headers).eq_ignore_ascii_case("text/event-stream")
}

/// Sends what wants no answer, one after the other.
async fn send_queued(link: Arc<HttpLink>, core: Arc<Core>, mut queued: mpsc::Receiver<Bytes>) {
    while let Some(message) = queued.recv().await {
        let info = Arc::clone(&core.info.read());
        let posting = async {
            if info.era() == Era::Legacy {
                return link.post(&core, Some(&info), message).await;
            }
            let method = Envelope::parse(message.clone(), core.limits)
                .map(|message| message.method().into_owned())
                .unwrap_or_default();
            link.post_modern(&core, opening(&method), message).await
        };
        // What goes wrong here shows at the next call, which has somebody to tell.
        if let Ok(Ok(response)) = timeout(ACCEPT, posting).await {
            let _ = timeout(ACCEPT, read_whole(response.body, EXPLANATION)).await;
        }
    }
}
