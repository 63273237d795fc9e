//! Which instance of a server gets a call: of those that are ready and whose breaker for the tool lets it through,
//! the one that the balance takes. With one instance, which most servers have, there is nothing to balance.

use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::{RpcError, Upstream};
use backstay_traffic::{Candidate, Time, warmth};
use smallvec::SmallVec;

use super::instance::Instance;
use super::server::Server;
use crate::session::Session;
use crate::traffic::{Affinity, Lane, Slot, Traffic, now};

/// Servers of up to this many instances are balanced without allocating.
const FEW: usize = 8;

/// A call that wants an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) traffic: &'a Traffic,
    pub(crate) slot: Slot,
    pub(crate) session: &'a Session,
    /// Where it failed before: elsewhere is better.
    pub(crate) not: Option<&'a Instance>,
}

/// Where a call goes.
pub(crate) struct Chosen {
    pub(crate) instance: Arc<Instance>,
    pub(crate) upstream: Arc<Upstream>,
    /// The breaker that let it through and wants to hear how it went.
    pub(crate) lane: Option<Arc<Lane>>,
}

/// Why a call can go nowhere now.
#[derive(Debug)]
pub(crate) enum Unchosen {
    /// No instance is ready.
    Unready(RpcError),
    /// The breaker of every ready instance is open, the first to close in so long.
    Failing(Duration),
}

impl From<RpcError> for Unchosen {
    fn from(error: RpcError) -> Self {
        Self::Unready(error)
    }
}

impl Ask<'_> {
    /// Whether the session stays where it is. What stands for one request of a modern client is nowhere.
    fn stays(&self) -> bool {
        self.traffic.route().affinity == Affinity::Session && !self.session.is_modern()
    }

    /// Asks the instance's breaker for the tool.
    pub(super) fn through(
        &self,
        instance: &Arc<Instance>,
        upstream: Arc<Upstream>,
        now: Time,
    ) -> Result<Chosen, Unchosen> {
        let lane = self
            .traffic
            .breaker
            .map(|config| instance.health.lane(self.slot, config));
        if let Some(lane) = &lane {
            lane.breaker
                .check(now)
                .map_err(|open| Unchosen::Failing(open.retry_after))?;
        }
        Ok(Chosen {
            instance: Arc::clone(instance),
            upstream,
            lane,
        })
    }
}

impl Server {
    /// The instance that a call of all sessions goes to. `returned` hears of one whose rest is over.
    pub(super) fn choose(
        &self,
        ask: &Ask<'_>,
        returned: impl Fn(&Instance),
    ) -> Result<Chosen, Unchosen> {
        let now = now();
        let instances = self.instances();
        if let [only] = &*instances {
            return match only.upstream() {
                Some(upstream) => ask.through(only, upstream, now),
                None => Err(self.why_not(&instances).into()),
            };
        }
        if ask.stays()
            && let Some(instance) = self.home_of(ask.session.number, &instances)
            && let Some(upstream) = instance.upstream()
        {
            return ask.through(instance, upstream, now);
        }
        self.choose_of(ask, &instances, returned, now)
    }

    fn choose_of(
        &self,
        ask: &Ask<'_>,
        instances: &[Arc<Instance>],
        returned: impl Fn(&Instance),
        now: Time,
    ) -> Result<Chosen, Unchosen> {
        let mut ready: SmallVec<[(&Arc<Instance>, Arc<Upstream>); FEW]> = SmallVec::new();
        let mut candidates: SmallVec<[Candidate; FEW]> = SmallVec::new();
        let mut opens: Option<Duration> = None;
        let slow_start = ask.traffic.slow_start();
        for instance in instances {
            let Some(upstream) = instance.upstream() else {
                continue;
            };
            if let Some(config) = ask.traffic.breaker
                && let Some(wait) = instance.health.lane(ask.slot, config).breaker.opens_in(now)
            {
                opens = Some(opens.map_or(wait, |soonest| soonest.min(wait)));
                continue;
            }
            if instance.health.ejection.returns(now) {
                returned(instance);
            }
            ready.push((instance, upstream));
            candidates.push(Candidate {
                id: instance.id,
                outstanding: instance.outstanding(),
                weight: instance.weight(),
                warmth: warmth(instance.health.since(), now, slow_start),
                ejected: instance.health.ejection.is_out(now),
            });
        }
        // Elsewhere, where there is an elsewhere.
        if let Some(not) = ask.not
            && ready.len() > 1
            && let Some(at) = ready
                .iter()
                .position(|(instance, _)| std::ptr::eq(Arc::as_ptr(instance), not))
        {
            ready.remove(at);
            candidates.remove(at);
        }
        loop {
            let chosen = ask
                .traffic
                .balance
                .choose(&candidates, ask.session.key, rand::random());
            let Some(at) = chosen else {
                return Err(match opens {
                    Some(wait) => Unchosen::Failing(wait),
                    None => self.why_not(instances).into(),
                });
            };
            candidates.remove(at);
            let (instance, upstream) = ready.remove(at);
            match ask.through(instance, upstream, now) {
                // Somebody else was sent to try it meanwhile.
                Err(Unchosen::Failing(wait)) => {
                    opens = Some(opens.map_or(wait, |soonest| soonest.min(wait)));
                }
                outcome => {
                    if ask.stays() {
                        self.settle_home(ask.session.number, instance);
                    }
                    return outcome;
                }
            }
        }
    }
}
