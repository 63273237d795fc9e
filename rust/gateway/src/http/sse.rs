//! HTTP+SSE, the transport of 2024-11-05: GET `/sse` (or `/sse/<service>`) is a stream of everything that the client
//! is told, and what it says is sent by POST to the address that the stream's first event names.
//!
//! A connection is a session: it begins with the client's `initialize` and ends with the stream. Nothing of it
//! outlives the daemon; a client that loses its stream opens another, as its version has it.

#![expect(
    clippy::result_large_err,
    reason = "the error is the answer, and it is on its way out"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_mcp::envelope::Batch;
use backstay_mcp::{Envelope, Kind, Limits, RawJson, RpcError, jsonrpc};
use dashmap::DashMap;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;

use super::answer;
use super::body::Body;
use super::mcp::{Accepts, is_json};
use super::post;
use crate::core::Core;
use crate::fault;
use crate::requests::{self, Answer, Unopened};
use crate::session::{EventStream, Keep, Lasting, Scope, Session, fresh_id};

/// Every open stream, by the secret that its client POSTs with.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    live: DashMap<Box<str>, Arc<Connection>, ahash::RandomState>,
}

#[derive(Debug)]
struct Connection {
    id: Box<str>,
    scope: Scope,
    stream: Arc<EventStream>,
    /// `initialize` came.
    begun: AtomicBool,
    /// Held for one copy or assignment.
    session: Mutex<Option<Arc<Session>>>,
}

/// As long as the client reads its stream.
struct Reading {
    core: Arc<Core>,
    id: Box<str>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Some((_, connection)) = self.core.connections.live.remove(&self.id) else {
            return;
        };
        if let Some(session) = connection.session.lock().take() {
            let core = Arc::clone(&self.core);
            self.core
                .runtime
                .spawn(async move { core.sessions.remove(&session).await });
        }
    }
}

/// Opens a stream.
pub(super) fn open(core: &Arc<Core>, scope: Scope, request: &Request<Incoming>) -> Response<Body> {
    if !Accepts::read(request.headers()).events {
        return answer::refusal(
            StatusCode::NOT_ACCEPTABLE,
            jsonrpc::INVALID_REQUEST,
            "the answer is text/event-stream; accept it",
        );
    }
    let live = &core.connections.live;
    if live.len() >= core.config.max_sessions {
        let message = "the gateway has no place for another session now";
        let answer = answer::refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            jsonrpc::CONNECTION_CLOSED,
            message,
        );
        return answer::later(answer, 60);
    }
    let id: Box<str> = fresh_id().into();
    let stream = EventStream::bare();
    stream.event("endpoint", &format!("/messages?session_id={id}"));
    let reader = stream.read(0);
    live.insert(
        id.clone(),
        Arc::new(Connection {
            id: id.clone(),
            scope,
            stream,
            begun: AtomicBool::new(false),
            session: Mutex::default(),
        }),
    );
    let core = Arc::clone(core);
    answer::events_holding(reader, Box::new(Reading { core, id }))
}

/// Takes what a client says; its answers come on its stream.
pub(super) async fn take(core: &Arc<Core>, request: Request<Incoming>) -> Response<Body> {
    let connection = match connection(core, &request) {
        Ok(connection) => connection,
        Err(answer) => return answer,
    };
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        return answer::refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            jsonrpc::INVALID_REQUEST,
            "Content-Type must be application/json",
        );
    }
    let bytes = match post::whole(&head, body, core.config.max_body).await {
        Ok(bytes) => bytes,
        Err(answer) => return answer,
    };
    let limits = Limits::with_max_bytes(core.config.max_body);
    let messages = match Envelope::parse_batch(bytes, limits) {
        Err(error) => {
            return answer::refusal(StatusCode::BAD_REQUEST, error.code(), error.to_string());
        }
        Ok(Batch::One(message)) => vec![Ok(message)],
        Ok(Batch::Many(messages)) => messages,
    };
    let session = connection.session.lock().clone();
    let batch = messages.len() > 1;
    if batch && session.as_ref().is_none_or(|it| !it.version.has_batches()) {
        return answer::refusal(
            StatusCode::BAD_REQUEST,
            jsonrpc::INVALID_REQUEST,
            "batches are not part of this protocol version",
        );
    }
    for message in messages {
        match message {
            Ok(message) => hear(core, &connection, session.as_ref(), message),
            Err(error) => {
                let error = RpcError::new(error.code(), error.to_string());
                connection.say(&jsonrpc::error(None, &error));
            }
        }
    }
    answer::text(StatusCode::ACCEPTED, "Accepted\n")
}

