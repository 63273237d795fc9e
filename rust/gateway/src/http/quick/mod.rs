//! The short way: messages of clients that have a session, or are of 2026-07-28 and need none, as POSTs over HTTP/1.1,
//! which is what nearly all of the gateway's work is.
//!
//! A connection begins here. As long as its requests are plainly of that kind ([`backstay_mcp::transport::posted`])
//! and nothing is wrong with them, one task reads them out of its buffer, has them answered by the same code as
//! everything else (`http/post.rs`, `http/modern`), and writes each answer in one system call. At the first request that is any
//! other, unread as it is, the connection goes to hyper and stays there: what is refused, and with which words, is
//! decided in one place. So no limit, header or status is known here that hyper's way does not know.

mod connection;
mod head;
mod prefixed;

use std::sync::Arc;

use backstay_mcp::envelope::Batch;
use backstay_mcp::transport::posted::{Head, Posted, read};
use backstay_mcp::version::{MODERN, Version};
use backstay_mcp::{Envelope, Kind, Limits};
use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use connection::Ended;
use connection::{Connection, Input};
pub(super) use prefixed::Prefixed;

use super::asking::{Answered, Asking};
use super::compress::Coding;
use super::guard::Guard;
use super::listener::{Draining, Peer};
use super::mcp::Accepts;
use super::modern::{self, Came};
use super::{Visit, answer, post};
use crate::core::Core;
use crate::session::{Scope, Session};

/// Larger bodies go the long way: they are read in pieces there.
const MOST_BODY: usize = 64 << 10;
const BOTH: Accepts = Accepts {
    json: true,
    events: true,
};

/// Where connections come in, and whose they are.
pub(super) struct Entrance<'a> {
    pub(super) core: &'a Arc<Core>,
    /// None at a door that everybody may enter who can.
    pub(super) guard: Option<&'a Guard>,
    pub(super) visit: Visit,
}

/// A message that may be answered, and for whom.
enum Admitted {
    /// It opens a session.
    Opening(Scope, Envelope),
    Message(Arc<Session>, Envelope),
    /// A request of 2026-07-28, which stands for itself: it has begun, or has its answer.
    Modern(Result<modern::Asking, Answered>),
}

/// A request that was read.
struct Request {
    admitted: Admitted,
    coding: Option<Coding>,
    /// Its bytes.
    length: usize,
}

/// What the bytes at hand are.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Found {
    Request(Request),
    Wanting(Input),
    Other,
}

