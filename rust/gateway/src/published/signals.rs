//! The golden signals of published services.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backstay_telemetry::{
    Counter, CounterFamily, Gauge, GaugeFamily, Histogram, HistogramFamily, LATENCY_SECONDS,
    MetricError, Registry,
};
use http::StatusCode;

use crate::metrics::Metrics;
use crate::traffic;

/// The families.
#[derive(Debug)]
pub(super) struct Families {
    requests: CounterFamily,
    latency: HistogramFamily,
    in_flight: GaugeFamily,
    tunnels: GaugeFamily,
}

impl Families {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            requests: registry.counter(
                "backstay_http_requests_total",
                "Requests to published services, by the kind of their answer; `none` where the client went away.",
                &["service", "code"],
            )?,
            latency: registry.histogram(
                "backstay_http_request_seconds",
                "From a request's arrival to the beginning of its answer.",
                &["service"],
                &LATENCY_SECONDS,
            )?,
            in_flight: registry.gauge(
                "backstay_http_requests_in_flight",
                "Requests whose answer has not ended.",
                &["service"],
            )?,
            tunnels: registry.gauge(
                "backstay_http_upgraded_connections",
                "Connections that speak something else by now, such as WebSocket.",
                &["service"],
            )?,
        })
    }

    pub(super) fn forget(&self, service: &str) {
        let other = |labels: &[Arc<str>]| labels.first().is_none_or(|first| **first != *service);
        self.requests.retain(other);
        self.latency.retain(other);
        self.in_flight.retain(other);
        self.tunnels.retain(other);
    }
}

/// The series of one service.
#[derive(Debug)]
pub(super) struct Signals {
    codes: [Counter; 6],
    latency: Histogram,
    in_flight: Gauge,
    tunnels: Gauge,
    traffic: traffic::Signals,
}

impl Signals {
    pub(super) fn new(families: &Families, metrics: &Metrics, service: &str) -> Self {
        let code = |code| families.requests.with(&[service, code]);
        let codes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
        Self {
            codes: codes.map(code),
            latency: families.latency.with(&[service]),
            in_flight: families.in_flight.with(&[service]),
            tunnels: families.tunnels.with(&[service]),
            traffic: traffic::Signals::new(&metrics.traffic, service),
        }
    }

    /// What every kind of traffic is counted by.
    pub(super) fn traffic(&self) -> &traffic::Signals {
        &self.traffic
    }

    pub(super) fn begin(self: &Arc<Self>) -> Measure {
        self.in_flight.inc();
        Measure {
            signals: Arc::clone(self),
            began: Instant::now(),
            answered: None,
        }
    }

    pub(super) fn tried_again(&self) {
        self.traffic.retries.inc();
    }

    pub(super) fn tunnel(self: &Arc<Self>) -> Tunnelled {
        self.tunnels.inc();
        Tunnelled(Arc::clone(self))
    }
}

/// A request, until its answer has ended or nobody wants it any more.
#[derive(Debug)]
pub(super) struct Measure {
    signals: Arc<Signals>,
    began: Instant,
    answered: Option<(StatusCode, Duration)>,
}

impl Measure {
    /// Its answer begins.
    pub(super) fn answered(&mut self, code: StatusCode) {
        self.answered = Some((code, self.began.elapsed()));
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        self.signals.in_flight.dec();
        let (kind, latency) = match self.answered {
            Some((code, latency)) => (usize::from(code.as_u16() / 100), latency),
            None => (0, self.began.elapsed()),
        };
        if let Some(counter) = self.signals.codes.get(kind) {
            counter.inc();
        }
        self.signals.latency.observe(latency.as_secs_f64());
    }
}

/// An upgraded connection, as long as it lives.
#[derive(Debug)]
pub(super) struct Tunnelled(Arc<Signals>);

impl Drop for Tunnelled {
    fn drop(&mut self) {
        self.0.tunnels.dec();
    }
}
