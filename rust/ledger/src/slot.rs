//! A holder's place in a pool: whether it holds a reservation now, and which.
//!
//! The state word is `generation << 2 | phase`. Every reservation has a generation of its own, so a handle
//! to one that was given back cannot give back the next. It doubles as a sequence lock over the amounts.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};
use std::thread::yield_now;

use crate::amounts::{Amounts, DIMENSIONS};
use crate::books::Books;
use crate::error::Shortage;

const PHASES: u64 = 4;
const FREE: u64 = 0;
/// Somebody is half-way through a change; it takes nanoseconds.
const BUSY: u64 = 1;
const HELD: u64 = 2;

/// Why a slot could not be reserved.
#[derive(Debug)]
pub(crate) enum Denied {
    Held,
    Short(Vec<Shortage>),
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) holder: Box<str>,
    pub(crate) books: Arc<Books>,
    state: AtomicU64,
    amounts: [AtomicU64; DIMENSIONS],
}

impl Slot {
    pub(crate) fn new(holder: &str, books: Arc<Books>) -> Self {
        Self {
            holder: holder.into(),
            books,
            state: AtomicU64::new(FREE),
            amounts: Default::default(),
        }
    }

    /// The state, once nobody is half-way through a change.
    fn settled(&self) -> u64 {
        for turn in 0u32.. {
            let state = self.state.load(Acquire);
            if state % PHASES != BUSY {
                return state;
            }
            if turn < 64 { spin_loop() } else { yield_now() }
        }
        unreachable!("the loop has no end but its return")
    }

    /// Move from a settled phase to busy; returns the generation.
    fn begin(&self, phase: u64, wanted: Option<u64>) -> Option<u64> {
        loop {
            let state = self.settled();
            let generation = state / PHASES;
            if state % PHASES != phase || wanted.is_some_and(|wanted| wanted != generation) {
                return None;
            }
            if self
                .state
                .compare_exchange_weak(state, generation * PHASES + BUSY, AcqRel, Relaxed)
                .is_ok()
            {
                fence(Release);
                return Some(generation);
            }
        }
    }

    /// Reserve; returns the reservation's generation.
    pub(crate) fn reserve(&self, amounts: Amounts) -> Result<u64, Denied> {
        self.reserve_by(amounts, || self.books.take(amounts))
    }

    /// Record a reservation that is in the books already.
    pub(crate) fn record(&self, amounts: Amounts) -> Result<u64, Denied> {
        self.reserve_by(amounts, || Ok(()))
    }

    fn reserve_by(
        &self,
        amounts: Amounts,
        take: impl FnOnce() -> Result<(), Vec<Shortage>>,
    ) -> Result<u64, Denied> {
        let generation = self.begin(FREE, None).ok_or(Denied::Held)?;
        if let Err(short) = take() {
            self.state.store(generation * PHASES + FREE, Release);
            return Err(Denied::Short(short));
        }
        for (cell, amount) in self.amounts.iter().zip(amounts.as_array()) {
            cell.store(amount, Relaxed);
        }
        self.state.store(generation * PHASES + HELD, Release);
        Ok(generation)
    }

    /// Give the reservation back: that of `generation`, or whichever there is. None: there is none.
    pub(crate) fn release(&self, generation: Option<u64>) -> Option<Amounts> {
        let generation = self.begin(HELD, generation)?;
        let amounts = self.load();
        self.books.give(amounts);
        self.state.store((generation + 1) * PHASES + FREE, Release);
        Some(amounts)
    }

    /// What is held now, if anything: of `generation`, or whichever there is.
    pub(crate) fn held(&self, generation: Option<u64>) -> Option<Amounts> {
        loop {
            let state = self.settled();
            if state % PHASES != HELD || generation.is_some_and(|wanted| wanted != state / PHASES) {
                return None;
            }
            let amounts = self.load();
            fence(Acquire);
            if self.state.load(Relaxed) == state {
                return Some(amounts);
            }
        }
    }

    fn load(&self) -> Amounts {
        Amounts::from_array(std::array::from_fn(|d| self.amounts[d].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_given_back_once() {
        let capacity = Amounts {
            memory: 10,
            ..Amounts::default()
        };
        let slot = Slot::new("a", Arc::new(Books::new(capacity)));
        let first = slot.reserve(capacity).unwrap();
        assert!(matches!(slot.reserve(capacity), Err(Denied::Held)));
        assert_eq!(slot.release(Some(first)), Some(capacity));
        assert_eq!(slot.release(Some(first)), None);
        let second = slot.reserve(capacity).unwrap();
        assert_eq!(
            slot.release(Some(first)),
            None,
            "an old handle must not end a new reservation"
        );
        assert_eq!(slot.held(Some(second)), Some(capacity));
        assert_eq!(slot.release(None), Some(capacity));
        assert_eq!(slot.held(None), None);
    }
}
