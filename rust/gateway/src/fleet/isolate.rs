//! `session: isolated`: each client session has an upstream session of its own, and nothing of it is seen
//! by another.
//!
//! Over HTTP that is one more session with the same process. Over stdio it is a process: a session claims
//! a free instance and keeps it until it ends. How many there are to be is [`Core::balance`]'s to ask for;
//! who starts and stops them is the daemon. What a session leaves behind is begun anew, or ended, before
//! anybody else gets it. Claims are journalled with the session, so that they outlive the daemon.

use std::sync::Arc;

use backstay_mcp::{RpcError, Upstream};
use tokio::time::Instant;

use super::choose::{Ask, Chosen, Unchosen};
use super::instance::{Instance, State};
use super::refresh::set_level;
use super::server::Server;
use crate::config::{InstanceRoute, SessionMode, Transport};
use crate::core::Core;
use crate::event::Event;
use crate::fault;
use crate::inbound::FromServer;
use crate::session::Session;
use crate::traffic::now;

type Picked = (Arc<Instance>, Arc<Upstream>);

/// What a look for a session's instance finds.
enum Found {
    Its(Picked),
    /// It has one, which is being connected.
    Coming,
    /// It has none, and none is free.
    Nothing,
}

impl Core {
    /// The instance that a session's call goes to.
    pub(crate) async fn pick(
        self: &Arc<Self>,
        server: &Arc<Server>,
        ask: &Ask<'_>,
    ) -> Result<Chosen, Unchosen> {
        let route = server.route();
        // Boxed: the future of every call would have to have room for them.
        let (instance, upstream) = match (route.session, route.transport) {
            (SessionMode::Shared | SessionMode::Global, _) => {
                return server.choose(ask, |instance| {
                    self.tell_returned(&**server, &instance.name);
                });
            }
            _ if ask.session.is_modern() => Box::pin(self.pick_for_modern(server)).await?,
            (SessionMode::Isolated, Transport::Stdio) => {
                Box::pin(self.claim(server, ask.session)).await?
            }
            (SessionMode::Isolated, _) => Box::pin(self.own_session(server, ask.session)).await?,
        };
        ask.through(&instance, upstream, now())
    }

    /// A modern client has no session that could have something to itself: all of one identity share what one has.
    async fn pick_for_modern(self: &Arc<Self>, server: &Arc<Server>) -> Result<Picked, RpcError> {
        let holder = self
            .modern
            .holder(&self.sessions)
            .await
            .map_err(|_| taken(server, "the gateway has no place for another session now"))?;
        match server.route().transport {
            Transport::Stdio => self.claim(server, &holder).await,
            _ => self.own_session(server, &holder).await,
        }
    }

    /// The process that the session has to itself; waits, for as long as a call may take, until it has one.
    async fn claim(
        self: &Arc<Self>,
        server: &Arc<Server>,
        session: &Session,
    ) -> Result<Picked, RpcError> {
        let deadline = Instant::now() + server.route().call_timeout();
        let mut waits = None;
        loop {
            // Before looking: what changes meanwhile is not missed.
            let changed = self.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.own_or_free(server, session).await? {
                Found::Its(picked) => {
                    drop(waits);
                    self.balance(server);
                    return Ok(picked);
                }
                Found::Coming => {}
                Found::Nothing => {
                    waits.get_or_insert_with(|| server.wait_for_instance(session.number));
                    Self::room_for_one_more(server)?;
                    self.balance(server);
                }
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                let late = "no instance of it became free in time";
                return Err(taken(server, late));
            }
        }
    }

    async fn own_or_free(&self, server: &Server, session: &Session) -> Result<Found, RpcError> {
        let instances = server.instances();
        let own = instances
            .iter()
            .find(|instance| instance.owner() == Some(session.number));
        if let Some(own) = own {
            return match own.state() {
                State::Ready(upstream) => Ok(Found::Its((Arc::clone(own), upstream))),
                State::Starting => Ok(Found::Coming),
                _ => Err(fault::unavailable(
                    &server.service,
                    "restarting",
                    None,
                    Some(1),
                )),
            };
        }
        for instance in instances.iter() {
            if let Some(upstream) = instance.upstream()
                && instance.claim(session.number)
            {
                self.sessions.claim(session, &instance.name).await;
                return Ok(Found::Its((Arc::clone(instance), upstream)));
            }
        }
        Ok(Found::Nothing)
    }

    /// Whether it is worth waiting: an instance comes, or can come.
    fn room_for_one_more(server: &Server) -> Result<(), RpcError> {
        let route = server.route();
        if !server.has_hope() {
            return server.pick().map(drop);
        }
        let Some(pool) = &route.pool else {
            return Err(taken(
                server,
                "each of its instances belongs to another session",
            ));
        };
        if let Some(why) = &pool.cramped {
            let reason = format!("no more instances of it can be started: {why}");
            return Err(taken(server, &reason));
        }
        let need = server.need();
        if need.taken + need.waiting > pool.most {
            let reason = format!(
                "all {} instances belong to other sessions; `max_sessions` says how many there can be",
                pool.most
            );
            return Err(taken(server, &reason));
        }
        Ok(())
    }

    /// Asks for as many instances as there are sessions that want one, and the spare ones beside them; gives
    /// up what is more than that. May be called at any time: it says the same thing only once.
    pub(crate) fn balance(&self, server: &Server) {
        let route = server.route();
        let Some(pool) = &route.pool else { return };
        let need = server.need();
        let wanted = (need.taken + need.waiting + pool.spare).min(pool.most.max(need.taken));
        let there = server.kept();
        if wanted > there {
            if server.ask_for(wanted) {
                self.emit(Event::SessionWanted {
                    service: server.service.to_string(),
                    instances: wanted,
                });
            }
            return;
        }
        server.ask_for(0);
        if !pool.steady || !self.is_settled() {
            return;
        }
        let mut surplus = there - wanted;
        for instance in server.instances().iter().rev() {
            if surplus > 0 && instance.upstream().is_some() && instance.give_up() {
                surplus -= 1;
                self.emit(Event::SessionSpare {
                    service: server.service.to_string(),
                    instance: instance.name.to_string(),
                });
            }
        }
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
        instance.set_route(InstanceRoute {
            era: base.era(),
            ..base.route()
        });
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
                let spare = instance.recycle(Self::has_surplus(server));
                self.emit(if spare {
                    Event::SessionSpare {
                        service: server.service.to_string(),
                        instance: instance.name.to_string(),
                    }
                } else {
                    Event::SessionEnded {
                        service: server.service.to_string(),
                        session: session.label(),
                        instance: instance.name.to_string(),
                    }
                });
            }
        }
    }

    /// Whether there would be more instances than are needed once one session less has one.
    fn has_surplus(server: &Server) -> bool {
        let route = server.route();
        let Some(pool) = route.pool.as_ref().filter(|pool| pool.steady) else {
            return false;
        };
        let need = server.need();
        server.kept() > (need.taken.saturating_sub(1) + need.waiting + pool.spare).min(pool.most)
    }

    /// An instance is new in the table: one that a former daemon knew is held for the session that claimed it.
    pub(super) fn hold_for_claimant(&self, server: &Server, instance: &Instance) {
        if server.route().session == SessionMode::Isolated {
            instance.set_owner(self.sessions.claimant(&instance.name));
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
            self.sessions.unclaim(&instance.name);
            None
        };
        instance.set_owner(owner);
    }
}

fn taken(server: &Server, reason: &str) -> RpcError {
    fault::unavailable(&server.service, "taken", Some(reason), Some(5))
}
