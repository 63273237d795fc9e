//! Connections to instances: shaking hands, replacing, noticing their end, trying again.

use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::{
    CloseReason, Endpoint, HandshakeError, Limits, Pipes, ServerInfo, Target, Upstream,
    UpstreamConfig,
};
use bytes::Bytes;
use tokio::time::Instant;

use super::instance::{Instance, State};
use super::server::Server;
use crate::capabilities;
use crate::config::Transport;
use crate::core::Core;
use crate::event::{Event, ServerName};
use crate::inbound::FromServer;
use crate::traffic::now;

/// First pause before an HTTP server is tried again; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What may wait, unrouted, for its route.
const MOST_PARKED: usize = 4096;

impl Core {
    /// Takes the pipes of a stdio server: at once where it is routed, else when it will be.
    pub(crate) fn attach(self: &Arc<Self>, name: &str, pipes: Pipes, note: Bytes) {
        if let Some((server, instance)) = self.find(name) {
            self.connect_pipes(&server, &instance, pipes, note);
            return;
        }
        let mut parked = self.parked.lock();
        if parked.len() < MOST_PARKED {
            parked.insert(name.to_owned(), (pipes, note));
        }
    }

    pub(super) fn connect_pipes(
        self: &Arc<Self>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        pipes: Pipes,
        note: Bytes,
    ) {
        let resume = (!note.is_empty()).then_some(note);
        self.spawn_handshake(server, instance, Target::Stdio(pipes), resume);
    }

    /// Shakes hands with an HTTP server whose probe is ready, or that is remote.
    pub(crate) fn connect(self: &Arc<Self>, name: &str) {
        let Some((server, instance)) = self.find(name) else {
            return;
        };
        self.connect_url(&server, &instance, instance.take_note());
    }

    fn connect_url(
        self: &Arc<Self>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        resume: Option<Bytes>,
    ) {
        if let Some(target) = Self::target(server, instance) {
            self.spawn_handshake(server, instance, target, resume);
        }
    }

    /// How an HTTP instance is reached.
    pub(super) fn target(server: &Server, instance: &Instance) -> Option<Target> {
        let route = instance.route();
        let endpoint = Endpoint {
            url: route.url?,
            headers: route.headers.into_iter().collect(),
        };
        Some(match server.route().transport {
            Transport::Sse => Target::Sse(endpoint),
            Transport::StreamableHttp | Transport::Stdio => Target::Http(endpoint),
        })
    }

    pub(super) fn upstream_config(
        &self,
        server: &Server,
        instance: &Instance,
        target: Target,
        resume: Option<Bytes>,
    ) -> UpstreamConfig {
        let route = server.route();
        UpstreamConfig {
            resume,
            era: instance.era(),
            generation: self.config.generation,
            start_timeout: route.start_timeout(),
            call_timeout: route.call_timeout(),
            client_capabilities: capabilities::declared_upstream(),
            limits: Limits::with_max_bytes(self.config.max_body),
            ..UpstreamConfig::new(&*server.service, &*instance.name, target)
        }
    }

    fn spawn_handshake(
        self: &Arc<Self>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        target: Target,
        resume: Option<Bytes>,
    ) {
        let (core, server, instance) = (Arc::clone(self), Arc::clone(server), Arc::clone(instance));
        let epoch = instance.next_epoch();
        if instance.upstream().is_none() {
            instance.set_state(State::Starting);
            self.announce();
        }
        self.runtime.spawn(async move {
            core.shake_hands(&server, &instance, epoch, target, resume)
                .await;
        });
    }

    async fn shake_hands(
        self: &Arc<Self>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        epoch: u64,
        target: Target,
        resume: Option<Bytes>,
    ) {
        let started = Instant::now();
        let config = self.upstream_config(server, instance, target, resume);
        let inbound = FromServer::new(self, server, instance, epoch);
        let upstream = match Upstream::connect(config, Arc::clone(&inbound) as Arc<_>).await {
            Ok(upstream) => upstream,
            Err(error) => return self.handshake_failed(server, instance, epoch, &error),
        };
        if instance.epoch() != epoch {
            upstream.close().await;
            return;
        }
        let info = upstream.info();
        instance.is_of(info.era());
        self.settle_owner(server, instance, info.resumed);
        // What answers now may be another revision, or another process with another memory.
        if !info.resumed {
            server.freshness.another_process();
        }
        if instance.health.begins(now()) {
            self.tell_returned(&**server, &instance.name);
        }
        if let Some(old) = instance.set_state(State::Ready(Arc::clone(&upstream))) {
            self.runtime.spawn(async move { old.close().await });
        }
        if let Some(reason) = inbound.ended() {
            self.connection_closed(server, instance, epoch, &reason);
            return;
        }
        self.remember(instance, &info);
        server.set_info(Arc::clone(&info));
        let handshake_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.read_everything(server, instance, &upstream).await;
        if instance.epoch() != epoch || inbound.ended().is_some() {
            return;
        }
        self.announce();
        self.balance(server);
        self.warm(server);
        let counts = server
            .catalog()
            .map(|catalog| catalog.counts(&server.route().tools))
            .unwrap_or_default();
        self.emit(Event::ServerReady {
            service: server.service.to_string(),
            instance: instance.name.to_string(),
            version: info.protocol().to_owned(),
            era: info.era(),
            server: ServerName {
                name: info.name.clone(),
                version: info.server_version.clone(),
            },
            counts,
            handshake_ms,
            resumed: info.resumed,
        });
    }

