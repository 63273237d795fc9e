//! Whether a call goes, when, and what is learnt from how it went: the order of a call between routing and the
//! server.
//!
//! [`Traffic`] is one service's rules as structures of `rust/traffic`, made once when its route changes; a call
//! takes one pointer to it. What is known of instances is in their [`Health`]; which one gets a call is chosen in
//! `fleet/choose.rs`, and `requests/forward.rs` goes through all of it in order.

mod families;
mod health;
mod learn;
mod refusal;
mod route;
mod signals;
mod trouble;

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use backstay_traffic::{
    Backoff, Balance, BreakerConfig, Budget, Bulkhead, EjectionConfig, Limiter, Meter, Place, Rate,
    Shed, Ticket, Time,
};
use sha2::{Digest as _, Sha256};

pub(crate) use families::Families;
pub(crate) use health::{Health, Lane, Outcome};
pub(crate) use learn::{Learns, Went};
pub(crate) use refusal::Refusal;
pub use route::{
    Affinity, BalanceBy, BreakerRoute, ConcurrencyRoute, EjectionRoute, Per, RateRoute, RetryRoute,
    TrafficRoute,
};
pub(crate) use signals::{Signals, Told};
pub(crate) use trouble::troubles;
pub use trouble::{Trouble, TroubleKind};

/// Clients and tools that have a limit of their own; more share one.
const MOST_KEYS: usize = 65_536;
/// Retries that may be saved up.
const MOST_SAVED: u32 = 10;

/// Where the gateway's [`Time`] begins.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Now, as all structures of the gateway count it.
pub(crate) fn now() -> Time {
    Time::since(*ORIGIN)
}

/// What keeps a name at an instance: a hash that is the same in every process, so that sessions stay where they
/// are when the daemon is replaced.
pub(crate) fn key_of(name: &str) -> u64 {
    let hash = Sha256::digest(name.as_bytes());
    hash.iter()
        .take(8)
        .fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// Which of a server's tools a call is of; [`NO_TOOL`] for what is none.
pub(crate) type Slot = usize;
/// All that is no tool call, and the tools beyond those that are told apart.
pub(crate) const NO_TOOL: Slot = 0;

/// One service's rules, ready to be asked.
#[derive(Debug)]
pub(crate) struct Traffic {
    route: TrafficRoute,
    pub(crate) balance: Balance,
    limits: Box<[Limit]>,
    bulkhead: Option<Bulkhead>,
    pub(crate) breaker: Option<BreakerConfig>,
    pub(crate) ejection: Option<EjectionConfig>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) backoff: Backoff,
}

#[derive(Clone, Debug)]
struct Limit {
    route: RateRoute,
    counts: Counts,
}

#[derive(Clone, Debug)]
enum Counts {
    Service(Arc<Meter>),
    Client(Arc<Limiter<u64>>),
    Tool(Arc<Limiter<Slot>>),
}

impl Limit {
    fn new(route: &RateRoute) -> Self {
        let positive = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let period = Duration::from_millis(route.period_ms);
        let rate = Rate::new(positive(route.calls), period, positive(route.burst));
        let counts = match route.per {
            Per::Service => Counts::Service(Arc::new(Meter::new(rate))),
            Per::Client => Counts::Client(Arc::new(Limiter::new(rate, MOST_KEYS))),
            Per::Tool => Counts::Tool(Arc::new(Limiter::new(rate, MOST_KEYS))),
        };
        Self {
            route: route.clone(),
            counts,
        }
    }

    fn check(&self, client: u64, tool: Slot, now: Time) -> Result<(), backstay_traffic::Limited> {
        match &self.counts {
            Counts::Service(meter) => meter.check(now),
            Counts::Client(limiter) => limiter.check(&client, now),
            Counts::Tool(_) if tool == NO_TOOL => Ok(()),
            Counts::Tool(limiter) => limiter.check(&tool, now),
        }
    }

    fn give_back(&self, client: u64, tool: Slot) {
        match &self.counts {
            Counts::Service(meter) => meter.give_back(),
            Counts::Client(limiter) => limiter.give_back(&client),
            Counts::Tool(_) if tool == NO_TOOL => {}
            Counts::Tool(limiter) => limiter.give_back(&tool),
        }
    }
}

