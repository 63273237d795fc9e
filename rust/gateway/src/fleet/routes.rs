//! The routes table: what changed between what is served and what is to be served.

use std::collections::HashMap;
use std::sync::Arc;

use super::instance::{Instance, State};
use super::server::Server;
use crate::config::{Routes, ServerRoute};
use crate::core::{Core, Servers};
use crate::event::Event;

impl Core {
    /// Serves these servers, and no others unless others stay. Instances that stay keep their connections; new ones shake
    /// hands when their pipes are attached, or when they are connected.
    pub(crate) fn set_routes(self: &Arc<Self>, routes: Routes) {
        self.set_fleet(&routes.fleet);
        let weak = Arc::downgrade(self);
        let told = Arc::new(move |lost: Option<String>| {
            if let Some(core) = weak.upgrade() {
                core.emit(match lost {
                    Some(reason) => Event::CacheLost { reason },
                    None => Event::CacheBack,
                });
            }
        });
        let other_second = self.answers.configure(routes.cache, &self.runtime, told);
        let before = self.servers();
        let (mut after, published) = match routes.gone {
            None => (Servers::new(), Some(routes.published.unwrap_or_default())),
            Some(gone) => {
                let mut after = (*before).clone();
                after.retain(|service, _| !gone.iter().any(|gone| **gone == **service));
                (after, routes.published)
            }
        };
        if let Some(published) = published {
            self.published.set(&self.metrics, published);
        }
        let mut current = Vec::with_capacity(routes.servers.len());
        for route in routes.servers {
            let server = match before.get(route.service.as_str()) {
                Some(server) if server.route().transport == route.transport => Arc::clone(server),
                _ => Server::new(route.clone()),
            };
            self.update(&server, route);
            current.push(Arc::clone(&server));
            after.insert(Arc::clone(&server.service), server);
        }
        for (service, server) in before.iter() {
            if after
                .get(service)
                .is_none_or(|kept| !Arc::ptr_eq(kept, server))
            {
                for instance in server.instances().iter() {
                    self.let_go(instance, "it is being replaced");
                }
                if !after.contains_key(service) {
                    self.metrics.forget(service);
                }
            }
        }
        if other_second {
            // Those whose routes stay have to tell the new one what is stale.
            for server in after.values() {
                server.freshness.with_second(self.answers.second());
            }
        }
        self.set_servers(after);
        for server in current {
            self.publish_server(&server);
            self.balance(&server);
        }
        self.publisher.request();
    }

    fn update(self: &Arc<Self>, server: &Arc<Server>, route: ServerRoute) {
        let old: HashMap<Arc<str>, Arc<Instance>> = server
            .instances()
            .iter()
            .map(|instance| (Arc::clone(&instance.name), Arc::clone(instance)))
            .collect();
        let mut fresh = Vec::new();
        let instances: Vec<_> = route
            .instances
            .iter()
            .map(|wanted| {
                if let Some(instance) = old.get(wanted.name.as_str()) {
                    instance.set_route(wanted.clone());
                    Arc::clone(instance)
                } else {
                    let instance = Instance::new(wanted.clone());
                    self.hold_for_claimant(server, &instance);
                    fresh.push(Arc::clone(&instance));
                    instance
                }
            })
            .collect();
        for (name, instance) in &old {
            if !route.instances.iter().any(|wanted| *wanted.name == **name) {
                server.freshness.another_process();
                self.let_go(instance, "it is being replaced");
            }
        }
        server.set_route(route);
        server.freshness.with_second(self.answers.second());
        server.ask_for(0);
        server.set_instances(instances);
        for instance in fresh {
            if let Some(note) = self.parked_notes.lock().remove(&*instance.name) {
                instance.set_note(note);
            }
            let parked = self.parked.lock().remove(&*instance.name);
            if let Some((pipes, note)) = parked {
                self.connect_pipes(server, &instance, pipes, note);
            }
        }
    }

    /// Ends the connection of an instance that is no longer routed.
    pub(super) fn let_go(self: &Arc<Self>, instance: &Arc<Instance>, reason: &str) {
        instance.next_epoch();
        let state = State::Down {
            reason: reason.into(),
            retry_after: 1,
        };
        if let Some(upstream) = instance.set_state(state) {
            self.runtime.spawn(async move { upstream.close().await });
        }
    }

    /// Ends the connections over pipes, so that another gateway can have them. Sessions over HTTP stay: the
    /// next daemon takes them up.
    pub(crate) fn let_go_of_pipes(self: &Arc<Self>) {
        for server in self.servers().values() {
            for instance in server
                .instances()
                .iter()
                .filter(|instance| instance.route().url.is_none())
            {
                self.let_go(instance, "the daemon is ending");
            }
        }
    }

    /// The server and instance of this name.
    pub(crate) fn find(&self, instance: &str) -> Option<(Arc<Server>, Arc<Instance>)> {
        let servers = self.servers();
        let of = |server: &Arc<Server>| {
            let found = server
                .instances()
                .iter()
                .find(|known| *known.name == *instance)
                .cloned();
            found.map(|instance| (Arc::clone(server), instance))
        };
        // `files.1` is an instance of `files`; anything else is searched for.
        let likely = instance
            .rsplit_once('.')
            .and_then(|(service, _)| servers.get(service));
        likely
            .and_then(of)
            .or_else(|| servers.values().find_map(of))
    }
}
