//! Streamable HTTP of 2026-07-28: every POST stands for itself. What it must say is checked in [`admit`], how it is
//! answered is in [`mod@ask`]. A notification comes to nothing: the core of the protocol has none over HTTP.

mod admit;
mod ask;
mod came;

use std::sync::Arc;

use backstay_mcp::modern::errors::{
    HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_VERSION,
};
use backstay_mcp::modern::headers::Headers;
use backstay_mcp::modern::meta::RequestMeta;
use backstay_mcp::{Envelope, Kind, Limits, RawJson, RpcError, jsonrpc};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

pub(super) use ask::Asking;
pub(super) use came::Came;

use super::asking::{Answered, wait};
use super::body::Body;
use super::mcp::Accepts;
use super::{answer, post};
use crate::core::Core;
use crate::modern::listeners;
use crate::session::{Scope, Session};

/// The one request that is answered by a stream without an end.
pub(super) const LISTEN: &str = "subscriptions/listen";

/// Whether a message says that it is of 2026-07-28 or later.
pub(super) fn is_modern(message: &Envelope) -> bool {
    message.kind() == Kind::Request
        && !RequestMeta::read(message).is_ok_and(|meta| !meta.is_modern())
}

pub(super) async fn serve(
    core: &Arc<Core>,
    scope: Scope,
    accepts: Accepts,
    compared: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let bytes = match post::whole(&head, body, core.config.max_body).await {
        Ok(bytes) => bytes,
        Err(answer) => return answer,
    };
    match Envelope::parse(bytes, Limits::with_max_bytes(core.config.max_body)) {
        Err(error) => answer::refusal(StatusCode::BAD_REQUEST, error.code(), error.to_string()),
        Ok(message) => match message.kind() {
            Kind::Request => {
                let came = Came::with(&head, compared);
                Box::pin(answer(core, scope, accepts, &came, message)).await
            }
            // The core of the protocol has none over HTTP: closing the stream is what cancels.
            Kind::Notification => answer::empty(StatusCode::ACCEPTED),
            Kind::Response | Kind::Error => answer::refusal(
                StatusCode::BAD_REQUEST,
                jsonrpc::INVALID_REQUEST,
                "clients of 2026-07-28 send no responses: answers to a server are a retry's `inputResponses`",
            ),
        },
    }
}

/// Answers one request.
pub(super) async fn answer(
    core: &Arc<Core>,
    scope: Scope,
    accepts: Accepts,
    came: &Came<'_, impl Headers>,
    message: Envelope,
) -> Response<Body> {
    if message.method() != LISTEN {
        return match begin(core, &scope, accepts, came, message) {
            Ok(asking) => wait(asking).await.into_response(),
            Err(answered) => answered.into_response(),
        };
    }
    let place = match enter(core, &scope, came, &message) {
        Ok((_, place)) => place,
        Err(answer) => return answer,
    };
    let listening = listen(core, scope, accepts, &message, place).await;
    listening.unwrap_or_else(|error| failed(&message, &error))
}

/// Begins to answer a request that is none for [`LISTEN`]; the error is an answer at once.
pub(super) fn begin(
    core: &Arc<Core>,
    scope: &Scope,
    accepts: Accepts,
    came: &Came<'_, impl Headers>,
    message: Envelope,
) -> Result<Asking, Answered> {
    let (session, place) = enter(core, scope, came, &message)?;
    let resumed = ask::begin(core, scope, &came.params, session, &message)
        .map_err(|error| Answered::from(failed(&message, &error)))?;
    Ok(Asking::new(core, accepts, message, resumed, place))
}

/// Lets a request in, and gives it a place among those under way.
#[expect(
    clippy::result_large_err,
    reason = "the error is the answer, and it is on its way out"
)]
fn enter(
    core: &Core,
    scope: &Scope,
    came: &Came<'_, impl Headers>,
    message: &Envelope,
) -> Result<(Arc<Session>, OwnedSemaphorePermit), Response<Body>> {
    let id = || message.id().unwrap_or(RawJson::NULL);
    let session = admit::admit(core, scope, came, message)
        .map_err(|error| answer::error(StatusCode::BAD_REQUEST, Some(&id()), &error))?;
    let Some(place) = core.modern.place() else {
        let error = RpcError::new(
            jsonrpc::INTERNAL_ERROR,
            "the gateway has no place for another request now",
        );
        let refused = answer::error(StatusCode::SERVICE_UNAVAILABLE, Some(&id()), &error);
        return Err(answer::later(refused, 1));
    };
    Ok((session, place))
}

fn failed(message: &Envelope, error: &RpcError) -> Response<Body> {
    let id = message.id().unwrap_or(RawJson::NULL);
    answer::error(status(error.code), Some(&id), error)
}

async fn listen(
    core: &Arc<Core>,
    scope: Scope,
    accepts: Accepts,
    message: &Envelope,
    place: OwnedSemaphorePermit,
) -> Result<Response<Body>, RpcError> {
    if !accepts.events {
        return Ok(answer::refusal(
            StatusCode::NOT_ACCEPTABLE,
            jsonrpc::INVALID_REQUEST,
            "the answer is text/event-stream; accept it",
        ));
    }
    let listening = listeners::listen(core, scope, message).await?;
    let reader = listening.stream().read(0);
    Ok(answer::events_holding(reader, Box::new((listening, place))))
}

/// The HTTP status of an error.
fn status(code: i64) -> StatusCode {
    match code {
        jsonrpc::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_VERSION => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
    }
}
