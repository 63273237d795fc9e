//! HTTP over the gateway's unix socket, one connection a request: to a daemon that may be restarting.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::http::connect;

/// How long a daemon may stay away before a request is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody was there for long: it was never sent.
    Nobody(io::Error),
    /// The connection ended before the answer came.
    Lost,
}

/// Where the gateway is.
#[derive(Debug)]
pub(super) struct Link {
    socket: PathBuf,
    path: String,
}

impl Link {
    pub(super) fn new(socket: &Path, path: &str) -> Self {
        Self {
            socket: socket.to_owned(),
            path: path.to_owned(),
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        method: Method,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = self.reach().await.map_err(Failure::Nobody)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failure::Lost)?;
        tokio::spawn(connection);
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        let posts = method == Method::POST;
        *request.method_mut() = method;
        let own = request.headers_mut();
        own.insert(HOST, HeaderValue::from_static("localhost"));
        let accept = if posts {
            "application/json, text/event-stream"
        } else {
            "text/event-stream"
        };
        own.insert(ACCEPT, HeaderValue::from_static(accept));
        if posts {
            own.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                own.insert(*name, value);
            }
        }
        sender
            .send_request(request)
            .await
            .map_err(|_| Failure::Lost)
    }

    /// Connects, and tries again while a daemon may be on its way. The keeper holds the socket for it: where there is
    /// no socket, there is no fleet.
    async fn reach(&self) -> io::Result<tokio::net::UnixStream> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            match connect(&self.socket).await {
                Ok(stream) => return Ok(stream),
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        || Instant::now() + pause > deadline =>
                {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
