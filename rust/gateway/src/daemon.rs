//! The daemon's own process, and what waits in it, as series of `/metrics`.
//!
//! Like those of instances they are read when somebody asks. The generation counts the daemons that this
//! fleet has had: where it grows, daemons die.

use std::sync::{Arc, Weak};
use std::time::Instant;

use backstay_telemetry::{Gauge, MetricError, Registry};

use crate::process::sample;
use crate::queue::EventQueue;

struct Series {
    cpu: Gauge,
    memory: Gauge,
    fds: Gauge,
    threads: Gauge,
    uptime: Gauge,
    events: Gauge,
}

/// Registers the series of this process, which is the `generation`th daemon of its fleet.
pub fn register_daemon(
    registry: &Registry,
    generation: u32,
    events: &Arc<EventQueue>,
) -> Result<(), MetricError> {
    let gauge = |name: &str, help: &str| -> Result<Gauge, MetricError> {
        Ok(registry.gauge(name, help, &[])?.with(&[]))
    };
    gauge(
        "backstay_daemon_generation",
        "Which daemon of its fleet this is, counted from the first.",
    )?
    .set(f64::from(generation));
    let series = Series {
        cpu: gauge(
            "backstay_daemon_cpu_seconds",
            "Processor time of the daemon.",
        )?,
        memory: gauge(
            "backstay_daemon_resident_memory_bytes",
            "Memory of the daemon.",
        )?,
        fds: gauge(
            "backstay_daemon_open_fds",
            "Descriptors that the daemon holds.",
        )?,
        threads: gauge("backstay_daemon_threads", "Threads of the daemon.")?,
        uptime: gauge(
            "backstay_daemon_uptime_seconds",
            "Time since the daemon started.",
        )?,
        events: gauge(
            "backstay_daemon_events_waiting",
            "Events that wait to be decided on.",
        )?,
    };
    let (started, events): (_, Weak<EventQueue>) = (Instant::now(), Arc::downgrade(events));
    registry.before_render(move || series.refresh(started, &events));
    Ok(())
}

impl Series {
    #[expect(clippy::cast_precision_loss, reason = "the queue is capped")]
    fn refresh(&self, started: Instant, events: &Weak<EventQueue>) {
        self.uptime.set(started.elapsed().as_secs_f64());
        if let Some(events) = events.upgrade() {
            self.events.set(events.len() as f64);
        }
        let me = i32::try_from(std::process::id()).ok();
        let Some(sample) = me.and_then(sample) else {
            return;
        };
        self.cpu.set(sample.cpu_seconds);
        self.memory.set(sample.resident_bytes);
        self.fds.set(sample.fds);
        self.threads.set(sample.threads);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::queue::Weight;

    #[test]
    fn a_daemon_shows_itself_and_what_waits_in_it() {
        let (registry, events) = (Registry::new(), Arc::new(EventQueue::new(8).unwrap()));
        register_daemon(&registry, 3, &events).unwrap();
        events.push(&json!({"kind": "a"}), None, Weight::State);
        let mut out = Vec::new();
        registry.render(&mut out);
        let text = String::from_utf8(out).unwrap();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")));
            line.and_then(|line| line.split(' ').nth(1)?.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        assert!((value("backstay_daemon_generation") - 3.0).abs() < 1e-9);
        assert!((value("backstay_daemon_events_waiting") - 1.0).abs() < 1e-9);
        assert!(value("backstay_daemon_resident_memory_bytes") > 1e5);
        assert!(value("backstay_daemon_open_fds") > 2.0);
        assert!(value("backstay_daemon_threads") >= 1.0);
    }
}
