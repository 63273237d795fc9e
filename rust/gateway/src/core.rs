//! What all parts of the gateway share: configuration, sessions, servers, and the way events leave.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backstay_mcp::list::List;
use backstay_mcp::{CallTag, Pipes, jsonrpc};
use backstay_telemetry::Registry;
use backstay_traffic::State as BreakerState;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::answers::Answers;
use crate::config::GatewayConfig;
use crate::event::{Event, EventSink};
use crate::fleet::{Publisher, Server, State, View};
use crate::http::Connections;
use crate::metrics::Metrics;
use crate::modern::Modern;
use crate::published::Published;
use crate::session::{Keep, Scope, Session, Sessions};
use crate::traffic::now;

/// Keeps a note for the next daemon: an instance and what to remember of its handshake.
pub type NoteSink = Arc<dyn Fn(&str, Bytes) + Send + Sync>;
pub(crate) type Servers = BTreeMap<Arc<str>, Arc<Server>>;

/// See the module.
pub(crate) struct Core {
    pub(crate) config: GatewayConfig,
    pub(crate) sessions: Sessions,
    pub(crate) modern: Modern,
    pub(crate) connections: Connections,
    pub(crate) metrics: Metrics,
    /// Answers that are kept.
    pub(crate) answers: Answers,
    pub(crate) registry: Registry,
    pub(crate) runtime: Handle,
    pub(crate) publisher: Publisher,
    pub(crate) published: Published,
    pub(crate) notes: NoteSink,
    events: EventSink,
    // Each lock guards a pointer, read or replaced in a few instructions and never held across a wait.
    servers: RwLock<Arc<Servers>>,
    view: RwLock<Arc<View>>,
    /// The fleet's name.
    fleet: RwLock<Arc<str>>,
    /// Pipes of instances that no route names yet. Held for one map operation.
    pub(crate) parked: Mutex<HashMap<String, (Pipes, Bytes)>>,
    /// Notes about instances that no route names yet. Held for one map operation.
    pub(crate) parked_notes: Mutex<HashMap<String, Bytes>>,
    /// Wakes whoever waits for a server to become ready, or not.
    changed: Notify,
    routed: AtomicBool,
    /// Whether any server has a list that goes stale by itself.
    pub(crate) ages: AtomicBool,
    settled_by: Instant,
    next_call: AtomicU64,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "gateway of {}", self.fleet())
    }
}

impl Core {
    pub(crate) fn new(
        config: GatewayConfig,
        registry: Registry,
        events: EventSink,
        notes: NoteSink,
        runtime: Handle,
    ) -> std::io::Result<Arc<Self>> {
        let core = Arc::new(Self {
            sessions: Sessions::open(&config)?,
            connections: Connections::default(),
            modern: Modern::new(config.generation, config.max_sessions),
            metrics: Metrics::new(&registry, config.metrics).map_err(std::io::Error::other)?,
            answers: Answers::default(),
            published: Published::new(&registry).map_err(std::io::Error::other)?,
            registry,
            runtime,
            publisher: Publisher::default(),
            notes,
            events,
            servers: RwLock::default(),
            view: RwLock::default(),
            fleet: RwLock::new("fleet".into()),
            parked: Mutex::default(),
            parked_notes: Mutex::default(),
            changed: Notify::new(),
            routed: AtomicBool::new(false),
            ages: AtomicBool::new(false),
            settled_by: Instant::now() + config.settle(),
            next_call: AtomicU64::new(1),
            config,
        });
        let gone = Arc::downgrade(&core);
        core.sessions.on_end(move |session| {
            if let Some(core) = gone.upgrade() {
                core.session_ended(session);
            }
        });
        Ok(core)
    }

    pub(crate) fn emit(&self, event: Event) {
        (self.events)(event);
    }

