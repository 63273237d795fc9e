//! The small pages: readiness, the start page, and what to say of a service that is not there.

use std::fmt::Write as _;
use std::sync::Arc;

use backstay_mcp::list::List;
use backstay_mcp::{RpcError, jsonrpc};
use http::header::{ACCEPT, HOST};
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::Visit;
use super::answer;
use super::body::Body;
use super::forward;
use crate::core::Core;
use crate::session::Scope;
use crate::suggest;

/// The scope of `/mcp/<service>`, or the answer that there is none.
pub(super) async fn scope(core: &Core, service: &str) -> Result<Scope, Response<Body>> {
    core.settle(|_| true).await;
    let servers = core.servers();
    if let Some((service, _)) = servers.get_key_value(service) {
        return Ok(Scope::Service(Arc::clone(service)));
    }
    let hint = suggest::nearest(service, servers.keys().map(|known| &**known))
        .map_or(String::new(), |known| {
            format!("; did you mean /mcp/{known}?")
        });
    let shown: String = service.chars().take(64).collect();
    let error = RpcError::new(
        jsonrpc::INVALID_REQUEST,
        format!("no server `{shown}` in this fleet{hint}"),
    );
    Err(answer::error(StatusCode::NOT_FOUND, None, &error))
}

/// Whether every server that should be there can take calls.
pub(super) fn ready(core: &Core) -> Response<Body> {
    let servers = core.servers();
    let missing: Vec<_> = servers
        .values()
        .filter(|server| !server.instances().is_empty() && !server.is_ready())
        .map(|server| &*server.service)
        .collect();
    if missing.is_empty() && core.is_routed() {
        answer::text(StatusCode::OK, "ready\n")
    } else {
        let waiting = if missing.is_empty() {
            "the daemon".to_owned()
        } else {
            missing.join(", ")
        };
        answer::later(
            answer::text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {waiting}\n"),
            ),
            1,
        )
    }
}

/// The daemon's own page for browsers where it has one, else a list of servers and how to reach them.
pub(super) async fn home(core: &Core, visit: Visit, request: &Request<Incoming>) -> Response<Body> {
    let html = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if html && let Some(page) = forward::page(core, request.uri(), request.headers()).await {
        return page;
    }
    let base = base(visit, request);
    let mut text = format!(
        "{}: MCP servers behind one address\n\n  {base}/mcp  all of them\n",
        core.fleet()
    );
    for server in core.servers().values() {
        let state = if server.is_ready() {
            "ready"
        } else {
            "not ready"
        };
        let tools = server.view().count(List::Tools);
        let _ = writeln!(
            text,
            "  {base}/mcp/{}  {state}, {tools} tools",
            server.service
        );
    }
    let _ = write!(
        text,
        "\nFor clients that speak stdio: backstay connect [SERVICE]\nAlso here: /metrics /healthz /readyz /api/openapi.json\n"
    );
    answer::text(StatusCode::OK, text)
}

/// The address as the client wrote it; HTTP/2 has the host in the request's target (RFC 9113 §8.3.1).
fn base(visit: Visit, request: &Request<Incoming>) -> String {
    let header = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(Authority::as_str).or(header);
    let scheme = if visit.secure { "https" } else { "http" };
    format!("{scheme}://{}", host.unwrap_or("127.0.0.1:7077"))
}
