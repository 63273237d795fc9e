//! The gateway's HTTP: who is let in, and where each path leads.

pub(crate) mod answer;
mod asking;
mod body;
mod compress;
mod forward;
mod guard;
mod hops;
mod listener;
mod mcp;
mod modern;
mod page;
mod post;
mod quick;
mod secure;
mod sse;

use std::net::IpAddr;
use std::sync::Arc;

use backstay_mcp::jsonrpc;
use backstay_mcp::modern::headers::PARAM_PREFIX;
use backstay_telemetry::Format;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, ORIGIN, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

pub(crate) use body::{Body, Passed};
pub(crate) use forward::connect;
pub(crate) use guard::host_name;
use guard::{Guard, Refusal};
pub(crate) use hops::{strip_hop_by_hop, tokens};
pub(crate) use listener::{serve_tcp, serve_unix};
pub(crate) use secure::Secured;
pub(crate) use sse::Connections;

use crate::config::GatewayConfig;
use crate::core::Core;
use crate::published::{self, Found};
use crate::session::Scope;

/// Whom a listener lets in.
#[derive(Debug)]
pub(crate) enum Door {
    /// Anybody who can open the socket's file.
    Trusted,
    /// Those whom the rules admit.
    Guarded(Guard),
    /// The address of one published service: those whom the rules admit, or all where there are none.
    Published(Box<str>, Option<Guard>),
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visit {
    /// The client's address; none over a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
}

impl Door {
    /// The door of a TCP listener.
    pub(crate) fn guarded(config: &GatewayConfig, ip: IpAddr) -> std::io::Result<Self> {
        Guard::new(config, ip).map(Self::Guarded)
    }

    /// The door of a published service's own address.
    pub(crate) fn published(
        config: &GatewayConfig,
        service: &str,
        ip: IpAddr,
        public: bool,
    ) -> std::io::Result<Self> {
        let guard = if public {
            None
        } else {
            Some(Guard::new(config, ip)?)
        };
        Ok(Self::Published(service.into(), guard))
    }
}

/// Answers one HTTP request: admit → authenticate → the path's own business.
async fn serve(
    core: Arc<Core>,
    door: Arc<Door>,
    visit: Visit,
    request: Request<Incoming>,
) -> Response<Body> {
    if let Door::Published(service, guard) = &*door {
        let found = core.published.service(service);
        return Box::pin(publish(&core, found, guard.as_ref(), visit, request)).await;
    }
    if let Some(found) = published_here(&core, &request) {
        let guard = match &*door {
            Door::Guarded(guard) => Some(guard),
            _ => None,
        };
        return Box::pin(publish(&core, Some(found), guard, visit, request)).await;
    }
    let origin = request.headers().get(ORIGIN).cloned();
    if let Door::Guarded(guard) = &*door {
        if let Err(refusal) = guard.admit(request.uri(), request.headers()) {
            return refused(&core, refusal);
        }
        let open = request.method() == Method::OPTIONS
            || matches!(request.uri().path(), "/healthz" | "/readyz");
        if !open && let Err(refusal) = guard.authenticate(request.headers()) {
            return allow_origin(refused(&core, refusal), origin);
        }
    }
    allow_origin(route(&core, &door, visit, request).await, origin)
}

/// The published service that a request at the gateway's address is for.
fn published_here(core: &Core, request: &Request<Incoming>) -> Option<Found> {
    let (uri, published) = (request.uri(), &core.published);
    let at_host = published.at_host(uri, request.headers());
    at_host.or_else(|| {
        let foreign = !is_own(uri.path());
        foreign.then(|| published.at_path(uri.path())).flatten()
    })
}

/// Answers by a published service, unless the rules refuse it.
async fn publish(
    core: &Arc<Core>,
    found: Option<Found>,
    guard: Option<&Guard>,
    visit: Visit,
    request: Request<Incoming>,
) -> Response<Body> {
    let Some(found) = found else {
        let nothing = "nothing is published here now\n";
        return answer::later(answer::text(StatusCode::SERVICE_UNAVAILABLE, nothing), 1);
    };
    let route = &found.service.route;
    if let Some(guard) = guard {
        let headers = request.headers();
        let admitted = guard
            .admit_host(request.uri(), headers, |host| route.is_for(host))
            .and_then(|()| {
                if route.public {
                    return Ok(());
                }
                guard
                    .admit_origin(headers)
                    .and_then(|()| guard.authenticate(headers))
            });
        if let Err(refusal) = admitted {
            return refused(core, refusal);
        }
    }
    let token_was_ours = !route.public && guard.is_some_and(Guard::has_token);
    published::serve(core, &found, request, visit, token_was_ours).await
}

async fn route(
    core: &Arc<Core>,
    door: &Door,
    visit: Visit,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.method() == Method::OPTIONS {
        return preflight(request.headers());
    }
    let path = request.uri().path();
    // Over the fleet's own socket comes what was stdio, which has no headers to compare with.
    let compared = matches!(door, Door::Guarded(_));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match path {
        "/mcp" => mcp::serve(core, Scope::Fleet, compared, request).await,
        "/sse" if reads => sse::open(core, Scope::Fleet, &request),
        "/messages" if request.method() == Method::POST => Box::pin(sse::take(core, request)).await,
        "/messages" => not_allowed("POST"),
        "/healthz" if reads => answer::text(StatusCode::OK, "ok\n"),
        "/readyz" if reads => page::ready(core),
        "/metrics" if reads && core.config.metrics => metrics(core, &request),
        "/" | "/mcp/" | "/sse" | "/healthz" | "/readyz" | "/metrics" if !reads => {
            not_allowed("GET, HEAD")
        }
        // Boxed, so that they do not make the future of every request large.
        "/" => Box::pin(page::home(core, visit, &request)).await,
        _ if path.starts_with("/.well-known/") => {
            answer::text(StatusCode::NOT_FOUND, "no such document\n")
        }
        _ if path == "/api" || path.starts_with("/api/") => {
            if matches!(door, Door::Guarded(_)) && !reads {
                let message = "over TCP the API only reads; changes go through the fleet's own socket, as the `backstay` command does";
                return answer::json(
                    StatusCode::FORBIDDEN,
                    serde_json::json!({"error": message}).to_string(),
                );
            }
            Box::pin(forward::to_daemon(core, request)).await
        }
        _ => match path
            .strip_prefix("/mcp/")
            .filter(|service| !service.is_empty())
        {
            Some(service) => match page::scope(core, service).await {
                Ok(scope) => mcp::serve(core, scope, compared, request).await,
                Err(answer) => answer,
            },
            None => other(core, &request).await,
        },
    }
}

/// `/sse/<service>`, or nothing.
async fn other(core: &Arc<Core>, request: &Request<Incoming>) -> Response<Body> {
    let reads = request.method() == Method::GET;
    let service = request.uri().path().strip_prefix("/sse/");
    match service.filter(|service| !service.is_empty() && reads) {
        Some(service) => match page::scope(core, service).await {
            Ok(scope) => sse::open(core, scope, request),
            Err(answer) => answer,
        },
        None => answer::text(StatusCode::NOT_FOUND, "nothing here; MCP is at /mcp\n"),
    }
}

/// Whether a path is the gateway's own, and of nothing that is published.
fn is_own(path: &str) -> bool {
    let first = path[1.min(path.len())..]
        .split('/')
        .next()
        .unwrap_or_default();
    let own = [
        "",
        "mcp",
        "sse",
        "messages",
        "api",
        "healthz",
        "readyz",
        "metrics",
        ".well-known",
    ];
    own.contains(&first)
}

fn refused(core: &Core, refusal: Refusal) -> Response<Body> {
    let (status, reason, message) = match refusal {
        Refusal::Host => (
            StatusCode::FORBIDDEN,
            "host",
            "this Host is not allowed; see `allowed_hosts`",
        ),
        Refusal::Origin => (
            StatusCode::FORBIDDEN,
            "origin",
            "this Origin is not allowed; see `allowed_origins`",
        ),
        Refusal::Token => (
            StatusCode::UNAUTHORIZED,
            "token",
            "a bearer token is needed",
        ),
    };
    core.metrics.refused.with(&[reason]).inc();
    let mut answer = answer::refusal(status, jsonrpc::INVALID_REQUEST, message);
    if refusal == Refusal::Token {
        answer.headers_mut().insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"backstay\""),
        );
    }
    answer
}

