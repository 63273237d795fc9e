//! One server of the fleet as the gateway sees it: its route, its instances, what it offers.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use backstay_mcp::{RpcError, ServerInfo, Upstream};
use parking_lot::{Mutex, RwLock};

use super::catalog::Catalog;
use super::instance::{Instance, State};
use super::view::View;
use crate::answers::{Freshness, Rules, Touches};
use crate::config::ServerRoute;
use crate::fault;
use crate::glob;
use crate::log_level::LogLevel;
use crate::metrics::{Golden, Metrics};
use crate::traffic::{Learns, NO_TOOL, Signals, Slot, Told, Traffic};

/// See the module.
pub(crate) struct Server {
    pub(crate) service: Arc<str>,
    // Each lock guards a pointer, read or replaced in a few instructions and never held across a wait.
    route: RwLock<Arc<ServerRoute>>,
    instances: RwLock<Arc<[Arc<Instance>]>>,
    /// What it offered last; kept while it restarts, so that lists do not flap.
    catalog: RwLock<Option<Arc<Catalog>>>,
    info: RwLock<Option<Arc<ServerInfo>>>,
    view: RwLock<Arc<View>>,
    /// Which sessions (by number) want to hear of which of its resources (by its own URI).
    /// Held for one map operation.
    subscribers: Mutex<HashMap<String, HashSet<u64>>>,
    /// Connections of one session each (`session: isolated` over HTTP). Held for one map operation.
    own: Mutex<HashMap<u64, Arc<Instance>>>,
    /// Sessions (by number) that wait for an instance of their own, and with how many calls each.
    /// Held for one map operation.
    waiting: Mutex<HashMap<u64, usize>>,
    /// How many instances were asked for last; zero where what there is suffices.
    asked: AtomicUsize,
    /// The log level it was last set to.
    level: Mutex<Option<LogLevel>>,
    /// The signals of all that is no tool call.
    golden: OnceLock<Golden>,
    /// How calls are let go. A pointer as above.
    traffic: RwLock<Arc<Traffic>>,
    signals: OnceLock<Signals>,
    /// Which of its answers are kept. A pointer as above.
    caching: RwLock<Option<Arc<Rules>>>,
    /// Which of those are stale.
    pub(crate) freshness: Freshness,
    told: Told,
    /// The numbers of its tools. Held for one look-up, when a view is made.
    slots: Mutex<HashMap<Arc<str>, Slot>>,
    /// Where sessions (by number) stay (`affinity: session`): the instance's id. Held for one map operation.
    homes: Mutex<HashMap<u64, u64>>,
}

/// Tools of one server that have breakers and limits of their own; more share those of what is no tool.
const MOST_SLOTS: usize = 4096;

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "server {}", self.service)
    }
}

impl Server {
    pub(crate) fn new(route: ServerRoute) -> Arc<Self> {
        let service: Arc<str> = route.service.as_str().into();
        Arc::new(Self {
            service: Arc::clone(&service),
            traffic: RwLock::new(Arc::new(Traffic::new(route.traffic.clone(), None))),
            route: RwLock::new(Arc::new(route)),
            instances: RwLock::new(Arc::from([])),
            catalog: RwLock::default(),
            info: RwLock::default(),
            view: RwLock::default(),
            subscribers: Mutex::default(),
            own: Mutex::default(),
            waiting: Mutex::default(),
            asked: AtomicUsize::new(0),
            level: Mutex::default(),
            golden: OnceLock::new(),
            signals: OnceLock::new(),
            caching: RwLock::default(),
            freshness: Freshness::new(service),
            told: Told::default(),
            slots: Mutex::default(),
            homes: Mutex::default(),
        })
    }

    pub(crate) fn route(&self) -> Arc<ServerRoute> {
        Arc::clone(&self.route.read())
    }

    /// What changed of how calls are let go counts from now on; what did not goes on.
    pub(crate) fn set_route(&self, route: ServerRoute) {
        let before = self.traffic();
        if *before.route() != route.traffic {
            let fresh = Traffic::new(route.traffic.clone(), Some(&before));
            *self.traffic.write() = Arc::new(fresh);
            if before.route().breaker != route.traffic.breaker {
                for instance in self.instances().iter() {
                    instance.health.forget_breakers();
                }
            }
        }
        let rules = route
            .cache
            .clone()
            .map(|cache| Arc::new(Rules::new(&self.service, cache, route.session)));
        *self.caching.write() = rules;
        *self.route.write() = Arc::new(route);
    }

    /// Which of its answers are kept.
    pub(crate) fn caching(&self) -> Option<Arc<Rules>> {
        self.caching.read().clone()
    }

