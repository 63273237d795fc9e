//! The requests of one client that are in flight, and those that it called off before they came.
//!
//! A client that calls a request off at once may be heard in the other order: each of its messages can travel on a
//! connection of its own. So a cancellation of what is not in flight is kept for a moment. It may also be of a request
//! that has just ended, whose id no client uses again in its session.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use std::sync::Arc;
use std::time::Duration;

use ahash::HashMap;
use backstay_mcp::RawJson;
use tokio::time::Instant;

use crate::call::Call;

/// How much later than its cancellation a request may come.
const EARLY: Duration = Duration::from_secs(1);
/// Cancellations that are kept; the oldest goes when there is no room.
const EARLY_MOST: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct InFlight {
    /// By the request's id as it was spelled.
    calls: HashMap<RawJson, Arc<Call>>,
    /// Oldest first.
    early: VecDeque<(Instant, RawJson)>,
}

/// Why a request cannot be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// One with the same id is in flight.
    SameId,
    /// So many are in flight.
    TooMany,
}

impl InFlight {
    pub(super) fn begin(&mut self, call: &Arc<Call>, most: usize) -> Result<(), Busy> {
        if self.calls.len() >= most {
            return Err(Busy::TooMany);
        }
        match self.calls.entry(call.id.clone()) {
            Entry::Occupied(_) => return Err(Busy::SameId),
            Entry::Vacant(entry) => entry.insert(Arc::clone(call)),
        };
        if !self.early.is_empty() && self.came_early(&call.id) {
            call.cancel();
        }
        Ok(())
    }

    pub(super) fn end(&mut self, id: &RawJson) {
        self.calls.remove(id);
    }

    /// The request of this id, which is called off. Where there is none, it is when it comes.
    pub(super) fn called_off(&mut self, id: &RawJson) -> Option<Arc<Call>> {
        let call = self.calls.get(id).cloned();
        if call.is_none() {
            self.forget_early();
            if self.early.len() >= EARLY_MOST {
                self.early.pop_front();
            }
            self.early.push_back((Instant::now() + EARLY, id.clone()));
        }
        call
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.calls.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    #[cold]
    fn came_early(&mut self, id: &RawJson) -> bool {
        self.forget_early();
        let found = self.early.iter().position(|(_, early)| early == id);
        found.and_then(|at| self.early.remove(at)).is_some()
    }

    fn forget_early(&mut self) {
        let now = Instant::now();
        while self.early.front().is_some_and(|(until, _)| *until <= now) {
            self.early.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use backstay_mcp::CallTag;

    use super::*;
    use crate::session::{Scope, Session};

    fn id(number: usize) -> RawJson {
        RawJson::parse(number.to_string()).unwrap()
    }

    fn call(number: usize) -> Arc<Call> {
        let object = || RawJson::EMPTY_OBJECT;
        let session = Session::passing(1, 1, Scope::Fleet, object(), object(), None);
        let tag = CallTag {
            session: 1,
            call: 1,
        };
        Call::new(session, id(number), tag, false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_behind_its_cancellation_is_called_off() {
        let mut calls = InFlight::default();
        assert!(calls.called_off(&id(1)).is_none());
        let (one, two) = (call(1), call(2));
        calls.begin(&two, 9).unwrap();
        calls.begin(&one, 9).unwrap();
        assert!(one.is_called_off() && !two.is_called_off());
        // It counts once.
        calls.end(&id(1));
        let again = call(1);
        calls.begin(&again, 9).unwrap();
        assert!(!again.is_called_off());
    }

    #[tokio::test(start_paused = true)]
    async fn an_early_cancellation_is_kept_for_a_moment() {
        let mut calls = InFlight::default();
        calls.called_off(&id(1));
        tokio::time::advance(EARLY).await;
        let late = call(1);
        calls.begin(&late, 9).unwrap();
        assert!(!late.is_called_off());
        assert!(calls.early.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_early_cancellations_the_newest_are_kept() {
        let mut calls = InFlight::default();
        for number in 0..=EARLY_MOST {
            calls.called_off(&id(number));
        }
        assert_eq!(calls.early.len(), EARLY_MOST);
        let (first, last) = (call(0), call(EARLY_MOST));
        calls.begin(&first, 9).unwrap();
        calls.begin(&last, 9).unwrap();
        assert!(!first.is_called_off() && last.is_called_off());
    }
}
