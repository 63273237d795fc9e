//! What is learnt from how a call went: of the tool's breaker, of the instance, and who is told.

use std::sync::Arc;
use std::time::Duration;

use backstay_traffic::State;

use super::choose::Chosen;
use super::instance::Instance;
use super::server::Server;
use crate::core::Core;
use crate::event::Event;
use crate::traffic::{Outcome, Slot, Traffic, now};

impl Core {
    /// A call that went to this instance went so.
    pub(crate) fn learn(
        &self,
        server: &Server,
        traffic: &Traffic,
        (to, epoch): (&Chosen, u64),
        slot: Slot,
        outcome: Outcome,
    ) {
        let now = now();
        if let Some(lane) = &to.lane
            && let Some(state) = lane.record(outcome, epoch, now)
        {
            let retry_in = lane.breaker.opens_in(now).unwrap_or_default();
            self.breaker_changed(server, &to.instance, slot, state, retry_in);
        }
        if let Some(config) = &traffic.ejection {
            self.judge(server, &to.instance, config, outcome);
        }
    }

    /// Where there are others, an instance that fails too often in a row rests.
    fn judge(
        &self,
        server: &Server,
        instance: &Arc<Instance>,
        config: &backstay_traffic::EjectionConfig,
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Good => instance.health.ejection.success(),
            Outcome::Bad if server.instances().len() > 1 => {
                if let Some(rest) = instance.health.ejection.failure(config, now()) {
                    server.signals(&self.metrics).ejections.inc();
                    self.report(server, || Event::InstanceEjected {
                        service: server.service.to_string(),
                        instance: instance.name.to_string(),
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
        server: &Server,
        instance: &Instance,
        slot: Slot,
        state: State,
        retry_in: Duration,
    ) {
        let service = server.service.to_string();
        let instance = instance.name.to_string();
        let tool = server.tool_of(slot).map(|tool| tool.to_string());
        if state == State::Closed {
            return self.report(server, || Event::BreakerClosed {
                service,
                instance,
                tool,
            });
        }
        server.signals(&self.metrics).opened.inc();
        self.report(server, || Event::BreakerOpened {
            service,
            instance,
            tool,
            retry_in_ms: millis(retry_in),
        });
    }

    /// An instance that was ejected gets calls again.
    pub(super) fn tell_returned(&self, server: &Server, instance: &Instance) {
        self.report(server, || Event::InstanceReturned {
            service: server.service.to_string(),
            instance: instance.name.to_string(),
        });
    }

    fn report(&self, server: &Server, event: impl FnOnce() -> Event) {
        if server.told.may() {
            self.emit(event());
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