    /// A call may have changed something: what was answered before says nothing any more.
    pub(crate) fn touched(&self, touches: Touches<'_>) {
        match touches {
            Touches::Nothing => {}
            Touches::Everything => self.freshness.all_stale(),
            Touches::These(patterns) => {
                for name in patterns {
                    if !name.contains(['*', '?']) {
                        self.freshness.stale(name);
                    } else if name.contains("://") {
                        // Resources are too many to look through, and not all of them are listed.
                        self.freshness.all_stale();
                    } else {
                        let tools = self.slots.lock();
                        let named = tools.keys().filter(|tool| glob::matches(name, tool));
                        named.for_each(|tool| self.freshness.stale(tool));
                    }
                }
            }
        }
    }

    /// How calls are let go.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic.read())
    }

    /// What its traffic is counted by.
    pub(crate) fn signals(&self, metrics: &Metrics) -> &Signals {
        self.signals
            .get_or_init(|| Signals::new(&metrics.traffic, &self.service))
    }

    /// The number of a tool, by which its breakers and limits are found.
    pub(crate) fn slot(&self, tool: &Arc<str>) -> Slot {
        let mut slots = self.slots.lock();
        let next = slots.len() + 1;
        match slots.get(tool) {
            Some(slot) => *slot,
            None if next >= MOST_SLOTS => NO_TOOL,
            None => {
                slots.insert(Arc::clone(tool), next);
                next
            }
        }
    }

    /// The instance at which a session stays.
    pub(super) fn home_of<'a>(
        &self,
        session: u64,
        instances: &'a [Arc<Instance>],
    ) -> Option<&'a Arc<Instance>> {
        let home = *self.homes.lock().get(&session)?;
        instances.iter().find(|instance| instance.id == home)
    }

    /// The session stays at this instance from now on.
    pub(super) fn settle_home(&self, session: u64, instance: &Instance) {
        self.homes.lock().insert(session, instance.id);
    }

    pub(crate) fn golden(&self, metrics: &Metrics) -> &Golden {
        self.golden
            .get_or_init(|| metrics.golden(&self.service, ""))
    }

    pub(crate) fn instances(&self) -> Arc<[Arc<Instance>]> {
        Arc::clone(&self.instances.read())
    }

    pub(crate) fn set_instances(&self, instances: Vec<Arc<Instance>>) {
        *self.instances.write() = instances.into();
    }

    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.catalog.read().clone()
    }

    pub(crate) fn set_catalog(&self, catalog: Arc<Catalog>) {
        *self.catalog.write() = Some(catalog);
    }

    pub(crate) fn info(&self) -> Option<Arc<ServerInfo>> {
        self.info.read().clone()
    }

    pub(crate) fn set_info(&self, info: Arc<ServerInfo>) {
        *self.info.write() = Some(info);
    }

    /// What `/mcp/<service>` offers.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    pub(crate) fn set_view(&self, view: View) -> Arc<View> {
        std::mem::replace(&mut *self.view.write(), Arc::new(view))
    }

    /// The ready instances.
    pub(crate) fn ready(&self) -> Vec<(Arc<Instance>, Arc<Upstream>)> {
        let instances = self.instances();
        instances
            .iter()
            .filter_map(|instance| Some((Arc::clone(instance), instance.upstream()?)))
            .collect()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.instances
            .read()
            .iter()
            .any(|instance| instance.upstream().is_some())
    }

    /// Whether nothing more is to be expected of it soon: its lists are read, or every instance has failed.
    pub(crate) fn is_settled(&self) -> bool {
        let instances = self.instances();
        instances.is_empty()
            || (self.catalog().is_some() && self.is_ready())
            || instances
                .iter()
                .all(|instance| matches!(instance.state(), State::Failed { .. } | State::Stopped))
    }

    /// The ready instance with the fewest calls in flight.
    pub(crate) fn pick(&self) -> Result<(Arc<Instance>, Arc<Upstream>), RpcError> {
        let instances = self.instances.read();
        let best = instances
            .iter()
            .filter_map(|instance| Some((instance.outstanding(), instance, instance.upstream()?)))
            .min_by_key(|(outstanding, ..)| *outstanding);
        match best {
            Some((_, instance, upstream)) => Ok((Arc::clone(instance), upstream)),
            None => Err(self.why_not(&instances)),
        }
    }

    /// What to tell a client while no instance is ready.
    pub(super) fn why_not(&self, instances: &[Arc<Instance>]) -> RpcError {
        let mut said = ("stopped", None, None);
        for instance in instances {
            said = match instance.state() {
                // The most hopeful instance speaks for the server.
                State::Starting | State::Ready(_) => {
                    return fault::unavailable(&self.service, "starting", None, Some(1));
                }
                State::Down {
                    reason,
                    retry_after,
                } => ("restarting", Some(reason), Some(retry_after)),
                State::Failed { reason } if said.0 == "stopped" => ("failed", Some(reason), None),
                State::Failed { .. } | State::Stopped => said,
            };
        }
        fault::unavailable(&self.service, said.0, said.1.as_deref(), said.2)
    }

    /// A session's own connection, made if new.
    pub(super) fn own(&self, session: u64, make: impl FnOnce() -> Arc<Instance>) -> Arc<Instance> {
        Arc::clone(self.own.lock().entry(session).or_insert_with(make))
    }

    /// Forgets a session's own connection.
    pub(super) fn disown(&self, session: u64) -> Option<Arc<Instance>> {
        self.own.lock().remove(&session)
    }

    /// What one session has to itself.
    pub(crate) fn owned_by(&self, session: u64) -> Option<Arc<Instance>> {
        let own = self.own.lock().get(&session).cloned();
        own.or_else(|| {
            self.instances()
                .iter()
                .find(|instance| instance.owner() == Some(session))
                .cloned()
        })
    }

    /// Notes that a session waits for an instance of its own, as long as the guard lives.
    pub(super) fn wait_for_instance(self: &Arc<Self>, session: u64) -> Waits {
        *self.waiting.lock().entry(session).or_default() += 1;
        Waits {
            server: Arc::clone(self),
            session,
        }
    }

    /// Who has an instance, and who wants one.
    pub(super) fn need(&self) -> Need {
        let instances = self.instances();
        let owners = instances
            .iter()
            .filter(|instance| instance.owner().is_some());
        Need {
            taken: owners.count(),
            waiting: self.waiting.lock().len(),
        }
    }

    /// How many instances there are that are not given up.
    pub(super) fn kept(&self) -> usize {
        let instances = self.instances();
        instances.iter().filter(|i| !i.is_given_up()).count()
    }

    /// Whether any instance runs or will.
    pub(super) fn has_hope(&self) -> bool {
        let gone = |state| matches!(state, State::Failed { .. } | State::Stopped);
        !self.instances().iter().all(|i| gone(i.state()))
    }

    /// Notes how many instances are asked for. True where that is another number than before.
    pub(super) fn ask_for(&self, instances: usize) -> bool {
        self.asked.swap(instances, Ordering::AcqRel) != instances
    }

    /// Notes that a session wants to hear of a resource.
    pub(crate) fn subscribe(&self, uri: &str, session: u64) {
        self.subscribers
            .lock()
            .entry(uri.to_owned())
            .or_default()
            .insert(session);
    }

    /// Returns true where nobody is left who wants to hear of it.
    pub(crate) fn unsubscribe(&self, uri: &str, session: u64) -> bool {
        let mut subscribers = self.subscribers.lock();
        let Some(sessions) = subscribers.get_mut(uri) else {
            return true;
        };
        sessions.remove(&session);
        let last = sessions.is_empty();
        if last {
            subscribers.remove(uri);
        }
        last
    }

    /// Forgets a session, and returns the URIs that nobody wants to hear of any more.
    pub(crate) fn forget(&self, session: u64) -> Vec<String> {
        let mut left = Vec::new();
        self.homes.lock().remove(&session);
        self.subscribers.lock().retain(|uri, sessions| {
            if sessions.remove(&session) && sessions.is_empty() {
                left.push(uri.clone());
            }
            !sessions.is_empty()
        });
        left
    }

    pub(crate) fn subscribers(&self, uri: &str) -> Vec<u64> {
        self.subscribers
            .lock()
            .get(uri)
            .map(|sessions| sessions.iter().copied().collect())
            .unwrap_or_default()
    }

    pub(crate) fn subscribed(&self) -> Vec<String> {
        self.subscribers.lock().keys().cloned().collect()
    }

    /// Notes the log level to be set upstream; returns it where it is a new one.
    pub(crate) fn change_level(&self, level: Option<LogLevel>) -> Option<LogLevel> {
        let mut current = self.level.lock();
        if *current == level {
            return None;
        }
        *current = level;
        level
    }

    pub(crate) fn level(&self) -> Option<LogLevel> {
        *self.level.lock()
    }
}

/// How many sessions have an instance to themselves, and how many wait for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) taken: usize,
    pub(super) waiting: usize,
}

/// A call that waits for its session's instance.
#[derive(Debug)]
pub(super) struct Waits {
    server: Arc<Server>,
    session: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut waiting = self.server.waiting.lock();
        if let Some(calls) = waiting.get_mut(&self.session) {
            *calls -= 1;
            if *calls == 0 {
                waiting.remove(&self.session);
            }
        }
    }
}

impl Learns for Server {
    fn name(&self) -> &str {
        &self.service
    }

    fn told(&self) -> &Told {
        &self.told
    }

    fn signals<'a>(&'a self, metrics: &'a Metrics) -> &'a Signals {
        Self::signals(self, metrics)
    }

    fn tool(&self, slot: Slot) -> Option<String> {
        let slots = self.slots.lock();
        let found = slots.iter().find(|(_, known)| **known == slot);
        found.map(|(tool, _)| tool.to_string())
    }

    fn has_others(&self) -> bool {
        self.instances().len() > 1
    }
}