    pub(crate) fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.servers.read())
    }

    pub(crate) fn set_servers(&self, servers: Servers) {
        *self.servers.write() = Arc::new(servers);
        self.routed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// The fleet's name, as clients are shown it.
    pub(crate) fn fleet(&self) -> Arc<str> {
        Arc::clone(&self.fleet.read())
    }

    pub(crate) fn set_fleet(&self, name: &str) {
        if !name.is_empty() {
            *self.fleet.write() = name.into();
        }
    }

    pub(crate) fn server(&self, service: &str) -> Option<Arc<Server>> {
        self.servers.read().get(service).cloned()
    }

    /// What `/mcp` offers.
    pub(crate) fn fleet_view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    pub(crate) fn set_fleet_view(&self, view: View) -> Arc<View> {
        std::mem::replace(&mut *self.view.write(), Arc::new(view))
    }

    /// What a session sees.
    pub(crate) fn view(&self, scope: &Scope) -> Arc<View> {
        match scope {
            Scope::Fleet => self.fleet_view(),
            Scope::Service(service) => self
                .server(service)
                .map(|server| server.view())
                .unwrap_or_default(),
        }
    }

    /// A name for a call that no other call of this daemon has.
    pub(crate) fn tag(&self, session: &Session) -> CallTag {
        CallTag {
            session: session.number,
            call: self.next_call.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Something became ready, failed or changed: whoever waits looks again.
    pub(crate) fn announce(&self) {
        self.changed.notify_waiters();
    }

    /// Done when something changes. To be enabled before one looks whether it has.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Right after the daemon's start, waits for what is being re-attached, so that clients of the former
    /// daemon notice nothing. Later it returns at once.
    pub(crate) async fn settle(&self, done: impl Fn(&Self) -> bool) {
        while Instant::now() < self.settled_by {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.routed.load(Ordering::Acquire) && done(self) {
                return;
            }
            let _ = tokio::time::timeout_at(self.settled_by, changed).await;
        }
    }

    /// Whether anybody said yet what to serve.
    pub(crate) fn is_routed(&self) -> bool {
        self.routed.load(Ordering::Acquire)
    }

    /// Gauges that are only known by asking, asked when they are shown.
    pub(crate) fn register_gauges(self: &Arc<Self>) {
        let core = Arc::downgrade(self);
        self.registry.before_render(move || {
            if let Some(core) = core.upgrade() {
                core.gauge();
            }
        });
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 sessions")]
    fn gauge(&self) {
        self.metrics.sessions.set(self.sessions.len() as f64);
        let kept = self.answers.stats();
        self.metrics.traffic.kept.set(kept.entries as f64);
        self.metrics.traffic.kept_bytes.set(kept.cost as f64);
        for server in self.servers().values() {
            let mut states = [
                ("starting", 0.0),
                ("ready", 0.0),
                ("down", 0.0),
                ("failed", 0.0),
            ];
            for instance in server.instances().iter() {
                let state = match instance.state() {
                    State::Starting => 0,
                    State::Ready(_) => 1,
                    State::Down { .. } | State::Stopped => 2,
                    State::Failed { .. } => 3,
                };
                states[state].1 += 1.0;
            }
            for (state, count) in states {
                self.metrics
                    .upstreams
                    .with(&[&server.service, state])
                    .set(count);
            }
            self.gauge_traffic(server);
            let view = server.view();
            for list in [
                List::Tools,
                List::Resources,
                List::ResourceTemplates,
                List::Prompts,
            ] {
                self.metrics
                    .offered
                    .with(&[&server.service, list.key()])
                    .set(view.count(list) as f64);
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "queues and tools are few")]
    fn gauge_traffic(&self, server: &Server) {
        let (mut open, mut half_open, mut ejected) = (0.0, 0.0, 0.0);
        for instance in server.instances().iter() {
            for (_, lane) in instance.health.troubled() {
                match lane.breaker.state() {
                    BreakerState::Open => open += 1.0,
                    BreakerState::HalfOpen => half_open += 1.0,
                    BreakerState::Closed => {}
                }
            }
            if instance.health.ejection.is_out(now()) {
                ejected += 1.0;
            }
        }
        let service = &*server.service;
        let metrics = &self.metrics.traffic;
        metrics.breakers.with(&[service, "open"]).set(open);
        metrics
            .breakers
            .with(&[service, "half_open"])
            .set(half_open);
        metrics.ejected.with(&[service]).set(ejected);
        let waiting = server.traffic().waiting() as f64;
        metrics.queue.with(&[service]).set(waiting);
    }

    /// When the start is over.
    pub(crate) fn settled_by(&self) -> Instant {
        self.settled_by
    }

    /// Whether the start is over.
    pub(crate) fn is_settled(&self) -> bool {
        Instant::now() >= self.settled_by
    }

    /// The sessions that see this server.
    pub(crate) fn audience(&self, service: &Arc<str>) -> impl Iterator<Item = Arc<Session>> {
        let service = Arc::clone(service);
        self.sessions
            .all()
            .into_iter()
            .filter(move |session| match &session.scope {
                Scope::Fleet => true,
                Scope::Service(own) => *own == service,
            })
    }

    /// Tells every session of a scope that a list changed.
    pub(crate) fn list_changed(&self, scope: &Scope, method: &str) {
        let message = jsonrpc::notification(method, None);
        for session in self.sessions.all() {
            if session.scope == *scope {
                session.general().push(&message, Keep::Once);
            }
        }
        self.modern.listeners.list_changed(scope, method);
    }

    fn session_ended(self: &Arc<Self>, session: &Arc<Session>) {
        for server in self.servers().values() {
            for uri in server.forget(session.number) {
                self.unsubscribe_upstream(server, &uri);
            }
            self.release(server, session);
            self.balance(server);
        }
        for call in session.calls() {
            call.cancel();
        }
    }
}
