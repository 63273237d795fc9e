//! What traffic and kept answers are counted by, for all services; `metrics.rs` has the golden signals.

use std::sync::Arc;

use backstay_telemetry::{
    CounterFamily, Gauge, GaugeFamily, HistogramFamily, LATENCY_SECONDS, MetricError, Registry,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Families {
    pub(crate) calls_refused: CounterFamily,
    pub(crate) retries: CounterFamily,
    pub(crate) lookups: CounterFamily,
    pub(crate) kept: Gauge,
    pub(crate) kept_bytes: Gauge,
    pub(crate) breakers_opened: CounterFamily,
    pub(crate) breakers: GaugeFamily,
    pub(crate) ejections: CounterFamily,
    pub(crate) ejected: GaugeFamily,
    pub(crate) queue: GaugeFamily,
    pub(crate) queue_wait: HistogramFamily,
}

impl Families {
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            calls_refused: registry.counter(
                "backstay_calls_refused_total",
                "Calls that were not let go, by what was in the way: limit, full, late, breaker.",
                &["service", "reason"],
            )?,
            retries: registry.counter(
                "backstay_call_retries_total",
                "Attempts at calls after the first.",
                &["service"],
            )?,
            lookups: registry.counter(
                "backstay_cache_lookups_total",
                "Calls whose answer may be kept: hit, joined (somebody was fetching it), second (it was in the second level), miss.",
                &["service", "result"],
            )?,
            kept: registry
                .gauge("backstay_cache_entries", "Answers that are kept.", &[])?
                .with(&[]),
            kept_bytes: registry
                .gauge("backstay_cache_bytes", "What kept answers take.", &[])?
                .with(&[]),
            breakers_opened: registry.counter(
                "backstay_breakers_opened_total",
                "How often a breaker of a tool of an instance opened.",
                &["service"],
            )?,
            breakers: registry.gauge(
                "backstay_breakers",
                "Breakers of tools of instances that are not closed, by state.",
                &["service", "state"],
            )?,
            ejections: registry.counter(
                "backstay_ejections_total",
                "How often an instance was ejected for its failures.",
                &["service"],
            )?,
            ejected: registry.gauge(
                "backstay_ejected_instances",
                "Instances that rest for their failures.",
                &["service"],
            )?,
            queue: registry.gauge(
                "backstay_calls_waiting",
                "Calls that wait for others to end.",
                &["service"],
            )?,
            queue_wait: registry.histogram(
                "backstay_call_wait_seconds",
                "How long calls waited for others to end, of those that waited.",
                &["service"],
                &LATENCY_SECONDS,
            )?,
        })
    }

    /// Forgets a service that is no longer part of the fleet.
    pub(crate) fn forget(&self, service: &str) {
        let other = |labels: &[Arc<str>]| labels.first().is_none_or(|label| **label != *service);
        self.calls_refused.retain(other);
        self.retries.retain(other);
        self.lookups.retain(other);
        self.breakers_opened.retain(other);
        self.breakers.retain(other);
        self.ejections.retain(other);
        self.ejected.retain(other);
        self.queue.retain(other);
        self.queue_wait.retain(other);
    }
}