fn metrics(core: &Core, request: &Request<Incoming>) -> Response<Body> {
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let format = Format::negotiate(accept);
    let mut out = Vec::new();
    core.registry.render_as(format, &mut out);
    answer::with(
        StatusCode::OK,
        HeaderValue::from_static(format.content_type()),
        Body::whole(out),
    )
}

fn not_allowed(methods: &'static str) -> Response<Body> {
    let mut answer = answer::text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("allowed: {methods}\n"),
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// A web page of an allowed origin asks what it may send.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut answer = answer::empty(StatusCode::NO_CONTENT);
    let mut headers =
        "authorization, content-type, accept, last-event-id, mcp-session-id, mcp-protocol-version, mcp-method, mcp-name"
            .to_owned();
    // Those of annotated arguments are named by tools, so whichever are asked for.
    let asked = asked
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .and_then(|asked| asked.to_str().ok());
    for name in asked.unwrap_or_default().split(',').map(str::trim) {
        if name.starts_with(PARAM_PREFIX) {
            headers.push_str(", ");
            headers.push_str(name);
        }
    }
    if let Ok(headers) = HeaderValue::from_str(&headers) {
        answer
            .headers_mut()
            .insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
    }
    for (name, value) in [
        ("access-control-allow-methods", "GET, POST, DELETE"),
        ("access-control-max-age", "600"),
    ] {
        answer.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    answer
}

/// The origin was admitted, so its page may read the answer.
fn allow_origin(mut answer: Response<Body>, origin: Option<HeaderValue>) -> Response<Body> {
    if let Some(origin) = origin {
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(VARY, HeaderValue::from_static("origin"));
        headers.insert(
            HeaderName::from_static("access-control-expose-headers"),
            HeaderValue::from_static("mcp-session-id, mcp-protocol-version, www-authenticate"),
        );
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    /// What a call of this takes.
    fn size<F: Future>(_: impl Fn(Arc<Core>, Arc<Door>, Visit, Request<Incoming>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_request_is_small_because_hyper_moves_it() {
        // A branch that is seldom taken and large belongs into a box: this is paid by every request.
        assert!(size(serve) <= 4096, "{} bytes", size(serve));
        assert!(
            post::size_of_answering() <= 3072,
            "{} bytes",
            post::size_of_answering()
        );
    }
}
