//! What one service's traffic is counted by, found once and not by name on each call; and how often it may speak.

use std::num::NonZeroU32;
use std::time::Duration;

use backstay_telemetry::{Counter, CounterFamily, Histogram};
use backstay_traffic::{Meter, Rate};

use super::{Families, now};

/// See the module.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) retries: Counter,
    pub(crate) ejections: Counter,
    pub(crate) opened: Counter,
    pub(crate) queue_wait: Histogram,
    pub(crate) hits: Counter,
    pub(crate) joined: Counter,
    pub(crate) second_hits: Counter,
    pub(crate) misses: Counter,
    refused: CounterFamily,
    service: Box<str>,
}

impl Signals {
    pub(crate) fn new(metrics: &Families, service: &str) -> Self {
        Self {
            retries: metrics.retries.with(&[service]),
            ejections: metrics.ejections.with(&[service]),
            opened: metrics.breakers_opened.with(&[service]),
            queue_wait: metrics.queue_wait.with(&[service]),
            hits: metrics.lookups.with(&[service, "hit"]),
            joined: metrics.lookups.with(&[service, "joined"]),
            second_hits: metrics.lookups.with(&[service, "second"]),
            misses: metrics.lookups.with(&[service, "miss"]),
            refused: metrics.calls_refused.clone(),
            service: service.into(),
        }
    }

    /// A call was refused, for one of the few reasons there are.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.with(&[&self.service, reason]).inc();
    }
}

/// Events of one service's traffic, held to a pace: a server with a hundred tools that stalls opens a hundred
/// breakers, and nobody reads a hundred lines of it. The counters count them all.
#[derive(Debug)]
pub(crate) struct Told(Meter);

impl Default for Told {
    fn default() -> Self {
        let (a_second, at_once) = (NonZeroU32::MIN, NonZeroU32::MIN.saturating_add(19));
        Self(Meter::new(Rate::new(
            a_second,
            Duration::from_secs(1),
            at_once,
        )))
    }
}

impl Told {
    /// Whether one more may be told now.
    pub(crate) fn may(&self) -> bool {
        self.0.check(now()).is_ok()
    }
}
