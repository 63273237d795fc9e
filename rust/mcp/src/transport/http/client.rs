//! One instance's HTTP client: kept-alive connections, TLS where the address asks for it.

use std::error::Error;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::body::Body;
use super::plain::{self, Headers, Plain};

/// A client for one instance. Each has its own: an instance is one server, and its connections end with it.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Plain(Plain),
    Tls(Box<legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>>),
}

/// A request without its body, ready to be sent any number of times.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) request: Request<()>,
    /// Its head as [`Plain`] sends it, up to where the body's length follows.
    pub(super) head: Vec<u8>,
}

impl Prepared {
    pub(crate) fn new(request: Request<()>) -> Self {
        let mut head = Vec::new();
        plain::write_head(&request, &mut head);
        Self { request, head }
    }
}

/// The beginning of an answer, and its body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(crate) reason: String,
    /// Whether the server may have seen it.
    pub(crate) sent: bool,
}

const CONNECT: Duration = Duration::from_secs(10);
const KEEP_IDLE: Duration = Duration::from_secs(90);

impl Client {
    pub(crate) fn new(tls: bool) -> io::Result<Self> {
        if !tls {
            return Ok(Self::Plain(Plain::default()));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config()?)
            .https_only()
            .enable_http1()
            .enable_http2()
            .wrap_connector(connector);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEEP_IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self::Tls(Box::new(client)))
    }

    pub(crate) async fn send(&self, prepared: &Prepared, body: Bytes) -> Result<Response, Undone> {
        match self {
            Self::Plain(client) => client.send(prepared, body).await,
            Self::Tls(client) => {
                let request = prepared.request.clone().map(|()| Full::new(body));
                // Boxed: the future of every call would have to have room for it.
                let asked = Box::pin(client.request(request)).await;
                let answer = asked.map_err(|error| Undone {
                    reason: describe(&error),
                    sent: !error.is_connect(),
                })?;
                let (parts, body) = answer.into_parts();
                Ok(Response {
                    status: parts.status,
                    headers: Headers::Map(parts.headers),
                    body: Body::Hyper(body),
                })
            }
        }
    }
}
/// The machine's own certificates (or those of `SSL_CERT_FILE`), read once.
fn tls_config() -> io::Result<ClientConfig> {
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let config =
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_native_roots()
            .map_err(|error| {
                io::Error::other(format!("no certificates to check a server with: {error}"))
            })?
            .with_no_client_auth();
    Ok(CONFIG.get_or_init(|| config).clone())
}

/// An error with all its causes, which is where hyper's say something.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    // "client error (Connect)" says less than its cause.
    let outer = error
        .downcast_ref::<legacy::Error>()
        .and_then(Error::source);
    let mut next = outer.or(Some(error));
    let mut text = String::new();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}
