//! What stands between clients and server: nothing, a bare proxy, the gateway. Each on one thread.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use backstay_gateway::{Event, Gateway, GatewayConfig, Routes};
use backstay_telemetry::Registry;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::server;

/// See the module.
pub struct Middle {
    pub name: &'static str,
    pub address: SocketAddr,
    pub path: &'static str,
    pub tool: &'static str,
    thread: Option<i32>,
}

/// Runs a future for ever on a thread of its own. Returns the thread's id.
pub fn thread(name: &str, future: impl Future<Output = ()> + Send + 'static) -> i32 {
    let (told, id) = mpsc::channel();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let _ = told.send(rustix::thread::gettid().as_raw_nonzero().get());
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(future);
        })
        .unwrap();
    id.recv().unwrap()
}

impl Middle {
    pub fn none(upstream: SocketAddr) -> Self {
        Self {
            name: "direct",
            address: upstream,
            path: "/mcp",
            tool: "echo",
            thread: None,
        }
    }

    /// A reverse proxy as hyper's own example has it, with a connection pool.
    pub fn proxy(upstream: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let thread = thread("proxy", async move {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            let client: Client<_, Incoming> =
                Client::builder(TokioExecutor::new()).build(connector);
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let client = client.clone();
                let service = service_fn(move |request| proxied(client.clone(), upstream, request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .pipeline_flush(true)
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self {
            name: "hyper proxy",
            address,
            path: "/mcp",
            tool: "echo",
            thread: Some(thread),
        }
    }

    pub fn gateway_over_http(upstream: SocketAddr, dir: &Path) -> Self {
        let instance = format!(r#"{{"name":"s.1","url":"http://{upstream}/mcp"}}"#);
        Self::gateway("gateway, http", dir, "streamable-http", &instance)
    }

    pub fn gateway_over_stdio(dir: &Path) -> Self {
        Self::gateway("gateway, stdio", dir, "stdio", r#"{"name":"s.1"}"#)
    }

    fn gateway(name: &'static str, dir: &Path, transport: &'static str, instance: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let routes = format!(
            r#"{{"servers":[{{"service":"s","transport":"{transport}","instances":[{instance}]}}]}}"#
        );
        let routes: Routes = serde_json::from_str(&routes).unwrap();
        let config = GatewayConfig {
            state_dir: dir.into(),
            settle_ms: 0,
            ..GatewayConfig::default()
        };
        let (ready, wait) = mpsc::channel();
        let thread = thread("gateway", async move {
            let sink = Arc::new(move |event| {
                if matches!(event, Event::ServerReady { .. }) {
                    let _ = ready.send(());
                }
            });
            let runtime = tokio::runtime::Handle::current();
            let gateway =
                Gateway::new(config, Registry::new(), sink, Arc::new(|_, _| ()), &runtime).unwrap();
            gateway.listen_tcp(OwnedFd::from(listener)).unwrap();
            gateway.set_routes(routes);
            if transport == "stdio" {
                gateway.attach("s.1", server::over_stdio(), Bytes::new());
            } else {
                gateway.connect("s.1");
            }
            std::future::pending::<()>().await;
        });
        wait.recv_timeout(Duration::from_secs(10)).unwrap();
        Self {
            name,
            address,
            path: "/mcp",
            tool: "s__echo",
            thread: Some(thread),
        }
    }

    /// Processor time that its thread has used so far.
    pub fn cpu(&self) -> Duration {
        let Some(thread) = self.thread else {
            return Duration::ZERO;
        };
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
        let nanos = stat
            .split_ascii_whitespace()
            .next()
            .and_then(|field| field.parse().ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }
}

async fn proxied(
    client: Client<HttpConnector, Incoming>,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Infallible> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::try_from(format!("http://{upstream}{path}")).unwrap();
    // The bench has nothing to say to a client whose server is gone.
    Ok(client.request(request).await.unwrap())
}
