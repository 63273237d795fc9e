//! The gateway's public face.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use backstay_mcp::Pipes;
use backstay_mcp::compliance::{self, Report};
use backstay_telemetry::Registry;
use bytes::Bytes;
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::config::{GatewayConfig, Routes};
use crate::core::{Core, NoteSink};
use crate::event::{Event, EventSink};
use crate::http::{Door, Secured, serve_tcp, serve_unix};
use crate::published::{OwnAddress, Presence};
use crate::traffic::{Trouble, troubles};

/// The endpoint in front of every server.
///
/// None of its methods waits: what comes of them is told by events.
#[derive(Debug)]
pub struct Gateway {
    core: Arc<Core>,
    places: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    /// Ends the listeners of published services. Held for one map operation.
    doors: Mutex<HashMap<OwnAddress, watch::Sender<bool>>>,
}

impl Gateway {
    /// A gateway that serves nobody yet. Takes over the client sessions of a former daemon.
    pub fn new(
        config: GatewayConfig,
        registry: Registry,
        events: EventSink,
        notes: NoteSink,
        runtime: &Handle,
    ) -> io::Result<Self> {
        raise_descriptor_limit();
        let places = Arc::new(Semaphore::new(
            config.max_connections.min(Semaphore::MAX_PERMITS),
        ));
        let core = Core::new(config, registry, events, notes, runtime.clone())?;
        core.register_gauges();
        runtime.spawn(Core::publish_fleet(
            Arc::downgrade(&core),
            core.wanted_views(),
        ));
        runtime.spawn(expire_sessions(Arc::downgrade(&core)));
        runtime.spawn(balance_when_settled(Arc::downgrade(&core)));
        Ok(Self {
            core,
            places,
            draining: watch::Sender::new(false),
            doors: Mutex::default(),
        })
    }

    /// Serves a listening TCP socket. Returns its address.
    pub fn listen_tcp(&self, listener: OwnedFd) -> io::Result<SocketAddr> {
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let door = Door::guarded(&self.core.config, address.ip())?;
        let secured = match &self.core.config.tls {
            Some(files) => Some(Secured::load(&self.core, files.clone())?),
            None => None,
        };
        let _entered = self.core.runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let (core, places) = (Arc::clone(&self.core), Arc::clone(&self.places));
        self.core.runtime.spawn(serve_tcp(
            core,
            door,
            secured,
            listener,
            places,
            self.draining.subscribe(),
        ));
        Ok(address)
    }

    /// Serves a listening TCP socket of one published service, in place of any that it had.
    pub fn listen_published(&self, address: &OwnAddress, listener: OwnedFd) -> io::Result<()> {
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let OwnAddress {
            service,
            listen,
            tls,
            public,
        } = address.clone();
        let door = Door::published(&self.core.config, &service, listen.ip(), public)?;
        let secured = match tls {
            Some(files) => Some(Secured::load(&self.core, files)?),
            None => None,
        };
        let _entered = self.core.runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let (core, places) = (Arc::clone(&self.core), Arc::clone(&self.places));
        let end = watch::Sender::new(false);
        self.core.runtime.spawn(serve_tcp(
            core,
            door,
            secured,
            listener,
            places,
            end.subscribe(),
        ));
        self.doors.lock().insert(address.clone(), end);
        Ok(())
    }

    /// Tells that a published service has no address of its own, and why.
    pub fn publish_failed(&self, service: &str, reason: String, hint: &str) {
        self.core.emit(Event::PublishFailed {
            service: service.into(),
            reason,
            hint: hint.into(),
        });
    }

    /// Closes the addresses of published services that are none of these. Returns those that are not served yet.
    pub fn keep_addresses(&self, wanted: &[OwnAddress]) -> Vec<OwnAddress> {
        let mut doors = self.doors.lock();
        doors.retain(|address, end| {
            let kept = wanted.contains(address);
            if !kept {
                end.send_replace(true);
            }
            kept
        });
        let missing = wanted.iter().filter(|address| !doors.contains_key(address));
        missing.cloned().collect()
    }

