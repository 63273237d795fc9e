//! Plain HTTP services behind the gateway: at a path of its address, at a host name, or at an address of their own.
//!
//! [`table`] finds the service of a request, [`service`] the instance, [`proxy`] sends it there and passes the
//! answer on, [`tunnel`] joins what became a WebSocket. What is published is decided in Python ([`PublishedRoute`]);
//! which instances are well is heard from the keeper at once.

mod headers;
mod instance;
mod proxy;
mod route;
mod service;
mod signals;
mod table;
mod tunnel;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use backstay_telemetry::{MetricError, Registry};
use http::header::HOST;
use http::{HeaderMap, Uri};
use parking_lot::{Mutex, RwLock};

use instance::Instance;
pub(crate) use instance::{Asked, Presence};
pub(crate) use proxy::serve;
pub use route::{OwnAddress, PublishedInstance, PublishedRoute, Speaks, TlsFiles};
use service::Service;
use signals::{Families, Signals};
pub(crate) use table::Found;
use table::Table;

use crate::core::Core;
use crate::http::host_name;
use crate::metrics::Metrics;
use crate::traffic::{Trouble, troubles};

/// Everything that is published.
#[derive(Debug)]
pub(crate) struct Published {
    /// Held to copy or to replace a pointer.
    table: RwLock<Arc<Table>>,
    /// Whether something is published for a host of its own: asked by every request of the gateway.
    has_hosts: AtomicBool,
    /// What the keeper said of instances, whether a route names them or not. Held for one map operation.
    presence: Mutex<HashMap<Box<str>, Presence>>,
    families: Families,
    /// Upgraded connections.
    tunnels: AtomicUsize,
}

impl Published {
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            table: RwLock::default(),
            has_hosts: AtomicBool::new(false),
            presence: Mutex::default(),
            families: Families::new(registry)?,
            tunnels: AtomicUsize::new(0),
        })
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// Publishes these and nothing else. Instances that stay keep their connections and what is known of them.
    pub(crate) fn set(&self, metrics: &Metrics, routes: Vec<PublishedRoute>) {
        let before = self.table();
        let after = Table::new(routes.into_iter().map(|route| {
            let old = before.service(&route.service);
            let signals = match &old {
                Some(old) => Arc::clone(&old.signals),
                None => Arc::new(Signals::new(&self.families, metrics, &route.service)),
            };
            let kept = |name: &str| {
                let mut of_old = old.iter().flat_map(|old| &old.instances);
                of_old.find(|one| *one.name == *name).cloned()
            };
            let instances = route.instances.iter().map(|wanted| {
                let protocol = route.protocol.into();
                kept(&wanted.name)
                    .filter(|one| one.is_at(wanted.address, protocol))
                    .unwrap_or_else(|| {
                        Arc::new(Instance::new(&wanted.name, wanted.address, protocol))
                    })
            });
            let instances = instances.collect();
            Service::new(route, old.as_deref(), instances, signals)
        }));
        for service in before.services() {
            if after.service(&service.route.service).is_none() {
                self.families.forget(&service.route.service);
            }
        }
        self.has_hosts.store(after.has_hosts(), Ordering::Release);
        let after = Arc::new(after);
        *self.table.write() = Arc::clone(&after);
        // What was heard since: who hears of an instance writes it down before looking for it in the table.
        let presence = self.presence.lock();
        for one in after.services().flat_map(|service| &service.instances) {
            if let Some(presence) = presence.get(&*one.name) {
                one.set_presence(*presence);
            }
        }
    }

    /// The keeper says how an instance is.
    pub(crate) fn heard(&self, core: &Core, instance: &str, presence: Presence) {
        self.presence.lock().insert(instance.into(), presence);
        for service in self.table().services() {
            let one = service.instances.iter().find(|one| *one.name == *instance);
            if one.is_some_and(|one| one.set_presence(presence)) {
                core.tell_returned(&**service, instance);
            }
        }
    }

    /// The keeper has forgotten an instance.
    pub(crate) fn forget(&self, core: &Core, instance: &str) {
        self.heard(core, instance, Presence::Down);
        self.presence.lock().remove(instance);
    }

    /// Adds what keeps requests from instances.
    pub(crate) fn troubles(&self, found: &mut Vec<Trouble>) {
        for service in self.table().services() {
            for one in &service.instances {
                found.extend(troubles(&**service, &one.name, &one.health));
            }
        }
    }

    /// The service of this name.
    pub(crate) fn service(&self, name: &str) -> Option<Found> {
        let service = self.table().service(name)?;
        Some(Found { service, prefix: 0 })
    }

    /// Whether something is published for a host of its own.
    pub(crate) fn has_hosts(&self) -> bool {
        self.has_hosts.load(Ordering::Acquire)
    }

    /// What is published for the host that a request names.
    pub(crate) fn at_host(&self, uri: &Uri, headers: &HeaderMap) -> Option<Found> {
        if !self.has_hosts() {
            return None;
        }
        let host = match uri.authority() {
            Some(authority) => authority.as_str(),
            None => headers.get(HOST)?.to_str().ok()?,
        };
        self.table().at_host(&host_name(host)?, uri.path())
    }

    /// What is published at a path of the gateway's address.
    pub(crate) fn at_path(&self, path: &str) -> Option<Found> {
        self.table().at_path(path)
    }
}
