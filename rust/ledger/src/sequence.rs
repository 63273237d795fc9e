//! Reading several words as they were at one moment, without a lock.
//!
//! A writer makes the number odd, changes the words, and makes it even again. A reader that finds the same
//! even number before and after has seen no change half-way; it never makes a writer wait. Writers must
//! exclude one another by other means, store with `Release`, and readers load with `Acquire`. They remember what they
//! stored instead of loading it: loom takes a writer's own load for the last that could matter, and would then not
//! try it between the loads of a reader.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::sync::{AtomicU64, spin_loop, yield_now};

/// Turns that a reader spins before it lets others run.
const SPINS: u32 = 64;

#[derive(Debug, Default)]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    /// What `load` gives while no writer is at work.
    pub(crate) fn read<T>(&self, load: impl Fn() -> T) -> T {
        let mut turn = 0;
        loop {
            let before = self.0.load(Acquire);
            if before & 1 == 0 {
                let value = load();
                if self.0.load(Relaxed) == before {
                    return value;
                }
            }
            turn = pause(turn);
        }
    }

    /// Change what `read` reads. One writer at a time; `turn` begins at 0 and is handed from each to the next.
    pub(crate) fn write<T>(&self, turn: &mut u64, change: impl FnOnce() -> T) -> T {
        self.0.store(*turn + 1, Relaxed);
        let value = change();
        *turn += 2;
        self.0.store(*turn, Release);
        value
    }
}

/// Wait a moment for another thread: some turns on the processor, then by giving it up.
pub(crate) fn pause(turn: u32) -> u32 {
    if turn < SPINS {
        spin_loop();
    } else {
        yield_now();
    }
    turn.saturating_add(1)
}
