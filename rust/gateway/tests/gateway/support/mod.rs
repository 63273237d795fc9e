//! A gateway in this process, servers that are tasks at the other end of pipes, and a plain HTTP client.

pub mod client;
pub mod modern;
pub mod raw;
pub mod server;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_gateway::{Event, Gateway, GatewayConfig, Routes};
use backstay_telemetry::Registry;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Long enough for anything that works.
pub const SOON: Duration = Duration::from_secs(10);

/// A gateway and what it says.
pub struct House {
    pub gateway: Gateway,
    pub address: SocketAddr,
    pub registry: Registry,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    /// What it would have the keeper remember.
    pub notes: Arc<Mutex<Vec<(String, Bytes)>>>,
}

impl House {
    pub fn new(dir: &Path) -> Self {
        Self::with(GatewayConfig {
            state_dir: dir.into(),
            settle_ms: 300,
            ..GatewayConfig::default()
        })
    }

    pub fn with(config: GatewayConfig) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let sink = Arc::new(move |event| drop(sender.send(event)));
        let notes: Arc<Mutex<Vec<(String, Bytes)>>> = Arc::default();
        let noted = Arc::clone(&notes);
        let keep = Arc::new(move |instance: &str, note| {
            noted.lock().unwrap().push((instance.to_owned(), note));
        });
        let registry = Registry::new();
        let gateway =
            Gateway::new(config, registry.clone(), sink, keep, &Handle::current()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = gateway.listen_tcp(OwnedFd::from(listener)).unwrap();
        Self {
            gateway,
            address,
            registry,
            events: tokio::sync::Mutex::new(events),
            notes,
        }
    }

    /// Serves the trusted unix socket, which outlives the house as the keeper's does.
    pub fn listen_unix(&self, listener: &std::os::unix::net::UnixListener) {
        self.gateway
            .listen_unix(OwnedFd::from(listener.try_clone().unwrap()))
            .unwrap();
    }

    /// Routes stdio servers, one instance each.
    pub fn route(&self, services: &[&str]) {
        self.routes(services.iter().map(|service| route(service)).collect());
    }

    pub fn routes(&self, servers: Vec<Value>) {
        let routes: Routes = serde_json::from_value(json!({ "servers": servers })).unwrap();
        self.gateway.set_routes(routes);
    }

    /// The same, with what kept answers have in common.
    pub fn routes_with(&self, servers: Vec<Value>, cache: Value) {
        let routes = json!({ "servers": servers, "cache": cache });
        self.gateway
            .set_routes(serde_json::from_value(routes).unwrap());
    }

    /// Connects a server as instance 1 of a service, and waits until it is ready.
    pub async fn attach(&self, service: &str, fake: &server::Fake) {
        self.gateway
            .attach(&format!("{service}.1"), fake.pipes(), Bytes::new());
        self.wait(
            |event| matches!(event, Event::ServerReady { service: ready, .. } if ready == service),
        )
        .await;
    }

    /// The next event that is looked for; others are passed over.
    pub async fn wait(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut events = self.events.lock().await;
        let found = async {
            loop {
                let event = events.recv().await.unwrap();
                if wanted(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(SOON, found)
            .await
            .expect("no such event")
    }

    pub fn metrics(&self) -> String {
        let mut out = Vec::new();
        self.registry.render(&mut out);
        String::from_utf8(out).unwrap()
    }

    pub async fn client(&self, path: &str) -> client::Client {
        client::Client::open(self.address, path, json!({})).await
    }

    pub async fn client_with(&self, path: &str, capabilities: Value) -> client::Client {
        client::Client::open(self.address, path, capabilities).await
    }
}

pub fn route(service: &str) -> Value {
    json!({"service": service, "instances": [{"name": format!("{service}.1")}]})
}
