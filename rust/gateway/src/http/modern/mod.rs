//! Streamable HTTP of 2026-07-28: every POST stands for itself. What it must say is checked in [`admit`], how it is
//! answered is in [`mod@ask`]. A notification comes to nothing: the core of the protocol has none over HTTP.

mod admit;
mod ask;

use std::sync::Arc;

use backstay_mcp::modern::errors::{
    HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_VERSION,
};
use backstay_mcp::modern::meta::RequestMeta;
use backstay_mcp::{Envelope, Kind, Limits, RawJson, RpcError, jsonrpc};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::answer;
use super::body::Body;
use super::mcp::Accepts;
use super::post;
use crate::core::Core;
use crate::modern::listeners;
use crate::session::Scope;

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
            Kind::Request => Box::pin(answer(core, scope, accepts, &head, compared, message)).await,
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

/// Answers one request. `compared`: its headers must say what its body says.
pub(super) async fn answer(
    core: &Arc<Core>,
    scope: Scope,
    accepts: Accepts,
    head: &Parts,
    compared: bool,
    message: Envelope,
) -> Response<Body> {
    let id = message.id().unwrap_or(RawJson::NULL);
    let admitted = admit::admit(core, &scope, head, compared, &message);
    let session = match admitted {
        Ok(session) => session,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, Some(&id), &error),
    };
    let Some(place) = core.modern.place() else {
        let error = RpcError::new(
            jsonrpc::INTERNAL_ERROR,
            "the gateway has no place for another request now",
        );
        return answer::later(
            answer::error(StatusCode::SERVICE_UNAVAILABLE, Some(&id), &error),
            1,
        );
    };
    let outcome = if message.method() == "subscriptions/listen" {
        listen(core, scope, accepts, &message, place).await
    } else {
        match ask::begin(core, &scope, head, session, &message) {
            Ok(resumed) => Ok(ask::ask(core, accepts, message, resumed, place).await),
            Err(error) => Err(error),
        }
    };
    outcome.unwrap_or_else(|error| answer::error(status(error.code), Some(&id), &error))
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
