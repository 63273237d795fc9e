//! The series of one name: found by label values, capped, swept. [`Family`](crate::Family) is their public face.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::Release};

use ahash::RandomState;
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::block::Block;
use crate::definition::{Definition, OVERFLOW};
use crate::error::MetricError;
use crate::intern::Interner;
use crate::series::Series;
use crate::{text, value};

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) definition: Definition,
    hasher: RandomState,
    /// Guards the birth, death and listing of series, never their values: writers of values do not take it.
    slots: RwLock<Slots>,
    /// How many look-ups ended in the overflow series.
    overflowed: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct Slots {
    index: HashTable<Arc<Series>>,
    texts: Interner,
    pub(crate) blocks: Vec<Slice>,
    free: Vec<usize>,
    /// Removed; their cells can be reused once no handle is out.
    retired: Vec<Arc<Series>>,
    /// How many of `retired` had a handle out when last looked at.
    still_out: usize,
}

/// A block and the series that live in it.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) block: Block,
    pub(crate) series: Box<[Option<Arc<Series>>]>,
    /// What the sweep remembers of each series.
    marks: Box<[Mark]>,
    /// Counts births and deaths, so that a cached text knows it is out of date.
    pub(crate) version: u64,
}

/// Bytes of a series beside its own: the index's entry, the slice's, the mark.
#[cfg(test)]
pub(crate) const BESIDE: usize = 2 * size_of::<Arc<Series>>() + size_of::<Mark>();

/// A series as the last sweep saw it.
#[derive(Debug, Default, Clone, Copy)]
struct Mark {
    seen: u64,
    idle: u32,
}

impl Slice {
    fn new(block: Block, series: usize) -> Self {
        let marks = vec![Mark::default(); series].into();
        Self {
            block,
            series: vec![None; series].into(),
            marks,
            version: 0,
        }
    }
}

impl Store {
    pub(crate) fn new(definition: Definition) -> Arc<Self> {
        let store = Arc::new(Self {
            definition,
            hasher: RandomState::new(),
            slots: RwLock::default(),
            overflowed: AtomicU64::new(0),
        });
        if store.definition.labels.is_empty() {
            // A family without labels is one series, and shows its zero from the start.
            let _ = store.series(&[]);
        }
        store
    }

    /// The series with these label values, made if new. Beyond the cap: the overflow series.
    pub(crate) fn series(&self, labels: &[&str]) -> Result<Arc<Series>, MetricError> {
        let expected = self.definition.labels.len();
        if labels.len() != expected {
            let name = self.definition.name.to_string();
            return Err(MetricError::LabelCount {
                name,
                expected,
                given: labels.len(),
            });
        }
        let hash = self.hasher.hash_one(labels);
        if let Some(series) = self
            .slots
            .read()
            .index
            .find(hash, |series| series.is(labels))
        {
            return Ok(Arc::clone(series));
        }
        let mut slots = self.slots.write();
        if let Some(series) = slots.index.find(hash, |series| series.is(labels)) {
            return Ok(Arc::clone(series));
        }
        if slots.index.len() < self.definition.cap {
            return Ok(self.insert(&mut slots, hash, labels));
        }
        self.overflowed.fetch_add(1, Relaxed);
        let labels = vec![OVERFLOW; expected];
        let hash = self.hasher.hash_one(labels.as_slice());
        if let Some(series) = slots.index.find(hash, |series| series.is(&labels)) {
            return Ok(Arc::clone(series));
        }
        Ok(self.insert(&mut slots, hash, &labels))
    }

    fn insert(&self, slots: &mut Slots, hash: u64, labels: &[&str]) -> Arc<Series> {
        let (per_block, width) = (self.definition.series_per_block(), self.definition.width());
        let slot = slots.free.pop().unwrap_or_else(|| {
            let first = slots.blocks.len() * per_block;
            let block = Block::new(width, self.definition.rows());
            slots.blocks.push(Slice::new(block, per_block));
            slots.free.extend((first + 1..first + per_block).rev());
            first
        });
        let slice = &mut slots.blocks[slot / per_block];
        let series = Arc::new(Series {
            block: slice.block.clone(),
            seat: slice.block.seat(slot % per_block),
            hash,
            slot,
            labels: labels.iter().map(|text| slots.texts.intern(text)).collect(),
            text: text::labels(&self.definition.labels, labels),
            gone: AtomicBool::new(false),
        });
        slice.series[slot % per_block] = Some(Arc::clone(&series));
        slice.version += 1;
        slots
            .index
            .insert_unique(hash, Arc::clone(&series), |series| series.hash);
        series
    }