    /// Serves a listening unix socket whose file only trusted users can open.
    pub fn listen_unix(&self, listener: OwnedFd) -> io::Result<()> {
        let listener = std::os::unix::net::UnixListener::from(listener);
        listener.set_nonblocking(true)?;
        let _entered = self.core.runtime.enter();
        let listener = UnixListener::from_std(listener)?;
        let (core, places) = (Arc::clone(&self.core), Arc::clone(&self.places));
        self.core.runtime.spawn(serve_unix(
            core,
            listener,
            places,
            self.draining.subscribe(),
        ));
        Ok(())
    }

    /// Serves these servers and no others.
    pub fn set_routes(&self, routes: Routes) {
        self.core.set_routes(routes);
    }

    /// Takes the pipes of a stdio server, and what a former daemon noted of its handshake (empty for none).
    pub fn attach(&self, instance: &str, pipes: Pipes, note: Bytes) {
        self.core.attach(instance, pipes, note);
    }

    /// Remembers what a former daemon noted of an HTTP server's handshake, for [`Gateway::connect`].
    pub fn note(&self, instance: &str, note: Bytes) {
        self.core.set_note(instance, note);
    }

    /// Shakes hands with an HTTP server, now.
    pub fn connect(&self, instance: &str) {
        self.core.connect(instance);
    }

    /// An instance of a plain service is there, or is not well any more.
    pub fn instance_well(&self, instance: &str, well: bool) {
        let presence = if well {
            Presence::Ready
        } else {
            Presence::Down
        };
        self.core.published.heard(&self.core, instance, presence);
    }

    /// An instance was started: it is not there yet.
    pub fn instance_starting(&self, instance: &str) {
        self.core
            .published
            .heard(&self.core, instance, Presence::Starting);
    }

    /// The keeper has forgotten an instance.
    pub fn instance_forgotten(&self, instance: &str) {
        self.core.published.forget(&self.core, instance);
    }

    /// The instance is gone or going: calls to it fail with this reason. `retry_after_ms` where it will come back.
    pub fn instance_down(&self, instance: &str, reason: &str, retry_after_ms: Option<u64>) {
        self.core
            .published
            .heard(&self.core, instance, Presence::Down);
        self.core.instance_down(instance, reason, retry_after_ms);
    }

    /// The instance was stopped, as asked.
    pub fn instance_stopped(&self, instance: &str) {
        self.core
            .published
            .heard(&self.core, instance, Presence::Down);
        self.core.instance_stopped(instance);
    }

    /// Lets go of an instance's pipes, so that a server sees the end of its input.
    pub fn detach(&self, instance: &str) {
        self.core.detach(instance);
    }

    /// Checks on a live connection whether a server keeps to the protocol; none while no instance is ready.
    pub async fn examine(&self, service: &str, patience: Duration) -> Option<Report> {
        let (_, upstream) = self.core.server(service)?.pick().ok()?;
        Some(compliance::check(&upstream, patience).await)
    }

    /// What keeps calls from instances now.
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut found = Vec::new();
        for server in self.core.servers().values() {
            for one in server.instances().iter() {
                found.extend(troubles(&**server, &one.name, &one.health));
            }
        }
        self.core.published.troubles(&mut found);
        found
    }

    /// Accepts nobody any more and waits, up to `patience`, until the connections are done.
    pub async fn drain(&self, patience: Duration) {
        self.stop_accepting();
        self.core.modern.listeners.close();
        let most = u32::try_from(self.core.config.max_connections).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(patience, self.places.acquire_many(most)).await;
    }
}

impl Gateway {
    fn stop_accepting(&self) {
        self.draining.send_replace(true);
        for end in self.doors.lock().values() {
            end.send_replace(true);
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop_accepting();
        self.core.let_go_of_pipes();
    }
}

/// Every connection is a descriptor, and the usual soft limit is 1,024.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, connections above the limit wait in the backlog.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// In a daemon's first seconds no instance is given up: a session that a former daemon knew may still have it.
async fn balance_when_settled(core: Weak<Core>) {
    let Some(settled_by) = core.upgrade().map(|core| core.settled_by()) else {
        return;
    };
    tokio::time::sleep_until(settled_by).await;
    if let Some(core) = core.upgrade() {
        for server in core.servers().values() {
            core.balance(server);
        }
    }
}

/// Forgets unused sessions, each when it is due.
async fn expire_sessions(core: Weak<Core>) {
    loop {
        let Some(wait) = core.upgrade().map(|core| core.sessions.expire()) else {
            return;
        };
        tokio::time::sleep(wait).await;
    }
}
