//! What keeps calls from instances now, for whoever asks how the fleet is: breakers that are not closed, and
//! instances that rest. Events tell when it begins and ends (`learn.rs`), metrics how often.

use std::time::Duration;

use backstay_traffic::State;
use serde::Serialize;

use super::learn::{Learns, millis};
use super::{Health, now};

/// Breakers that are named of one instance; more are as many lines that nobody reads.
const MOST: usize = 20;

/// One thing that keeps calls from an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The instance.
    pub instance: String,
    /// The tool whose breaker it is; none for all that is no tool, and for an instance that rests.
    pub tool: Option<String>,
    /// What it is.
    pub kind: TroubleKind,
    /// When the next call may try it.
    pub retry_in_ms: u64,
}

/// See [`Trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// A breaker lets nothing through.
    Open,
    /// A breaker has let one call through, to see how it goes.
    HalfOpen,
    /// The instance rests, and others get its calls.
    Ejected,
}

/// What is the matter with one instance.
pub(crate) fn troubles(service: &impl Learns, instance: &str, health: &Health) -> Vec<Trouble> {
    let now = now();
    let trouble = |tool, kind, wait: Option<Duration>| Trouble {
        instance: instance.to_owned(),
        tool,
        kind,
        retry_in_ms: millis(wait.unwrap_or_default()),
    };
    let rests = health.ejection.is_out(now).then(|| {
        let wait = health.ejection.rests_for(now);
        trouble(None, TroubleKind::Ejected, wait)
    });
    let breakers = health.troubled().into_iter().take(MOST);
    let breakers = breakers.map(|(slot, lane)| {
        let kind = match lane.breaker.state() {
            State::HalfOpen => TroubleKind::HalfOpen,
            State::Open | State::Closed => TroubleKind::Open,
        };
        trouble(service.tool(slot), kind, lane.breaker.opens_in(now))
    });
    rests.into_iter().chain(breakers).collect()
}
