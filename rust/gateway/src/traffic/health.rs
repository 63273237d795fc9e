//! What is known of one instance from how its calls went: a breaker for each of its tools, whether it is ejected,
//! and since when it is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use backstay_mcp::CallError;
use backstay_traffic::{Breaker, BreakerConfig, Ejection, State, Time};
use parking_lot::RwLock;

use super::Slot;

/// How a call went, as far as it tells of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It answered, with a result or an error of its own.
    Good,
    /// It did not answer, or not so that it could be understood.
    Bad,
    /// The connection ended under it, and under all others that it carried.
    Lost,
    /// It tells nothing.
    Nothing,
}

impl Outcome {
    /// What this error tells.
    pub(crate) fn of(error: &CallError) -> Self {
        match error {
            CallError::TimedOut { .. }
            | CallError::Overloaded { .. }
            | CallError::BadResult { .. }
            | CallError::UnknownResult { .. }
            | CallError::Unreachable { .. }
            | CallError::NoAnswer { .. } => Self::Bad,
            CallError::Http { status, .. } if *status >= 500 => Self::Bad,
            CallError::Closed { sent: true, .. } => Self::Lost,
            CallError::AnswerTooLarge { .. } => Self::Good,
            CallError::Closed { sent: false, .. }
            | CallError::Http { .. }
            | CallError::TooLarge { .. }
            | CallError::Cancelled => Self::Nothing,
        }
    }
}

/// One tool of one instance.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) breaker: Breaker,
    /// The connection whose end was counted last. It fails everything on it at once, and counts once.
    lost: AtomicU64,
}

impl Lane {
    /// Counts how a call went that was sent over this connection. Returns what that made of the breaker.
    pub(crate) fn record(&self, outcome: Outcome, epoch: u64, now: Time) -> Option<State> {
        let opened = match outcome {
            Outcome::Good => return self.breaker.success(now).then_some(State::Closed),
            Outcome::Bad => self.breaker.failure(now),
            Outcome::Lost => self.lost.swap(epoch, Relaxed) != epoch && self.breaker.failure(now),
            Outcome::Nothing => false,
        };
        opened.then_some(State::Open)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) ejection: Ejection,
    /// When it became ready.
    since: AtomicU64,
    /// By [`Slot`], from its first call on. Held for one look, or to add one.
    lanes: RwLock<Vec<Option<Arc<Lane>>>>,
}

impl Health {
    /// The breaker of a tool.
    pub(crate) fn lane(&self, slot: Slot, config: BreakerConfig) -> Arc<Lane> {
        if let Some(Some(lane)) = self.lanes.read().get(slot) {
            return Arc::clone(lane);
        }
        let mut lanes = self.lanes.write();
        if lanes.len() <= slot {
            lanes.resize(slot + 1, None);
        }
        let fresh = || {
            Arc::new(Lane {
                breaker: Breaker::new(config),
                lost: AtomicU64::new(0),
            })
        };
        Arc::clone(lanes[slot].get_or_insert_with(fresh))
    }

    /// The tools whose breakers are not closed.
    pub(crate) fn troubled(&self) -> Vec<(Slot, Arc<Lane>)> {
        let lanes = self.lanes.read();
        let troubled = |(slot, lane): (Slot, &Option<Arc<Lane>>)| {
            let lane = lane.as_ref()?;
            (lane.breaker.state() != State::Closed).then(|| (slot, Arc::clone(lane)))
        };
        lanes.iter().enumerate().filter_map(troubled).collect()
    }

    /// There are other rules for breakers now.
    pub(crate) fn forget_breakers(&self) {
        self.lanes.write().clear();
    }

    /// It is ready: a new process, or a new connection. What it is known for may be tried at once.
    /// True where it was ejected.
    pub(crate) fn begins(&self, now: Time) -> bool {
        self.since.store(now.0, Relaxed);
        for lane in self.lanes.read().iter().flatten() {
            lane.breaker.try_now(now);
        }
        self.ejection.forget()
    }

    /// When it became ready.
    pub(crate) fn since(&self) -> Time {
        Time(self.since.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_ends_counts_once_however_many_calls_it_carried() {
        let health = Health::default();
        let config = BreakerConfig::default();
        let lane = health.lane(1, config);
        let lose = |epoch| lane.record(Outcome::Lost, epoch, Time(1));
        assert!((0..100).all(|_| lose(1).is_none()));
        assert!([2, 3, 4].into_iter().all(|epoch| lose(epoch).is_none()));
        assert_eq!(lose(5), Some(State::Open));
        let troubled = health.troubled();
        let troubled: Vec<_> = troubled
            .iter()
            .map(|(slot, lane)| (*slot, lane.breaker.state()))
            .collect();
        assert_eq!(troubled, [(1, State::Open)]);
        // The next process may be tried at once.
        assert!(lane.breaker.opens_in(Time(2)).is_some());
        health.begins(Time(2));
        assert!(lane.breaker.opens_in(Time(2)).is_none());
        assert!(lane.breaker.check(Time(2)).is_ok());
    }
}