impl Traffic {
    /// By these rules. What did not change of `before` goes on counting where it was.
    pub(crate) fn new(route: TrafficRoute, before: Option<&Self>) -> Self {
        let limits = route.limits.iter().map(|limit| {
            let same = |known: &&Limit| known.route == *limit;
            let known = before.and_then(|before| before.limits.iter().find(same));
            known.cloned().unwrap_or_else(|| Limit::new(limit))
        });
        let limits = limits.collect();
        let bulkhead = route.concurrency.map(|concurrency| {
            let known = before
                .filter(|before| before.route.concurrency == Some(concurrency))
                .and_then(|before| before.bulkhead.clone());
            known.unwrap_or_else(|| Bulkhead::new(concurrency.bulkhead(), *ORIGIN))
        });
        let budget = before
            .filter(|before| before.route.retries == route.retries)
            .map_or_else(
                || Arc::new(Budget::new(route.retries.budget, MOST_SAVED)),
                |before| Arc::clone(&before.budget),
            );
        Self {
            balance: Balance::new(route.balance.into()),
            limits,
            bulkhead,
            breaker: route.breaker.map(Into::into),
            ejection: route.ejection.map(Into::into),
            budget,
            backoff: route.retries.into(),
            route,
        }
    }

    pub(crate) fn route(&self) -> &TrafficRoute {
        &self.route
    }

    /// How long a new instance takes to get its whole share.
    pub(crate) fn slow_start(&self) -> Duration {
        Duration::from_millis(self.route.slow_start_ms)
    }

    /// Whether the limits let a call go now. A call that one of them refuses counts against none.
    pub(crate) fn admit(&self, client: u64, tool: Slot, now: Time) -> Result<(), Refusal<'_>> {
        for (index, limit) in self.limits.iter().enumerate() {
            if let Err(limited) = limit.check(client, tool, now) {
                for passed in &self.limits[..index] {
                    passed.give_back(client, tool);
                }
                return Err(Refusal::Limited {
                    limit: &limit.route,
                    retry_after: limited.retry_after,
                });
            }
        }
        Ok(())
    }

    /// A place among the calls under way, if they are counted; waits for it as long as may be.
    pub(crate) async fn enter(&self, signals: &Signals) -> Result<Option<Ticket>, Refusal<'_>> {
        let Some(bulkhead) = &self.bulkhead else {
            return Ok(None);
        };
        let refused = |shed| Refusal::Shed {
            shed,
            most: self.route.concurrency.map_or(0, |route| route.most),
            retry_after: bulkhead.deadline(),
        };
        match bulkhead.enter(now()).map_err(refused)? {
            Place::In(ticket) => Ok(Some(ticket)),
            // Boxed: most calls need no room for a timer.
            Place::Waiting(hear) => {
                let began = Instant::now();
                let waited = Box::pin(tokio::time::timeout(bulkhead.deadline(), hear)).await;
                signals.queue_wait.observe(began.elapsed().as_secs_f64());
                match waited {
                    Ok(Ok(place)) => place.map(Some).map_err(refused),
                    Ok(Err(_)) | Err(_) => Err(refused(Shed::Late)),
                }
            }
        }
    }

    /// How many calls wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.bulkhead
            .as_ref()
            .map_or(0, |bulkhead| bulkhead.load().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(calls: u32, per: Per) -> RateRoute {
        RateRoute {
            calls,
            period_ms: 1000,
            burst: calls,
            per,
            shown: format!("{calls}/s"),
        }
    }

    fn traffic(limits: Vec<RateRoute>, before: Option<&Traffic>) -> Traffic {
        let route = TrafficRoute {
            limits,
            ..TrafficRoute::default()
        };
        Traffic::new(route, before)
    }

    #[test]
    fn each_limit_counts_what_it_says() {
        let traffic = traffic(
            vec![
                limit(2, Per::Client),
                limit(3, Per::Tool),
                limit(4, Per::Service),
            ],
            None,
        );
        let admit = |client, tool| traffic.admit(client, tool, Time(1)).is_ok();
        assert_eq!([admit(1, 1), admit(1, 1), admit(1, 1)], [true, true, false]);
        assert_eq!([admit(2, 1), admit(2, 1)], [true, false], "of the tool");
        assert_eq!([admit(2, 2), admit(3, 2)], [true, false], "of the service");
    }

    #[test]
    fn a_call_that_one_limit_refuses_counts_against_none() {
        let traffic = traffic(vec![limit(5, Per::Client), limit(1, Per::Tool)], None);
        assert!(traffic.admit(1, 1, Time(1)).is_ok());
        for _ in 0..100 {
            assert!(traffic.admit(1, 1, Time(1)).is_err());
        }
        for tool in 2..6 {
            assert!(traffic.admit(1, tool, Time(1)).is_ok(), "{tool}");
        }
        assert!(traffic.admit(1, 6, Time(1)).is_err());
    }

    #[test]
    fn a_limit_that_stays_goes_on_counting_when_others_change() {
        let first = traffic(vec![limit(1, Per::Service)], None);
        assert!(first.admit(1, 1, Time(1)).is_ok());
        let second = traffic(
            vec![limit(9, Per::Client), limit(1, Per::Service)],
            Some(&first),
        );
        assert!(second.admit(1, 1, Time(1)).is_err());
        let third = traffic(vec![limit(2, Per::Service)], Some(&second));
        assert!(third.admit(1, 1, Time(1)).is_ok());
    }
}
