//! The golden signals: requests, errors by class, latency and what is in flight, by service and tool.
//!
//! Label values come from the fleet (services, their tools, error classes), never from a client's text,
//! and every family is capped.

use std::sync::Arc;
use std::time::Instant;

use backstay_telemetry::{
    Counter, CounterFamily, Gauge, GaugeFamily, Histogram, HistogramFamily, LATENCY_SECONDS,
    MetricError, Registry,
};

use crate::traffic::Families;

/// Every family of the gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    on: bool,
    requests: CounterFamily,
    errors: CounterFamily,
    latency: HistogramFamily,
    in_flight: GaugeFamily,
    pub(crate) refused: CounterFamily,
    pub(crate) traffic: Families,
    pub(crate) connections: Gauge,
    pub(crate) sessions: Gauge,
    pub(crate) upstreams: GaugeFamily,
    pub(crate) offered: GaugeFamily,
}

impl Metrics {
    /// Every family; where they are not `on`, requests leave no mark.
    pub(crate) fn new(registry: &Registry, on: bool) -> Result<Self, MetricError> {
        let by_tool = ["service", "tool"];
        Ok(Self {
            on,
            requests: registry.counter(
                "backstay_requests_total",
                "Requests that clients made of servers.",
                &by_tool,
            )?,
            errors: registry.counter(
                "backstay_request_errors_total",
                "Requests that had no result, by what went wrong.",
                &["service", "tool", "class"],
            )?,
            latency: registry.histogram(
                "backstay_request_seconds",
                "From a request's arrival to its answer.",
                &by_tool,
                &LATENCY_SECONDS,
            )?,
            in_flight: registry.gauge(
                "backstay_requests_in_flight",
                "Requests that wait for their answer.",
                &by_tool,
            )?,
            refused: registry.counter(
                "backstay_gateway_refused_total",
                "HTTP requests that the gateway refused, by why.",
                &["reason"],
            )?,
            traffic: Families::new(registry)?,
            connections: registry
                .gauge(
                    "backstay_gateway_connections",
                    "Connections of clients.",
                    &[],
                )?
                .with(&[]),
            sessions: registry
                .gauge("backstay_gateway_sessions", "Sessions of clients.", &[])?
                .with(&[]),
            upstreams: registry.gauge(
                "backstay_server_instances",
                "Instances of servers, by what they are to the gateway.",
                &["service", "state"],
            )?,
            offered: registry.gauge(
                "backstay_server_offers",
                "What each server offers.",
                &["service", "what"],
            )?,
        })
    }

    /// The signals of one tool; an empty tool stands for all that is no tool call.
    pub(crate) fn golden(&self, service: &str, tool: &str) -> Golden {
        Golden {
            on: self.on,
            requests: self.requests.with(&[service, tool]),
            latency: self.latency.with(&[service, tool]),
            in_flight: self.in_flight.with(&[service, tool]),
            errors: self.errors.clone(),
            service: service.into(),
            tool: tool.into(),
        }
    }

    /// Forgets a service that is no longer part of the fleet.
    pub(crate) fn forget(&self, service: &str) {
        let other = |labels: &[Arc<str>]| labels.first().is_none_or(|label| **label != *service);
        self.requests.retain(other);
        self.errors.retain(other);
        self.latency.retain(other);
        self.in_flight.retain(other);
        self.upstreams.retain(other);
        self.offered.retain(other);
        self.traffic.forget(service);
    }
}

/// The signals of one tool.
#[derive(Debug)]
pub(crate) struct Golden {
    on: bool,
    requests: Counter,
    latency: Histogram,
    in_flight: Gauge,
    errors: CounterFamily,
    service: Box<str>,
    tool: Box<str>,
}

impl Golden {
    /// A request begins; dropping the measure ends it as cancelled.
    pub(crate) fn begin(&self) -> Measure<'_> {
        let started = self.on.then(Instant::now);
        if self.on {
            self.requests.inc();
            self.in_flight.inc();
        }
        Measure {
            golden: self,
            started,
            class: Some("cancelled"),
        }
    }
}

/// One request being measured.
#[derive(Debug)]
pub(crate) struct Measure<'a> {
    golden: &'a Golden,
    /// None where nothing is counted.
    started: Option<Instant>,
    class: Option<&'static str>,
}

impl Measure<'_> {
    /// It was answered with a result.
    pub(crate) fn answered(mut self) {
        self.class = None;
    }

    /// It had no result.
    pub(crate) fn failed(mut self, class: &'static str) {
        self.class = Some(class);
    }
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        let golden = self.golden;
        let Some(started) = self.started else {
            return;
        };
        golden.in_flight.dec();
        golden.latency.observe(started.elapsed().as_secs_f64());
        if let Some(class) = self.class {
            golden
                .errors
                .with(&[&golden.service, &golden.tool, class])
                .inc();
        }
    }
}
