//! Streamable HTTP: POST, GET and DELETE on `/mcp` and `/mcp/<service>`.

#![expect(
    clippy::result_large_err,
    reason = "the error is the answer, and it is on its way out"
)]

use std::sync::Arc;

use backstay_mcp::{RpcError, Version, jsonrpc};
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, PROTOCOL_VERSION, SESSION_ID};
use super::body::Body;
use super::post;
use crate::core::Core;
use crate::session::{EventId, Scope, Session};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a client's `Accept` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepts {
    pub(super) json: bool,
    pub(super) events: bool,
}

impl Accepts {
    fn read(headers: &HeaderMap) -> Self {
        let mut accepts = Self {
            json: false,
            events: false,
        };
        let mut any = false;
        for kind in headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
        {
            any = true;
            let kind = kind.split(';').next().unwrap_or_default().trim();
            accepts.json |= ["application/json", "application/*", "*/*"]
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known));
            accepts.events |= ["text/event-stream", "text/*", "*/*"]
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known));
        }
        if any {
            accepts
        } else {
            Self {
                json: true,
                events: true,
            }
        }
    }
}

pub(super) async fn serve(
    core: &Arc<Core>,
    scope: Scope,
    request: Request<Incoming>,
) -> Response<Body> {
    if let Err(answer) = check_version(request.headers()) {
        return answer;
    }
    match *request.method() {
        Method::POST => {
            let accepts = Accepts::read(request.headers());
            if !accepts.json && !accepts.events {
                return answer::refusal(
                    StatusCode::NOT_ACCEPTABLE,
                    jsonrpc::INVALID_REQUEST,
                    "answers are application/json or text/event-stream; accept both",
                );
            }
            if !is_json(request.headers()) {
                return answer::refusal(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    jsonrpc::INVALID_REQUEST,
                    "Content-Type must be application/json",
                );
            }
            post::serve(core, scope, accepts, request).await
        }
        Method::GET => listen(core, &scope, request.headers()),
        Method::DELETE => match session(core, &scope, request.headers()) {
            Ok(session) => {
                core.sessions.remove(&session).await;
                answer::empty(StatusCode::NO_CONTENT)
            }
            Err(answer) => answer,
        },
        _ => {
            let mut answer = answer::refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                jsonrpc::INVALID_REQUEST,
                "allowed: GET, POST, DELETE",
            );
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
            answer
        }
    }
}

/// The client's GET stream: for what belongs to no call, or to catch up with one.
fn listen(core: &Core, scope: &Scope, headers: &HeaderMap) -> Response<Body> {
    if !Accepts::read(headers).events {
        return answer::refusal(
            StatusCode::NOT_ACCEPTABLE,
            jsonrpc::INVALID_REQUEST,
            "the answer is text/event-stream; accept it",
        );
    }
    let session = match session(core, scope, headers) {
        Ok(session) => session,
        Err(answer) => return answer,
    };
    let last = headers
        .get(LAST_EVENT_ID)
        .and_then(|id| id.to_str().ok())
        .and_then(EventId::parse);
    if let Some(last) = last {
        let after = last.number;
        if let Some(stream) = session.stream(last) {
            return answer::events(stream.read(after));
        }
    }
    answer::events(session.general().read_on())
}

/// The session that a request names.
pub(super) fn session(
    core: &Core,
    scope: &Scope,
    headers: &HeaderMap,
) -> Result<Arc<Session>, Response<Body>> {
    let mut ids = headers.get_all(SESSION_ID).iter();
    let id = match (ids.next(), ids.next()) {
        (Some(id), None) => id.to_str().unwrap_or_default(),
        (None, _) => {
            let message = "the Mcp-Session-Id header is missing; `initialize` gives one";
            return Err(answer::refusal(
                StatusCode::BAD_REQUEST,
                jsonrpc::INVALID_REQUEST,
                message,
            ));
        }
        _ => {
            return Err(answer::refusal(
                StatusCode::BAD_REQUEST,
                jsonrpc::INVALID_REQUEST,
                "several Mcp-Session-Id headers",
            ));
        }
    };
    core.sessions.get(id, scope).ok_or_else(|| {
        let error = RpcError::new(
            jsonrpc::REQUEST_TIMEOUT,
            "session not found; initialize a new one",
        );
        answer::error(StatusCode::NOT_FOUND, None, &error)
    })
}

/// A version header must name a version that is spoken here; that it is missing is allowed.
fn check_version(headers: &HeaderMap) -> Result<(), Response<Body>> {
    let mut versions = headers.get_all(PROTOCOL_VERSION).iter();
    let version = match (versions.next(), versions.next()) {
        (None, _) => return Ok(()),
        (Some(version), None) => version.to_str().unwrap_or_default(),
        _ => {
            return Err(answer::refusal(
                StatusCode::BAD_REQUEST,
                jsonrpc::INVALID_REQUEST,
                "several MCP-Protocol-Version headers",
            ));
        }
    };
    version.parse::<Version>().map(drop).map_err(|error| {
        answer::refusal(
            StatusCode::BAD_REQUEST,
            jsonrpc::INVALID_REQUEST,
            error.to_string(),
        )
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return false;
    };
    let kind = kind.to_str().unwrap_or_default();
    kind.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
}
