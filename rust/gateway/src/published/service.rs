//! A published service: its route, its rules, its instances, and which of them gets a request.

use std::sync::Arc;
use std::time::Duration;

use backstay_traffic::{Balance, Policy};

use super::instance::{Instance, Presence};
use super::route::PublishedRoute;
use super::signals::Signals;
use crate::core::Core;
use crate::metrics::Metrics;
use crate::traffic::{
    self, Affinity, Lane, Learns, NO_TOOL, Outcome, Slot, Told, Traffic, Went, now,
};

/// See the module. Made anew whenever its route changes; its instances and what it counts stay.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) route: PublishedRoute,
    pub(super) instances: Vec<Arc<Instance>>,
    pub(super) signals: Arc<Signals>,
    pub(super) traffic: Traffic,
    /// Where clients stay: by their address.
    homes: Balance,
    told: Told,
}

/// Where a request goes.
pub(super) struct Chosen {
    pub(super) instance: Arc<Instance>,
    /// The breaker that let it through and wants to hear how it went.
    lane: Option<Arc<Lane>>,
}

/// Why no instance gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// None runs.
    Stopped,
    /// None is ready yet.
    Starting,
    /// None is well.
    Down,
    /// All that are there fail, and rest for so long.
    Resting(Duration),
}

impl Service {
    pub(super) fn new(
        route: PublishedRoute,
        before: Option<&Self>,
        instances: Vec<Arc<Instance>>,
        signals: Arc<Signals>,
    ) -> Self {
        let traffic = Traffic::new(route.traffic.clone(), before.map(|before| &before.traffic));
        if before.is_some_and(|before| before.route.traffic.breaker != route.traffic.breaker) {
            for instance in &instances {
                instance.health.forget_breakers();
            }
        }
        Self {
            route,
            instances,
            signals,
            traffic,
            homes: Balance::new(Policy::ConsistentHash),
            told: Told::default(),
        }
    }

    /// The instance for a request of this client, beside those that were tried already.
    pub(super) fn pick(
        &self,
        core: &Core,
        client: u64,
        tried: &[Arc<Instance>],
    ) -> Result<Chosen, Unavailable> {
        let now = now();
        let mut able: Vec<&Arc<Instance>> = self
            .instances
            .iter()
            .filter(|one| one.presence() == Presence::Ready)
            .filter(|one| !tried.iter().any(|other| Arc::ptr_eq(other, one)))
            .inspect(|one| {
                if one.health.ejection.returns(now) {
                    core.tell_returned(self, &one.name);
                }
            })
            .collect();
        let balance = match self.route.traffic.affinity {
            Affinity::None => &self.traffic.balance,
            Affinity::Session => &self.homes,
        };
        let mut rest: Option<Duration> = None;
        loop {
            let candidates: Vec<_> = able
                .iter()
                .map(|one| one.as_candidate(&self.traffic, now))
                .collect();
            let Some(index) = balance.choose(&candidates, client, rand::random()) else {
                return Err(rest.map_or_else(|| self.why_not(), Unavailable::Resting));
            };
            let instance = able.swap_remove(index);
            let lane = self
                .traffic
                .breaker
                .map(|config| instance.health.lane(NO_TOOL, config));
            match lane.as_ref().map(|lane| lane.breaker.check(now)) {
                Some(Err(open)) => {
                    rest = Some(rest.map_or(open.retry_after, |rest| rest.min(open.retry_after)));
                }
                Some(Ok(())) | None => {
                    return Ok(Chosen {
                        instance: Arc::clone(instance),
                        lane,
                    });
                }
            }
        }
    }

    /// A request that went there went so.
    pub(super) fn learn(&self, core: &Core, to: &Chosen, outcome: Outcome) {
        let went = Went {
            instance: &to.instance.name,
            health: &to.instance.health,
            lane: to.lane.as_deref(),
            slot: NO_TOOL,
            epoch: 0,
        };
        core.learn(self, self.traffic.ejection.as_ref(), went, outcome);
    }

    fn why_not(&self) -> Unavailable {
        let any = |presence| self.instances.iter().any(|one| one.presence() == presence);
        if self.instances.is_empty() {
            Unavailable::Stopped
        } else if any(Presence::Starting) {
            Unavailable::Starting
        } else {
            Unavailable::Down
        }
    }
}

impl Learns for Service {
    fn name(&self) -> &str {
        &self.route.service
    }

    fn told(&self) -> &Told {
        &self.told
    }

    fn signals<'a>(&'a self, _: &'a Metrics) -> &'a traffic::Signals {
        self.signals.traffic()
    }

    fn tool(&self, _: Slot) -> Option<String> {
        None
    }

    fn has_others(&self) -> bool {
        self.instances.len() > 1
    }
}