/// The stream that a POST belongs to.
fn connection(core: &Core, request: &Request<Incoming>) -> Result<Arc<Connection>, Response<Body>> {
    let query = request.uri().query().unwrap_or_default();
    let id = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("session_id="))
        .unwrap_or_default();
    let found = core.connections.live.get(id);
    found.map(|found| Arc::clone(&found)).ok_or_else(|| {
        let message = "session not found: its stream has ended; open another at /sse";
        answer::refusal(StatusCode::NOT_FOUND, jsonrpc::REQUEST_TIMEOUT, message)
    })
}

fn hear(
    core: &Arc<Core>,
    connection: &Arc<Connection>,
    session: Option<&Arc<Session>>,
    message: Envelope,
) {
    let is_request = message.kind() == Kind::Request;
    if is_request && message.method() == "initialize" {
        let (core, connection) = (Arc::clone(core), Arc::clone(connection));
        tokio::spawn(async move { begin(&core, &connection, &message).await });
        return;
    }
    let Some(session) = session else {
        if is_request {
            connection.refuse(
                &message,
                &fault::invalid_request("`initialize` comes first"),
            );
        }
        return;
    };
    if !is_request {
        return post::tell(core, session, &message);
    }
    match post::begin(core, session, &message, false) {
        Err((_, error)) => connection.refuse(&message, &error),
        Ok(call) => {
            let (core, connection) = (Arc::clone(core), Arc::clone(connection));
            tokio::spawn(async move {
                let answer = requests::answer(&core, &call, &message).await;
                call.session.end(&call.id);
                if !matches!(answer, Answer::Nothing) {
                    connection.say(&answer.into_bytes());
                }
            });
        }
    }
}

/// Opens the session.
async fn begin(core: &Arc<Core>, connection: &Arc<Connection>, message: &Envelope) {
    if connection.begun.swap(true, Ordering::AcqRel) {
        let error = fault::invalid_request("the session was initialized before");
        return connection.refuse(message, &error);
    }
    let scope = connection.scope.clone();
    match requests::initialize(core, scope, message, Lasting::WithItsStream).await {
        Ok((session, bytes)) => {
            session.speak_on(&connection.stream);
            *connection.session.lock() = Some(Arc::clone(&session));
            connection.say(&bytes);
            // The stream may have ended meanwhile, when there was nothing to end with it.
            if !core.connections.live.contains_key(&connection.id) {
                core.sessions.remove(&session).await;
            }
        }
        Err(refused) => {
            connection.begun.store(false, Ordering::Release);
            connection.refuse(
                message,
                &match refused {
                    Unopened::Wrong(error) => error,
                    Unopened::Full => RpcError::new(
                        jsonrpc::CONNECTION_CLOSED,
                        "the gateway has no place for another session now",
                    ),
                },
            );
        }
    }
}

impl Connection {
    fn say(&self, message: &[u8]) {
        self.stream.push(message, Keep::Always);
    }

    fn refuse(&self, request: &Envelope, error: &RpcError) {
        let id = request.id().unwrap_or(RawJson::NULL);
        self.say(&jsonrpc::error(Some(&id), error));
    }
}