impl Entrance<'_> {
    /// Serves a connection until it ends, or until something comes that is not for here.
    pub(super) async fn serve<S>(&self, stream: S, draining: &mut Draining) -> Ended<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut connection = Connection::new(stream, draining);
        let mut last = None;
        loop {
            let request = match self.find(connection.bytes(), last.as_ref()) {
                Found::Request(request) => request,
                Found::Other => return connection.hand_over(),
                Found::Wanting(input) => match connection.wait_for(input).await {
                    Ok(()) => continue,
                    Err(ended) => return ended,
                },
            };
            connection.consume(request.length);
            let answered = match request.admitted {
                Admitted::Opening(scope, message) => {
                    // Boxed: seldom, and a connection should have no room for it.
                    let opening = Box::pin(post::open(self.core, scope, &message));
                    Some(opening.await.into())
                }
                Admitted::Message(session, message) if message.kind() == Kind::Request => {
                    let begun = Asking::begin(self.core, &session, BOTH, message);
                    last = Some(session);
                    match begun {
                        Ok(asking) => connection.wait_with(asking).await,
                        Err(answered) => Some(answered),
                    }
                }
                Admitted::Modern(Ok(asking)) => connection.wait_with(asking).await,
                Admitted::Modern(Err(answered)) => Some(answered),
                Admitted::Message(session, message) => {
                    post::tell(self.core, &session, &message);
                    Some(answer::empty(StatusCode::ACCEPTED).into())
                }
            };
            let Some(answered) = answered else {
                return Ended::Closed;
            };
            if connection.answer(answered, request.coding).await.is_err() {
                return Ended::Closed;
            }
        }
    }

    /// What stands at the start of some bytes.
    fn find(&self, bytes: &[u8], last: Option<&Arc<Session>>) -> Found {
        if bytes.is_empty() {
            return Found::Wanting(Input::Head);
        }
        match read(bytes) {
            Posted::Head(head) if head.body > MOST_BODY.min(self.core.config.max_body) => {
                Found::Other
            }
            Posted::Head(head) => match bytes.get(head.length..head.length + head.body) {
                None => Found::Wanting(Input::Body),
                Some(body) => match self.admit(&head, body, last) {
                    None => Found::Other,
                    Some(admitted) => Found::Request(Request {
                        admitted,
                        coding: Coding::of_list(self.visit, head.encodings),
                        length: head.length + head.body,
                    }),
                },
            },
            Posted::Wanting => Found::Wanting(Input::Head),
            Posted::Other => Found::Other,
        }
    }

    /// Whether a message may be answered here; none where there is anything else to say to it.
    fn admit(&self, head: &Head<'_>, body: &[u8], last: Option<&Arc<Session>>) -> Option<Admitted> {
        let core = self.core;
        if core.published.has_hosts() || !core.is_routed() {
            return None;
        }
        if let Some(guard) = self.guard
            && !(guard.admits_host(head.host) && guard.knows(head.authorization))
        {
            return None;
        }
        let is_modern = head.version == Some(MODERN);
        let known = |version: &str| is_modern || version.parse::<Version>().is_ok();
        if !head.version.is_none_or(known) {
            return None;
        }
        let scope = match head.path.strip_prefix("/mcp")? {
            "" => Scope::Fleet,
            service => {
                let servers = core.servers();
                let (service, _) = servers.get_key_value(service.strip_prefix('/')?)?;
                Scope::Service(Arc::clone(service))
            }
        };
        let limits = Limits::with_max_bytes(core.config.max_body);
        let message = Bytes::copy_from_slice(body);
        if is_modern {
            return self.admit_modern(head, &scope, Envelope::parse(message, limits).ok()?);
        }
        // What only a client without a session says is for whoever reads all of it.
        if head.method.is_some() || head.name.is_some() {
            return None;
        }
        let Ok(Batch::One(message)) = Envelope::parse_batch(message, limits) else {
            return None;
        };
        if message.kind() == Kind::Request && message.method() == "initialize" {
            return Some(Admitted::Opening(scope, message));
        }
        let session = core.sessions.get_again(last, head.session?, &scope)?;
        if let Some(Peer(address)) = self.visit.peer.and_then(Peer::of) {
            session.speaks_from(address);
        }
        Some(Admitted::Message(session, message))
    }

    /// The same of a request of 2026-07-28. Whatever it says of itself is judged by the code that judges it elsewhere.
    fn admit_modern(&self, head: &Head<'_>, scope: &Scope, message: Envelope) -> Option<Admitted> {
        let listens = message.method() == modern::LISTEN;
        if message.kind() != Kind::Request || listens || head.session.is_some() {
            return None;
        }
        let came = Came {
            headers: head,
            params: Vec::new(),
            peer: self.visit.peer.and_then(Peer::of),
            compared: self.guard.is_some(),
        };
        let begun = modern::begin(self.core, scope, BOTH, &came, message);
        Some(Admitted::Modern(begun))
    }
}

#[cfg(test)]
mod tests {
    use backstay_telemetry::Registry;

    use super::*;
    use crate::config::{GatewayConfig, Routes};

    /// Nobody could tell by an answer which way it went, so this looks at what is found in a request's bytes.
    #[tokio::test]
    async fn usual_requests_of_both_eras_are_for_here() {
        let dir = tempfile::tempdir().unwrap();
        let config = GatewayConfig {
            state_dir: dir.path().into(),
            ..GatewayConfig::default()
        };
        let (events, notes) = (Arc::new(|_| {}), Arc::new(|_: &str, _| {}));
        let runtime = tokio::runtime::Handle::current();
        let core = Core::new(config, Registry::new(), events, notes, runtime).unwrap();
        core.set_routes(Routes::default());
        let entrance = Entrance {
            core: &core,
            guard: None,
            visit: Visit::default(),
        };
        let post = |headers: &str, body: &str| {
            let text = format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            matches!(entrance.find(text.as_bytes(), None), Found::Request(_))
        };
        let modern = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n";
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
        assert!(post(modern, list));
        assert!(post("", initialize));
        assert!(!post("", list), "it has no session");
        assert!(!post(&format!("{modern}Mcp-Param-A: b\r\n"), list));
        let listen = list.replace("tools/list", "subscriptions/listen");
        assert!(!post(modern, &listen), "its answer has no end");
    }
}
