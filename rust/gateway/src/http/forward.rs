//! `/api` and `/`: passed on to the daemon's Python over its unix socket.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body_util::Empty;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::answer;
use super::body::Body;
use super::hops::strip_hop_by_hop;
use crate::core::Core;

/// How long the daemon may take to begin an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Passes a request on, and the answer back.
pub(super) async fn to_daemon(core: &Core, request: Request<Incoming>) -> Response<Body> {
    let socket = core.config.state_dir.join("control.sock");
    let answered = tokio::time::timeout(PATIENCE, exchange(&socket, request)).await;
    match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(reason)) => {
            let message =
                serde_json::json!({"error": format!("the daemon does not answer: {reason}")});
            answer::later(
                answer::json(StatusCode::BAD_GATEWAY, message.to_string()),
                1,
            )
        }
        Err(_) => answer::json(
            StatusCode::GATEWAY_TIMEOUT,
            serde_json::json!({"error": "the daemon took too long"}).to_string(),
        ),
    }
}

/// The daemon's own page at this path, if it has one.
pub(super) async fn page(core: &Core, uri: &Uri, headers: &HeaderMap) -> Option<Response<Body>> {
    let socket = core.config.state_dir.join("control.sock");
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers.clone();
    let page = tokio::time::timeout(PATIENCE, exchange(&socket, request))
        .await
        .ok()?
        .ok()?;
    page.status().is_success().then_some(page)
}

async fn exchange<B>(socket: &Path, mut request: Request<B>) -> Result<Response<Body>, String>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = connect(socket).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    *request.uri_mut() = Uri::try_from(path).map_err(|error| error.to_string())?;
    *request.version_mut() = Version::HTTP_11;
    strip(request.headers_mut());
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("backstay"));
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let (mut head, body) = answer.into_parts();
    head.version = Version::HTTP_11;
    strip(&mut head.headers);
    Ok(Response::from_parts(head, Body::Forwarded(body)))
}

fn strip(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    // The token is for us, not for those behind us.
    headers.remove(http::header::AUTHORIZATION);
}

/// Connects to a socket whose path may be longer than the 108 bytes an address can hold.
pub(crate) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let dir = socket
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = socket.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = std::fs::File::open(dir)?;
    UnixStream::connect(
        Path::new("/proc/self/fd")
            .join(dir.as_raw_fd().to_string())
            .join(name),
    )
    .await
}
