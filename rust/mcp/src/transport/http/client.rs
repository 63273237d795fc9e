//! One instance's HTTP client: kept-alive connections, TLS where the address asks for it.

use std::error::Error;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

/// A client for one instance. Each has its own: an instance is one server, and its connections end with it.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Plain(legacy::Client<HttpConnector, Full<Bytes>>),
    Tls(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

const CONNECT: Duration = Duration::from_secs(10);
const KEEP_IDLE: Duration = Duration::from_secs(90);

impl Client {
    pub(crate) fn new(tls: bool) -> io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(KEEP_IDLE)
            .pool_timer(TokioTimer::new());
        if !tls {
            return Ok(Self::Plain(builder.build(connector)));
        }
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config()?)
            .https_only()
            .enable_http1()
            .enable_http2()
            .wrap_connector(connector);
        Ok(Self::Tls(builder.build(connector)))
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        match self {
            Self::Plain(client) => client.request(request).await,
            Self::Tls(client) => client.request(request).await,
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
