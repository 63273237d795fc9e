//! The books of a pool whose capacities do not fit into one word: a lock for takers, none for readers.

use std::sync::atomic::Ordering::{Acquire, Release};

use crate::amounts::DIMENSIONS;
use crate::error::Short;
use crate::sequence::Sequence;
use crate::sync::{AtomicU64, Mutex};

#[derive(Debug)]
pub(crate) struct Wide {
    /// One writer at a time; held for some loads and stores.
    writing: Mutex<()>,
    /// Over `used` and `capacity` together.
    sequence: Sequence,
    used: [AtomicU64; DIMENSIONS],
    capacity: [AtomicU64; DIMENSIONS],
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
            writing: Mutex::new(()),
            sequence: Sequence::default(),
            used: Default::default(),
            capacity: capacity.map(AtomicU64::new),
        }
    }

    pub(crate) fn take(&self, want: [u64; DIMENSIONS]) -> Result<(), Short> {
        let _one = self.writing.lock();
        let used = load(&self.used);
        check(want, used, load(&self.capacity))?;
        let after = std::array::from_fn(|d| used[d] + want[d]);
        self.sequence.write(|| store(&self.used, after));
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
        let _one = self.writing.lock();
        let (before, capacity) = (load(&self.used), load(&self.capacity));
        let mut used = before;
        for (want, granted) in wants.iter().zip(granted) {
            *granted = check(*want, used, capacity).is_ok();
            if *granted {
                used = std::array::from_fn(|d| used[d] + want[d]);
            }
        }
        self.sequence.write(|| store(&self.used, used));
        std::array::from_fn(|d| used[d] - before[d])
    }

    pub(crate) fn give(&self, amounts: [u64; DIMENSIONS]) {
        let _one = self.writing.lock();
        let used = load(&self.used);
        let after = std::array::from_fn(|d| used[d] - amounts[d]);
        self.sequence.write(|| store(&self.used, after));
    }

    pub(crate) fn read(&self) -> ([u64; DIMENSIONS], [u64; DIMENSIONS]) {
        self.sequence
            .read(|| (load(&self.used), load(&self.capacity)))
    }

    pub(crate) fn resize(&self, capacity: [u64; DIMENSIONS]) -> [u64; DIMENSIONS] {
        let _one = self.writing.lock();
        self.sequence.write(|| store(&self.capacity, capacity));
        load(&self.used)
    }
}
