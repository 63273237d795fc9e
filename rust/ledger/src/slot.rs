//! A holder's place in a pool: whether it holds a reservation now, and which.
//!
//! The state word is `generation << 2 | phase`. Every reservation has a generation of its own, so a handle
//! to one that was given back cannot give back the next. It doubles as a sequence lock over the amounts.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Arc, Weak};

use crate::amounts::{Amounts, DIMENSIONS};
use crate::books::Parcel;
use crate::names::Names;
use crate::scope::{Refused, Scope};
use crate::sequence::pause;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize};

const PHASES: u64 = 4;
const FREE: u64 = 0;
/// Somebody is half-way through a change; it takes nanoseconds, with a batch some microseconds.
const BUSY: u64 = 1;
const HELD: u64 = 2;

/// Why a slot could not be reserved.
#[derive(Debug)]
pub(crate) enum Denied {
    Held,
    Short(Box<Refused>),
}

#[derive(Debug)]
pub(crate) struct Slot {
    state: AtomicU64,
    /// The parcel that is held, as the scope's books count it.
    parcel: [AtomicU64; DIMENSIONS],
    pub(crate) scope: Arc<Scope>,
    pub(crate) holder: Arc<str>,
    /// Where its name stands, for when it holds nothing any more.
    pub(crate) names: Weak<Names>,
    /// Whether its name is remembered while it holds nothing; see [`Names`].
    pub(crate) kept: AtomicBool,
    /// Handles that may reserve again. While there are any, the name stays.
    pub(crate) claims: AtomicUsize,
}

impl Slot {
    pub(crate) fn new(holder: Arc<str>, scope: Arc<Scope>, names: Weak<Names>) -> Self {
        Self {
            // 0 is no generation, so that a handle to nothing can be told.
            state: AtomicU64::new(PHASES + FREE),
            parcel: Default::default(),
            scope,
            holder,
            names,
            kept: AtomicBool::new(false),
            claims: AtomicUsize::new(0),
        }
    }

    /// Move from a settled phase to busy; returns the generation.
    #[inline]
    fn begin(&self, phase: u64, wanted: Option<u64>) -> Option<u64> {
        let mut turn = 0;
        loop {
            let state = self.state.load(Acquire);
            let generation = state / PHASES;
            if state % PHASES == BUSY {
                turn = pause(turn);
            } else if state % PHASES != phase || wanted.is_some_and(|wanted| wanted != generation) {
                return None;
            } else if self
                .state
                .compare_exchange(state, generation * PHASES + BUSY, AcqRel, Relaxed)
                .is_ok()
            {
                return Some(generation);
            }
        }
    }

    /// Reserve; returns the reservation's generation.
    #[inline]
    pub(crate) fn reserve(&self, parcel: Parcel) -> Result<u64, Denied> {
        let generation = self.begin(FREE, None).ok_or(Denied::Held)?;
        if let Err(refused) = self.scope.take(parcel) {
            self.state.store(generation * PHASES + FREE, Release);
            return Err(Denied::Short(refused));
        }
        self.store(parcel);
        self.state.store(generation * PHASES + HELD, Release);
        Ok(generation)
    }

    /// Record a reservation that is in the books already; `None` if there is one.
    pub(crate) fn record(&self, parcel: Parcel) -> Option<u64> {
        let generation = self.begin(FREE, None)?;
        self.store(parcel);
        self.state.store(generation * PHASES + HELD, Release);
        Some(generation)
    }

    /// Change what the reservation of `generation` holds; nobody sees it half-way. None: there is none.
    pub(crate) fn change(
        &self,
        generation: u64,
        change: impl FnOnce(Amounts) -> Amounts,
    ) -> Option<()> {
        let generation = self.begin(HELD, Some(generation))?;
        let amounts = change(self.scope.amounts(self.load()));
        // What is held was admitted, so there is a parcel of it.
        if let Ok(parcel) = self.scope.parcel(amounts) {
            self.store(parcel);
        }
        self.state.store(generation * PHASES + HELD, Release);
        Some(())
    }

    /// Give the reservation back: that of `generation`, or whichever there is. None: there is none.
    #[inline]
    pub(crate) fn release(&self, generation: Option<u64>) -> Option<Parcel> {
        let generation = self.begin(HELD, generation)?;
        let parcel = self.load();
        self.scope.give(parcel);
        self.state.store((generation + 1) * PHASES + FREE, Release);
        Some(parcel)
    }

    /// [`release`](Self::release), and see to the name.
    #[inline]
    pub(crate) fn give_back(self: &Arc<Self>, generation: Option<u64>) -> bool {
        let held = self.release(generation).is_some();
        if held && !self.kept.load(Relaxed) {
            self.retire();
        }
        held
    }

    /// Let the name be forgotten, sooner or later, unless it holds something again.
    #[cold]
    pub(crate) fn retire(self: &Arc<Self>) {
        if let Some(names) = self.names.upgrade() {
            names.keep(self);
        }
    }

    /// What is held now, if anything: of `generation`, or whichever there is.
    pub(crate) fn held(&self, generation: Option<u64>) -> Option<Amounts> {
        let mut turn = 0;
        loop {
            let state = self.state.load(Acquire);
            if state % PHASES == BUSY {
                turn = pause(turn);
                continue;
            }
            if state % PHASES != HELD || generation.is_some_and(|wanted| wanted != state / PHASES) {
                return None;
            }
            let parcel = self.load();
            if self.state.load(Relaxed) == state {
                return Some(self.scope.amounts(parcel));
            }
        }
    }

    /// Whether it holds nothing, and nobody is half-way through a change of that.
    pub(crate) fn is_free(&self) -> bool {
        self.state.load(Acquire) % PHASES == FREE
    }

    #[inline]
    fn load(&self) -> Parcel {
        Parcel(std::array::from_fn(|i| self.parcel[i].load(Acquire)))
    }

    #[inline]
    fn store(&self, parcel: Parcel) {
        for (cell, part) in self.parcel.iter().zip(parcel.0) {
            cell.store(part, Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_given_back_once() {
        let capacity = Amounts {
            memory: 10,
            ..Amounts::default()
        };
        let scope = Arc::new(Scope::new("p", capacity));
        let all = scope.parcel(capacity).unwrap();
        let slot = Slot::new("a".into(), scope, Weak::new());
        let first = slot.reserve(all).unwrap();
        assert!(matches!(slot.reserve(all), Err(Denied::Held)));
        assert_eq!(slot.release(Some(first)), Some(all));
        assert_eq!(slot.release(Some(first)), None);
        let second = slot.reserve(all).unwrap();
        assert_eq!(
            slot.release(Some(first)),
            None,
            "an old handle must not end a new reservation"
        );
        assert_eq!(slot.held(Some(second)), Some(capacity));
        assert_eq!(slot.change(first, |held| held), None);
        assert_eq!(slot.release(None), Some(all));
        assert_eq!(slot.held(None), None);
    }
}
