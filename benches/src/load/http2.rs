//! HTTP/2 by hyper: sessions share a connection.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::http1::Stream;
use super::options::Options;

/// One session's share of a connection.
#[derive(Clone)]
pub(super) struct Connection(SendRequest<Full<Bytes>>);

/// An answer: whether it is one of success, its session if it names one, its body.
pub(super) struct Answer {
    pub(super) good: bool,
    pub(super) session: Option<String>,
    pub(super) body: Bytes,
}

impl Connection {
    pub(super) async fn open(stream: Box<dyn Stream>) -> io::Result<Self> {
        let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self(send))
    }

    pub(super) async fn ask(&mut self, request: &Request<Full<Bytes>>) -> io::Result<Answer> {
        self.0.ready().await.map_err(io::Error::other)?;
        let sent = self.0.send_request(request.clone());
        let answer = sent.await.map_err(io::Error::other)?;
        let session = answer.headers().get("mcp-session-id");
        Ok(Answer {
            good: answer.status().is_success(),
            session: session
                .and_then(|session| session.to_str().ok())
                .map(str::to_owned),
            body: answer
                .into_body()
                .collect()
                .await
                .map_err(io::Error::other)?
                .to_bytes(),
        })
    }
}

/// A request that can be sent again and again.
pub(super) fn request(
    options: &Options,
    session: &str,
    body: &str,
) -> io::Result<Request<Full<Bytes>>> {
    let scheme = if options.secure { "https" } else { "http" };
    let mut request = Request::post(format!("{scheme}://{}{}", options.address, options.path))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    if !session.is_empty() {
        request = request.header("mcp-session-id", session);
    }
    if let Some(token) = &options.token {
        let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(io::Error::other)?;
        request = request.header("authorization", value);
    }
    request
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .map_err(io::Error::other)
}
