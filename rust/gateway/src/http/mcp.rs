//! Streamable HTTP: POST, GET and DELETE on `/mcp` and `/mcp/<service>`.

#![expect(
    clippy::result_large_err,
    reason = "the error is the answer, and it is on its way out"
)]

use std::sync::Arc;

use backstay_mcp::version::{MODERN, UnknownVersion};
use backstay_mcp::{RpcError, Version, jsonrpc};
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, PROTOCOL_VERSION, SESSION_ID};
use super::body::Body;
use super::{modern, post};
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
    pub(super) fn read(headers: &HeaderMap) -> Self {
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
    compared: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let speaks = match spoken(request.headers()) {
        Ok(speaks) => speaks,
        Err(answer) => return answer,
    };
    match *request.method() {
        Method::POST if speaks != Speaks::Legacy => {
            let accepts = Accepts::read(request.headers());
            match check_post(accepts, request.headers()) {
                Ok(()) => modern::serve(core, scope, accepts, compared, request).await,
                Err(answer) => answer,
            }
        }
        Method::GET | Method::DELETE if speaks == Speaks::Modern => {
            not_allowed("2026-07-28 has neither: use subscriptions/listen", "POST")
        }
        Method::GET | Method::DELETE if speaks == Speaks::Unknown => {
            let known = UnknownVersion(
                request.headers()[PROTOCOL_VERSION]
                    .to_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
            answer::refusal(
                StatusCode::BAD_REQUEST,
                jsonrpc::INVALID_REQUEST,
                known.to_string(),
            )
        }
        Method::POST => {
            let accepts = Accepts::read(request.headers());
            match check_post(accepts, request.headers()) {
                Ok(()) => post::serve(core, scope, accepts, request).await,
                Err(answer) => answer,
            }
        }
        Method::GET => listen(core, &scope, request.headers()),
        Method::DELETE => match session(core, &scope, request.headers()) {
            Ok(session) => {
                core.sessions.remove(&session).await;
                answer::empty(StatusCode::NO_CONTENT)
            }
            Err(answer) => answer,
        },
        _ => not_allowed("allowed: GET, POST, DELETE", "GET, POST, DELETE"),
    }
}

fn not_allowed(message: &str, methods: &'static str) -> Response<Body> {
    let mut answer = answer::refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        jsonrpc::INVALID_REQUEST,
        message,
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// What a POST must say of what it sends and takes, whatever it speaks.
fn check_post(accepts: Accepts, headers: &HeaderMap) -> Result<(), Response<Body>> {
    if !accepts.json && !accepts.events {
        return Err(answer::refusal(
            StatusCode::NOT_ACCEPTABLE,
            jsonrpc::INVALID_REQUEST,
            "answers are application/json or text/event-stream; accept both",
        ));
    }
    if !is_json(headers) {
        return Err(answer::refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            jsonrpc::INVALID_REQUEST,
            "Content-Type must be application/json",
        ));
    }
    Ok(())
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

/// What a request's version header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// A version with sessions; also where it says nothing.
    Legacy,
    Modern,
    /// A version that is not spoken here.
    Unknown,
}

fn spoken(headers: &HeaderMap) -> Result<Speaks, Response<Body>> {
    let mut versions = headers.get_all(PROTOCOL_VERSION).iter();
    match (versions.next(), versions.next()) {
        (None, _) => Ok(Speaks::Legacy),
        (Some(version), None) => match version.to_str() {
            Ok(MODERN) => Ok(Speaks::Modern),
            Ok(version) if version.parse::<Version>().is_ok() => Ok(Speaks::Legacy),
            _ => Ok(Speaks::Unknown),
        },
        _ => Err(answer::refusal(
            StatusCode::BAD_REQUEST,
            jsonrpc::INVALID_REQUEST,
            "several MCP-Protocol-Version headers",
        )),
    }
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
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
