//! What is learnt from how a call or a request went: of the breaker that let it through, of the instance, and who is
//! told. The same for a server's calls and a published service's requests.

use std::time::Duration;

use backstay_traffic::{EjectionConfig, State};

use super::{Health, Lane, Outcome, Signals, Slot, Told, now};
use crate::core::Core;
use crate::event::Event;
use crate::metrics::Metrics;

/// A service that learns of its instances.
pub(crate) trait Learns {
    fn name(&self) -> &str;
    fn told(&self) -> &Told;
    fn signals<'a>(&'a self, metrics: &'a Metrics) -> &'a Signals;
    /// What a breaker is of, where it is a tool.
    fn tool(&self, slot: Slot) -> Option<String>;
    /// Whether others can do the work of one that rests.
    fn has_others(&self) -> bool;
}

/// Where a call went.
#[derive(Clone, Copy)]
pub(crate) struct Went<'a> {
    pub(crate) instance: &'a str,
    pub(crate) health: &'a Health,
    /// The breaker that let it through and wants to hear how it went.
    pub(crate) lane: Option<&'a Lane>,
    pub(crate) slot: Slot,
    /// The connection it went over: the end of one counts once.
    pub(crate) epoch: u64,
}

impl Core {
    /// It went so.
    pub(crate) fn learn(
        &self,
        service: &impl Learns,
        ejection: Option<&EjectionConfig>,
        went: Went<'_>,
        outcome: Outcome,
    ) {
        let now = now();
        if let Some(lane) = went.lane
            && let Some(state) = lane.record(outcome, went.epoch, now)
        {
            let retry_in = lane.breaker.opens_in(now).unwrap_or_default();
            self.breaker_changed(service, went, state, retry_in);
        }
        let Some(config) = ejection else { return };
        match outcome {
            Outcome::Good => went.health.ejection.success(),
            // Where there are others, an instance that fails too often in a row rests.
            Outcome::Bad if service.has_others() => {
                if let Some(rest) = went.health.ejection.failure(config, now) {
                    service.signals(&self.metrics).ejections.inc();
                    self.report(service, || Event::InstanceEjected {
                        service: service.name().to_owned(),
                        instance: went.instance.to_owned(),
                        rests_for_ms: millis(rest),
                    });
                }
            }
            Outcome::Bad | Outcome::Lost | Outcome::Nothing => {}
        }
    }

    #[cold]
    fn breaker_changed(
        &self,
        service: &impl Learns,
        went: Went<'_>,
        state: State,
        retry_in: Duration,
    ) {
        let tool = service.tool(went.slot);
        let (name, instance) = (service.name().to_owned(), went.instance.to_owned());
        if state == State::Closed {
            return self.report(service, || Event::BreakerClosed {
                service: name,
                instance,
                tool,
            });
        }
        service.signals(&self.metrics).opened.inc();
        self.report(service, || Event::BreakerOpened {
            service: name,
            instance,
            tool,
            retry_in_ms: millis(retry_in),
        });
    }

    /// An instance that was ejected gets calls again.
    pub(crate) fn tell_returned(&self, service: &impl Learns, instance: &str) {
        self.report(service, || Event::InstanceReturned {
            service: service.name().to_owned(),
            instance: instance.to_owned(),
        });
    }

    fn report(&self, service: &impl Learns, event: impl FnOnce() -> Event) {
        if service.told().may() {
            self.emit(event());
        }
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
