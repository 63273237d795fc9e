//! The books of a pool whose capacities do not fit into one word: a lock for takers, none for readers.

use std::sync::atomic::Ordering::{Acquire, Release};

use crate::amounts::DIMENSIONS;
use crate::error::Short;
use crate::sequence::Sequence;
use crate::sync::{AtomicU64, Mutex};

#[derive(Debug)]
pub(crate) struct Wide {
    /// One writer at a time; held for some loads and stores.
    writing: Mutex<Written>,
    /// Over `used` and `capacity` together, which are what was written, for readers.
    sequence: Sequence,
    used: [AtomicU64; DIMENSIONS],
    capacity: [AtomicU64; DIMENSIONS],
}

#[derive(Debug, Default)]
struct Written {
    used: [u64; DIMENSIONS],
    capacity: [u64; DIMENSIONS],
    turn: u64,
}

fn load(cells: &[AtomicU64; DIMENSIONS]) -> [u64; DIMENSIONS] {
    std::array::from_fn(|d| cells[d].load(Acquire))
}

fn store(cells: &[AtomicU64; DIMENSIONS], amounts: [u64; DIMENSIONS]) {
    for (cell, amount) in cells.iter().zip(amounts) {
        cell.store(amount, Release);
    }
}

fn check(
    want: [u64; DIMENSIONS],
    used: [u64; DIMENSIONS],
    capacity: [u64; DIMENSIONS],
) -> Result<(), Short> {
    let free: [u64; DIMENSIONS] = std::array::from_fn(|d| capacity[d].saturating_sub(used[d]));
    if (0..DIMENSIONS).all(|d| want[d] <= free[d]) {
        return Ok(());
    }
    Err(Short {
        want,
        free,
        capacity,
    })
}

impl Wide {
    pub(crate) fn new(capacity: [u64; DIMENSIONS]) -> Self {
        Self {
            writing: Mutex::new(Written {
                capacity,
                ..Written::default()
            }),
            sequence: Sequence::default(),
            used: Default::default(),
            capacity: capacity.map(AtomicU64::new),
        }
    }

    fn set_used(&self, written: &mut Written, used: [u64; DIMENSIONS]) {
        written.used = used;
        let set = || store(&self.used, used);
        self.sequence.write(&mut written.turn, set);
    }

    pub(crate) fn take(&self, want: [u64; DIMENSIONS]) -> Result<(), Short> {
        let mut written = self.writing.lock();
        let used = written.used;
        check(want, used, written.capacity)?;
        self.set_used(&mut written, std::array::from_fn(|d| used[d] + want[d]));
        Ok(())
    }

    pub(crate) fn check(&self, want: [u64; DIMENSIONS]) -> Result<(), Short> {
        let (used, capacity) = self.read();
        check(want, used, capacity)
    }

    pub(crate) fn take_each(
        &self,
        wants: &[[u64; DIMENSIONS]],
        granted: &mut [bool],
    ) -> [u64; DIMENSIONS] {
        let mut written = self.writing.lock();
        let before = written.used;
        let mut used = before;
        for (want, granted) in wants.iter().zip(granted) {
            *granted = check(*want, used, written.capacity).is_ok();
            if *granted {
                used = std::array::from_fn(|d| used[d] + want[d]);
            }
        }
        self.set_used(&mut written, used);
        std::array::from_fn(|d| used[d] - before[d])
    }

    pub(crate) fn give(&self, amounts: [u64; DIMENSIONS]) {
        let mut written = self.writing.lock();
        let used = written.used;
        let after = std::array::from_fn(|d| used[d] - amounts[d]);
        self.set_used(&mut written, after);
    }

    pub(crate) fn read(&self) -> ([u64; DIMENSIONS], [u64; DIMENSIONS]) {
        self.sequence
            .read(|| (load(&self.used), load(&self.capacity)))
    }

    pub(crate) fn resize(&self, capacity: [u64; DIMENSIONS]) -> [u64; DIMENSIONS] {
        let mut written = self.writing.lock();
        written.capacity = capacity;
        let set = || store(&self.capacity, capacity);
        self.sequence.write(&mut written.turn, set);
        written.used
    }
}
