//! HTTP answers of the gateway's own.

use backstay_mcp::{RawJson, RpcError, jsonrpc};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::body::Body;
use crate::requests::Refused;
use crate::session::{Held, Reader};

/// The header that names a client's session.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// The header that names the version of the protocol.
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn with(status: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

pub(crate) fn json(status: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    with(status, JSON, Body::whole(bytes))
}

pub(super) fn pieces(pieces: [Bytes; 3]) -> Response<Body> {
    with(StatusCode::OK, JSON, Body::Whole(pieces))
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    with(
        status,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        Body::whole(text),
    )
}

pub(super) fn events(reader: Reader) -> Response<Body> {
    event_stream(reader)
}

/// A modern client's event stream, and what ends with it.
pub(super) fn events_holding(reader: Reader, held: Held) -> Response<Body> {
    let mut answer = event_stream(reader.holding(held));
    // "Servers SHOULD include the `X-Accel-Buffering: no` header" (2026-07-28, "Receiving Messages").
    answer.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    answer
}

fn event_stream(reader: Reader) -> Response<Body> {
    let mut answer = with(
        StatusCode::OK,
        HeaderValue::from_static("text/event-stream"),
        Body::events(reader),
    );
    answer.headers_mut().insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    answer
}

/// A JSON-RPC error for a request that could not be acted on.
pub(super) fn error(status: StatusCode, id: Option<&RawJson>, error: &RpcError) -> Response<Body> {
    json(status, jsonrpc::error(id, error))
}

/// The same, with a code and a message only.
pub(super) fn refusal(status: StatusCode, code: i64, message: impl Into<String>) -> Response<Body> {
    error(status, None, &RpcError::new(code, message))
}

/// A call that was not let go.
pub(super) fn refused(refused: Refused) -> Response<Body> {
    later(json(refused.status, refused.bytes), refused.retry_after)
}

/// Come back in some seconds.
pub(crate) fn later(mut answer: Response<Body>, seconds: u64) -> Response<Body> {
    answer
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}