    /// Leaves word for the next daemon, so that it need not shake hands again.
    pub(crate) fn remember(&self, instance: &Instance, info: &ServerInfo) {
        if !info.resumed
            && let Some(note) = info.note()
        {
            (self.notes)(&instance.name, note);
        }
    }

    fn handshake_failed(
        self: &Arc<Self>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        epoch: u64,
        error: &HandshakeError,
    ) {
        if instance.epoch() != epoch {
            return;
        }
        instance.forget_era();
        // Where an older connection still serves, it goes on serving.
        if instance.upstream().is_none() {
            instance.set_state(State::Failed {
                reason: error.to_string(),
            });
        }
        self.announce();
        self.emit(Event::ServerFailed {
            service: server.service.to_string(),
            instance: instance.name.to_string(),
            reason: error.to_string(),
            hint: error.hint().to_owned(),
        });
        self.try_again(server, instance, epoch);
    }

    /// A connection that was ready has ended.
    pub(crate) fn connection_closed(
        self: &Arc<Self>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        epoch: u64,
        reason: &CloseReason,
    ) {
        if instance.epoch() != epoch {
            return;
        }
        if *reason == CloseReason::OtherEra {
            instance.forget_era();
        }
        let down = State::Down {
            reason: reason.to_string(),
            retry_after: 1,
        };
        if instance.upstream().is_some() && instance.set_state(down).is_some() {
            if instance.private {
                // The next call of its session makes another.
                return;
            }
            self.announce();
            self.emit(Event::ServerClosed {
                service: server.service.to_string(),
                instance: instance.name.to_string(),
                reason: reason.to_string(),
            });
            self.try_again(server, instance, epoch);
        }
    }

    /// The keeper says more of an instance than its pipes do.
    pub(crate) fn instance_down(
        self: &Arc<Self>,
        name: &str,
        reason: &str,
        retry_after_ms: Option<u64>,
    ) {
        let state = match retry_after_ms {
            Some(ms) => State::Down {
                reason: reason.to_owned(),
                retry_after: ms.div_ceil(1000).max(1),
            },
            None => State::Failed {
                reason: reason.to_owned(),
            },
        };
        self.take_down(name, reason, state);
    }

    /// The instance was stopped, as asked.
    pub(crate) fn instance_stopped(self: &Arc<Self>, name: &str) {
        self.take_down(name, "it was stopped", State::Stopped);
    }

    fn take_down(self: &Arc<Self>, name: &str, reason: &str, state: State) {
        let Some((server, instance)) = self.find(name) else {
            return;
        };
        instance.next_epoch();
        if let Some(upstream) = instance.set_state(state) {
            self.runtime.spawn(async move { upstream.close().await });
            self.emit(Event::ServerClosed {
                service: server.service.to_string(),
                instance: name.to_owned(),
                reason: reason.to_owned(),
            });
        }
        self.announce();
    }

    /// Keeps what a former daemon noted until the server is connected.
    pub(crate) fn set_note(self: &Arc<Self>, name: &str, note: Bytes) {
        if let Some((_, instance)) = self.find(name) {
            instance.set_note(note);
        } else {
            let mut notes = self.parked_notes.lock();
            if notes.len() < MOST_PARKED {
                notes.insert(name.to_owned(), note);
            }
        }
    }

    /// Ends the connection to an instance, and forgets pipes that nobody claimed.
    pub(crate) fn detach(self: &Arc<Self>, name: &str) {
        self.parked.lock().remove(name);
        self.parked_notes.lock().remove(name);
        if let Some((_, instance)) = self.find(name) {
            self.let_go(&instance, "it is being stopped");
        }
    }

    /// An HTTP server is asked again, later and later, until it answers or someone else connects it.
    /// A stdio server comes back with new pipes.
    fn try_again(self: &Arc<Self>, server: &Arc<Server>, instance: &Arc<Instance>, epoch: u64) {
        if instance.route().url.is_none() {
            return;
        }
        let (core, server, instance) = (
            Arc::downgrade(self),
            Arc::downgrade(server),
            Arc::clone(instance),
        );
        let pause = instance.next_pause(FIRST_PAUSE, LONGEST_PAUSE);
        self.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            if let (Some(core), Some(server)) = (core.upgrade(), server.upgrade())
                && instance.epoch() == epoch
            {
                core.connect_url(&server, &instance, None);
            }
        });
    }
}