    /// Forget a series. Handles that are still out write to nowhere.
    pub(crate) fn remove(&self, labels: &[&str]) -> bool {
        let hash = self.hasher.hash_one(labels);
        let mut slots = self.slots.write();
        let Ok(entry) = slots.index.find_entry(hash, |series| series.is(labels)) else {
            return false;
        };
        let (series, _) = entry.remove();
        self.retire(&mut slots, series);
        true
    }

    /// Forget every series for which `keep` is false of its label values. Returns how many went.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&[Arc<str>]) -> bool) -> usize {
        let mut slots = self.slots.write();
        let gone: Vec<_> = slots
            .index
            .extract_if(|series| !keep(&series.labels))
            .collect();
        let count = gone.len();
        for series in gone {
            self.retire(&mut slots, series);
        }
        count
    }

    /// Forget the series that nobody has a handle to and whose value stood still through `keep_for` sweeps.
    pub(crate) fn sweep(&self, keep_for: u32) -> usize {
        let mut slots = self.slots.write();
        Self::reclaim(&mut slots);
        if self.definition.labels.is_empty() {
            return 0;
        }
        let mut gone = Vec::new();
        for slice in &mut slots.blocks {
            for (series, mark) in slice.series.iter().zip(&mut slice.marks) {
                let Some(series) = series else { continue };
                let now = value::fingerprint(&self.definition, series);
                mark.idle = if mark.seen == now { mark.idle + 1 } else { 0 };
                mark.seen = now;
                // Two references are our own: the index's and the slice's.
                if mark.idle >= keep_for && Arc::strong_count(series) == 2 {
                    gone.push(Arc::clone(series));
                }
            }
        }
        for series in &gone {
            if let Ok(entry) = slots
                .index
                .find_entry(series.hash, |other| Arc::ptr_eq(other, series))
            {
                entry.remove();
            }
        }
        let count = gone.len();
        for series in gone {
            self.retire(&mut slots, series);
        }
        count
    }

    /// Take a series, already out of the index, out of its slice too.
    fn retire(&self, slots: &mut Slots, series: Arc<Series>) {
        series.gone.store(true, Release);
        let per_block = self.definition.series_per_block();
        let slice = &mut slots.blocks[series.slot / per_block];
        slice.series[series.slot % per_block] = None;
        slice.marks[series.slot % per_block] = Mark::default();
        slice.version += 1;
        slots.retired.push(series);
        // Amortised: a burst of removals looks at each retired series a constant number of times.
        if slots.retired.len() >= 2 * slots.still_out + 16 {
            Self::reclaim(slots);
        }
    }

    /// Free the cells of removed series that no handle points to any more.
    fn reclaim(slots: &mut Slots) {
        let Slots {
            free,
            retired,
            texts,
            ..
        } = slots;
        retired.retain(|series| {
            let out = Arc::strong_count(series) > 1;
            if !out {
                series.block.clear(series.seat);
                texts.release(&series.labels);
                free.push(series.slot);
            }
            out
        });
        slots.still_out = slots.retired.len();
    }

    /// The blocks, for as long as the guard lives: no series is born or dies meanwhile.
    pub(crate) fn slots(&self) -> RwLockReadGuard<'_, Slots> {
        self.slots.read()
    }

    /// Every series there is now, in no order that means anything.
    pub(crate) fn all(&self) -> Vec<Arc<Series>> {
        let slots = self.slots.read();
        slots
            .blocks
            .iter()
            .flat_map(|slice| slice.series.iter().flatten().cloned())
            .collect()
    }

    /// How many series there are, the overflow series included.
    pub(crate) fn len(&self) -> usize {
        self.slots.read().index.len()
    }

    /// How many look-ups found the family full.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Relaxed)
    }
}
