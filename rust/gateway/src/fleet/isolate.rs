//! `session: isolated`: each client session has an upstream session of its own, and nothing of it is seen
//! by another.
//!
//! Over HTTP that is one more session with the same process. Over stdio it is a process: a session claims
//! a free instance (`deploy.replicas` says how many there are), and when it ends the instance is begun
//! anew before anybody else gets it. Claims are journalled with the session, so that they outlive the
//! daemon.

use std::sync::Arc;

use backstay_mcp::{RpcError, Upstream};

use super::instance::{Instance, State};
use super::refresh::set_level;
use super::server::Server;
use crate::config::{SessionMode, Transport};
use crate::core::Core;
use crate::event::Event;
use crate::fault;
use crate::inbound::FromServer;
use crate::session::Session;

type Picked = (Arc<Instance>, Arc<Upstream>);

impl Core {
    /// The instance that a session's call goes to.
    pub(crate) async fn pick(
        self: &Arc<Self>,
        server: &Arc<Server>,
        session: &Session,
    ) -> Result<Picked, RpcError> {
        let route = server.route();
        match (route.session, route.transport) {
            (SessionMode::Shared | SessionMode::Global, _) => server.pick(),
            // Boxed: the future of every call would have to have room for them.
            (SessionMode::Isolated, Transport::Stdio) => {
                Box::pin(self.claim(server, session)).await
            }
            (SessionMode::Isolated, _) => Box::pin(self.own_session(server, session)).await,
        }
    }

    /// The process that the session has to itself.
    async fn claim(&self, server: &Arc<Server>, session: &Session) -> Result<Picked, RpcError> {
        let instances = server.instances();
        if let Some(own) = instances
            .iter()
            .find(|instance| instance.owner() == Some(session.number))
        {
            let upstream = own
                .upstream()
                .ok_or_else(|| fault::unavailable(&server.service, "restarting", None, Some(1)))?;
            return Ok((Arc::clone(own), upstream));
        }
        for instance in instances.iter() {
            if let Some(upstream) = instance.upstream()
                && instance.claim(session.number)
            {
                self.sessions.claim(session, &instance.name).await;
                return Ok((Arc::clone(instance), upstream));
            }
        }
        if !server.is_ready() {
            return server.pick();
        }
        self.emit(Event::SessionWanted {
            service: server.service.to_string(),
            session: session.label(),
        });
        let taken = "each of its instances belongs to another session; `deploy.replicas` says how many there are";
        Err(fault::unavailable(
            &server.service,
            "taken",
            Some(taken),
            Some(5),
        ))
    }

    /// The upstream session that the client session has to itself.
    async fn own_session(
        self: &Arc<Self>,
        server: &Arc<Server>,
        session: &Session,
    ) -> Result<Picked, RpcError> {
        let (base, _) = server.pick()?;
        let instance = server.own(session.number, || Instance::private(&base, session));
        // One handshake; whoever calls meanwhile waits for it.
        let _shaking = instance.shaking.lock().await;
        if let Some(upstream) = instance.upstream() {
            return Ok((Arc::clone(&instance), upstream));
        }
        instance.set_route(base.route());
        let epoch = instance.next_epoch();
        let inbound = FromServer::new(self, server, &instance, epoch);
        let target = Self::target(server, &instance)
            .ok_or_else(|| fault::unavailable(&server.service, "stopped", None, None))?;
        let config = self.upstream_config(server, &instance, target, None);
        let upstream = Upstream::connect(config, Arc::clone(&inbound) as Arc<_>)
            .await
            .map_err(|error| {
                fault::unavailable(
                    &server.service,
                    "unreachable",
                    Some(&error.to_string()),
                    Some(1),
                )
            })?;
        if upstream.info().capabilities.logging()
            && let Some(level) = session.level()
        {
            set_level(&upstream, level).await;
        }
        instance.set_state(State::Ready(Arc::clone(&upstream)));
        Ok((Arc::clone(&instance), upstream))
    }

    /// A session ended: what it had to itself ends, or begins anew.
    pub(crate) fn release(&self, server: &Arc<Server>, session: &Session) {
        if let Some(own) = server.disown(session.number) {
            let down = State::Failed {
                reason: "its session ended".into(),
            };
            if let Some(upstream) = own.set_state(down) {
                self.runtime.spawn(async move { upstream.close().await });
            }
        }
        for instance in server.instances().iter() {
            if instance.owner() == Some(session.number) {
                instance.recycle();
                self.emit(Event::SessionEnded {
                    service: server.service.to_string(),
                    session: session.label(),
                    instance: instance.name.to_string(),
                });
            }
        }
    }

    /// A connection is new. A fresh process is free; one that a former daemon knew belongs to the session
    /// that claimed it then, if that still lives.
    pub(super) fn settle_owner(&self, server: &Server, instance: &Instance, resumed: bool) {
        if server.route().session != SessionMode::Isolated {
            return;
        }
        let owner = if resumed {
            self.sessions.claimant(&instance.name)
        } else {
            None
        };
        instance.set_owner(owner);
    }
}
