//! POST: messages of a client, one or (2025-03-26) a batch.
//!
//! An answer is JSON until something has to be said before it (progress, a log message, a server's
//! question) or it takes long: then it becomes an event stream, which the client can resume. A client
//! that goes away has not cancelled: what it asked for is finished without it.

#![expect(
    clippy::result_large_err,
    reason = "the error is the answer, and it is on its way out"
)]

use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::envelope::Batch;
use backstay_mcp::{Envelope, Kind, Limits, RawJson, RpcError, jsonrpc};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::answer::{self, SESSION_ID};
use super::asking::{Asking, Finish, wait};
use super::body::Body;
use super::listener::Peer;
use super::mcp::{Accepts, session};
use super::modern::{self, Came};
use crate::call::Call;
use crate::core::Core;
use crate::fault;
use crate::requests::{self, Answer, Unopened};
use crate::session::{Busy, Lasting, Scope, Session};

/// An answer that takes longer becomes a stream, before anything between takes the connection for dead.
pub(super) const LONG: Duration = Duration::from_secs(20);
/// Time for a whole body to arrive.
pub(super) const BODY_TIME: Duration = Duration::from_secs(120);

pub(super) async fn serve(
    core: &Arc<Core>,
    scope: Scope,
    accepts: Accepts,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let bytes = match whole(&head, body, core.config.max_body).await {
        Ok(bytes) => bytes,
        Err(answer) => return answer,
    };
    match Envelope::parse_batch(bytes, Limits::with_max_bytes(core.config.max_body)) {
        Err(error) => answer::refusal(StatusCode::BAD_REQUEST, error.code(), error.to_string()),
        Ok(Batch::One(message))
            if message.kind() == Kind::Request && message.method() == "initialize" =>
        {
            Box::pin(open(core, scope, &message)).await
        }
        Ok(messages) => {
            let session = match session(core, &scope, &head.headers) {
                Ok(session) => session,
                Err(answer) => {
                    return match messages {
                        // Its body says what its headers should have said.
                        Batch::One(message) if modern::is_modern(&message) => {
                            let came = Came::with(&head, true);
                            Box::pin(modern::answer(core, scope, accepts, &came, message)).await
                        }
                        _ => answer,
                    };
                }
            };
            if let Some(Peer(address)) = head.extensions.get() {
                session.speaks_from(*address);
            }
            match messages {
                Batch::One(message) if message.kind() == Kind::Request => {
                    ask(core, &session, accepts, message).await
                }
                Batch::One(message) => {
                    tell(core, &session, &message);
                    answer::empty(StatusCode::ACCEPTED)
                }
                Batch::Many(_) if !session.version.has_batches() => {
                    let message = format!("batches are not part of {}", session.version);
                    answer::refusal(StatusCode::BAD_REQUEST, jsonrpc::INVALID_REQUEST, message)
                }
                Batch::Many(messages) => {
                    let messages = messages.into_iter().map(|message| {
                        message.map_err(|error| {
                            jsonrpc::error(None, &RpcError::new(error.code(), error.to_string()))
                                .into()
                        })
                    });
                    batch(core, &session, messages.collect()).await
                }
            }
        }
    }
}

/// The whole body of a POST, within its limits.
pub(super) async fn whole(
    head: &Parts,
    body: Incoming,
    most: usize,
) -> Result<Bytes, Response<Body>> {
    let declared = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    tokio::time::timeout(BODY_TIME, read(body, declared, most))
        .await
        .unwrap_or_else(|_| {
            Err(answer::refusal(
                StatusCode::REQUEST_TIMEOUT,
                jsonrpc::INVALID_REQUEST,
                "the body took too long to arrive",
            ))
        })
}

async fn read(
    mut body: Incoming,
    declared: Option<usize>,
    most: usize,
) -> Result<Bytes, Response<Body>> {
    let too_large = || {
        let message = format!("the body is over the limit of {most} bytes");
        answer::refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            jsonrpc::INVALID_REQUEST,
            message,
        )
    };
    if declared.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut whole: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            answer::refusal(
                StatusCode::BAD_REQUEST,
                jsonrpc::PARSE_ERROR,
                "the body broke off",
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if joined.len() + whole.as_ref().map_or(0, Bytes::len) + data.len() > most {
            return Err(too_large());
        }
        // Most bodies come in one piece, which is not copied.
        match whole.take() {
            None if joined.is_empty() => whole = Some(data),
            first => {
                joined.extend_from_slice(first.as_deref().unwrap_or_default());
                joined.extend_from_slice(&data);
            }
        }
    }
    Ok(whole.unwrap_or_else(|| joined.freeze()))
}

