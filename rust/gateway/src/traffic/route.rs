//! How calls to one service are balanced, limited and protected, as Python tells it (`traffic:` of the stack
//! file, the fleet's defaults filled in). What is not told is as safe as can be without being asked: breakers,
//! ejection and retries where they are safe, and no limit.

use std::time::Duration;

use backstay_traffic::{Backoff, BreakerConfig, BulkheadConfig, EjectionConfig, Policy};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrafficRoute {
    /// How an instance is chosen.
    pub balance: BalanceBy,
    /// What keeps calls at one instance.
    pub affinity: Affinity,
    /// How many calls a time may bring.
    pub limits: Vec<RateRoute>,
    /// How many calls may be under way at a time.
    pub concurrency: Option<ConcurrencyRoute>,
    /// When a tool of an instance is not asked for a while.
    pub breaker: Option<BreakerRoute>,
    /// When an instance is not asked for a while.
    pub ejection: Option<EjectionRoute>,
    /// How calls are tried again.
    pub retries: RetryRoute,
    /// Longest silence of one attempt; `call_timeout_ms` where nothing is said.
    pub attempt_ms: Option<u64>,
    /// The longest that a call may take in all, its waiting and its retries included.
    pub overall_ms: Option<u64>,
    /// How long a new instance takes to get its whole share.
    pub slow_start_ms: u64,
}

impl Default for TrafficRoute {
    fn default() -> Self {
        Self {
            balance: BalanceBy::default(),
            affinity: Affinity::default(),
            limits: Vec::new(),
            concurrency: None,
            breaker: Some(BreakerRoute::default()),
            ejection: Some(EjectionRoute::default()),
            retries: RetryRoute::default(),
            attempt_ms: None,
            overall_ms: None,
            slow_start_ms: 0,
        }
    }
}

/// How an instance is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceBy {
    /// The less busy of two taken at random.
    #[default]
    LeastOutstanding,
    /// Each in turn.
    RoundRobin,
    /// The same for the same client session, as long as it is there.
    Hash,
}

impl From<BalanceBy> for Policy {
    fn from(by: BalanceBy) -> Self {
        match by {
            BalanceBy::LeastOutstanding => Self::LeastOutstanding,
            BalanceBy::RoundRobin => Self::RoundRobin,
            BalanceBy::Hash => Self::ConsistentHash,
        }
    }
}

/// What keeps calls at one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Affinity {
    /// Nothing.
    #[default]
    None,
    /// A client session stays with the instance that it met first, as long as that is there.
    Session,
}

/// So many calls a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRoute {
    /// Calls in each period.
    pub calls: u32,
    /// The period.
    pub period_ms: u64,
    /// How many of them may come at once.
    pub burst: u32,
    /// What each has a limit of its own.
    pub per: Per,
    /// As the stack file has it, for messages: `100/s`.
    pub shown: String,
}

/// What each has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Each client.
    Client,
    /// Each tool.
    Tool,
    /// The service as a whole.
    Service,
}

impl Per {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Tool => "tool",
            Self::Service => "service",
        }
    }
}

/// So many calls at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencyRoute {
    /// Calls at a time.
    pub most: usize,
    /// Calls that may wait.
    pub queue: usize,
    /// How long one may wait.
    pub wait_ms: u64,
}

impl ConcurrencyRoute {
    /// A queue that stands may only make calls wait for a tenth of the time that one in a burst may.
    pub(crate) fn bulkhead(self) -> BulkheadConfig {
        let deadline = Duration::from_millis(self.wait_ms);
        BulkheadConfig {
            most: self.most,
            queue: self.queue,
            deadline,
            target: deadline / 10,
            interval: deadline / 5,
        }
    }
}

/// When a tool of an instance is not asked for a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerRoute {
    /// The share of failures at which it opens, from 0 to 1.
    pub failures: f64,
    /// It never opens on fewer outcomes than this.
    pub least: u32,
    /// How far back outcomes count.
    pub window_ms: u64,
    /// How long it is open the first time.
    pub open_ms: u64,
    /// The longest it is open.
    pub open_at_most_ms: u64,
}

impl Default for BreakerRoute {
    fn default() -> Self {
        Self {
            failures: 0.5,
            least: 5,
            window_ms: 10_000,
            open_ms: 1_000,
            open_at_most_ms: 60_000,
        }
    }
}

impl From<BreakerRoute> for BreakerConfig {
    fn from(route: BreakerRoute) -> Self {
        Self {
            least: route.least,
            share: route.failures,
            window: Duration::from_millis(route.window_ms),
            open_for: Duration::from_millis(route.open_ms),
            open_at_most: Duration::from_millis(route.open_at_most_ms),
        }
    }
}

/// When an instance is not asked for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EjectionRoute {
    /// Failures in a row.
    pub failures: u32,
    /// How long it rests the first time.
    pub rest_ms: u64,
    /// The longest it rests.
    pub rest_at_most_ms: u64,
}

impl Default for EjectionRoute {
    fn default() -> Self {
        Self {
            failures: 5,
            rest_ms: 30_000,
            rest_at_most_ms: 300_000,
        }
    }
}

impl From<EjectionRoute> for EjectionConfig {
    fn from(route: EjectionRoute) -> Self {
        Self {
            failures: route.failures,
            rests_for: Duration::from_millis(route.rest_ms),
            at_most: Duration::from_millis(route.rest_at_most_ms),
        }
    }
}

/// How calls are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryRoute {
    /// Attempts at one call, the first included.
    pub attempts: u32,
    /// How many retries there may be for each call, on the average.
    pub budget: f64,
    /// The longest pause before the first retry; it doubles.
    pub pause_ms: u64,
    /// The longest pause before any.
    pub pause_at_most_ms: u64,
}

impl Default for RetryRoute {
    fn default() -> Self {
        Self {
            attempts: 2,
            budget: 0.2,
            pause_ms: 25,
            pause_at_most_ms: 1_000,
        }
    }
}

impl From<RetryRoute> for Backoff {
    fn from(route: RetryRoute) -> Self {
        Self {
            first: Duration::from_millis(route.pause_ms),
            most: Duration::from_millis(route.pause_at_most_ms),
        }
    }
}