/// Opens a session.
pub(super) async fn open(core: &Arc<Core>, scope: Scope, message: &Envelope) -> Response<Body> {
    match requests::initialize(core, scope, message, Lasting::OnItsOwn).await {
        Ok((session, bytes)) => {
            let mut answer = answer::json(StatusCode::OK, bytes);
            if let Ok(id) = HeaderValue::from_str(&session.id) {
                answer.headers_mut().insert(SESSION_ID, id);
            }
            answer
        }
        Err(Unopened::Wrong(error)) => answer::error(StatusCode::OK, message.id().as_ref(), &error),
        Err(Unopened::Full) => {
            let error = RpcError::new(
                jsonrpc::CONNECTION_CLOSED,
                "the gateway has no place for another session now",
            );
            answer::later(
                answer::error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    message.id().as_ref(),
                    &error,
                ),
                60,
            )
        }
    }
}

/// A notification, or an answer to what a server asked.
pub(super) fn tell(core: &Arc<Core>, session: &Arc<Session>, message: &Envelope) {
    match message.kind() {
        Kind::Notification => requests::notified(core, session, message),
        // That nobody waits for an answer any more is not the client's fault.
        Kind::Response | Kind::Error => drop(session.asked.answer(message)),
        Kind::Request => {}
    }
}

/// Answers a request of a session.
async fn ask(
    core: &Arc<Core>,
    session: &Arc<Session>,
    accepts: Accepts,
    message: Envelope,
) -> Response<Body> {
    let answered = match Asking::begin(core, session, accepts, message) {
        Ok(asking) => wait(asking).await,
        Err(answered) => answered,
    };
    answered.into_response()
}

pub(super) fn begin(
    core: &Core,
    session: &Arc<Session>,
    message: &Envelope,
    streams: bool,
) -> Result<Arc<Call>, (StatusCode, RpcError)> {
    let id = message.id().unwrap_or(RawJson::NULL);
    let call = Call::new(Arc::clone(session), id, core.tag(session), streams);
    match session.begin(&call, core.config.max_calls_per_session) {
        Ok(()) => Ok(call),
        Err(Busy::SameId) => Err((
            StatusCode::BAD_REQUEST,
            fault::invalid_request("a request with this id is in flight already"),
        )),
        Err(Busy::TooMany) => {
            let message = "this session has too many requests in flight";
            Err((
                StatusCode::TOO_MANY_REQUESTS,
                RpcError::new(jsonrpc::CONNECTION_CLOSED, message),
            ))
        }
    }
}

/// Each message of a batch for itself; the answers as one array. What servers say before an answer goes
/// to the GET stream.
async fn batch(
    core: &Arc<Core>,
    session: &Arc<Session>,
    messages: Vec<Result<Envelope, Bytes>>,
) -> Response<Body> {
    let mut answers = Vec::new();
    for message in messages {
        match message {
            Ok(message) if message.kind() == Kind::Request => {
                let (core, session) = (Arc::clone(core), Arc::clone(session));
                answers.push(Finish::new(async move {
                    if message.method() == "initialize" {
                        let error = fault::invalid_request("initialize cannot be part of a batch");
                        return Answer::error(&message.id().unwrap_or(RawJson::NULL), &error)
                            .into_bytes();
                    }
                    match begin(&core, &session, &message, false) {
                        Ok(call) => {
                            let answer = requests::answer(&core, &call, &message).await;
                            session.end(&call.id);
                            answer.into_bytes()
                        }
                        Err((_, error)) => {
                            Answer::error(&message.id().unwrap_or(RawJson::NULL), &error)
                                .into_bytes()
                        }
                    }
                }));
            }
            Ok(message) => tell(core, session, &message),
            Err(error) => answers.push(Finish::new(std::future::ready(error))),
        }
    }
    if answers.is_empty() {
        return answer::empty(StatusCode::ACCEPTED);
    }
    let answers: Vec<_> = futures_util::future::join_all(answers).await;
    let answers: Vec<_> = answers
        .iter()
        .filter(|answer| !answer.is_empty())
        .map(|answer| &**answer)
        .collect();
    answer::json(
        StatusCode::OK,
        [b"[".as_slice(), &answers.join(b",".as_slice()), b"]"].concat(),
    )
}

/// What the future takes that answers one request.
#[cfg(test)]
pub(super) fn size_of_answering() -> usize {
    fn size<F: Future>(_: impl Fn(Arc<Core>, Arc<Call>, Envelope) -> F) -> usize {
        size_of::<F>()
    }
    size(|core, call, message| async move { requests::answer(&core, &call, &message).await })
}
