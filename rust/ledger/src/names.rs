//! The holders of a pool by name.
//!
//! A name that has given everything back is remembered for a while, so that reserving again allocates nothing;
//! but only so many are, oldest forgotten first, so that asking who holds what costs what the answer is long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ahash::RandomState;
use dashmap::DashMap;

use crate::amounts::Amounts;

use crate::scope::Scope;
use crate::slot::Slot;
use crate::sync::Mutex;

/// Names without a reservation that are remembered at most, beside those that a claim keeps.
pub(crate) const REMEMBERED: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Names {
    slots: DashMap<Arc<str>, Arc<Slot>, RandomState>,
    /// Guards which names are remembered. Taken when a name gives back that is not remembered yet; never while
    /// a shard of `slots` is locked.
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Remembered names, oldest first; some may hold something again.
    kept: VecDeque<Arc<Slot>>,
    /// How many were forgotten since the map last gave room back.
    forgotten: usize,
}

impl Names {
    /// Do something with the slot of `holder`, which is made if it has none. Its name cannot be forgotten
    /// meanwhile: a shard of the map is locked for reading.
    #[inline]
    pub(crate) fn with<T>(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        holder: &str,
        act: impl FnOnce(&Arc<Slot>) -> T,
    ) -> T {
        if let Some(slot) = self.slots.get(holder) {
            return act(&slot);
        }
        self.with_new(scope, holder, act)
    }

    #[cold]
    fn with_new<T>(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        holder: &str,
        act: impl FnOnce(&Arc<Slot>) -> T,
    ) -> T {
        let name: Arc<str> = holder.into();
        let entry = self.slots.entry(Arc::clone(&name));
        let slot = entry.or_insert_with(|| {
            let slot = Slot::new(name, Arc::clone(scope), Arc::downgrade(self));
            Arc::new(slot)
        });
        act(&slot)
    }

    /// Give back what `holder` holds. False: it holds nothing.
    #[inline]
    pub(crate) fn release(&self, holder: &str) -> bool {
        let Some(slot) = self.slots.get(holder) else {
            return false;
        };
        if slot.release(None).is_none() {
            return false;
        }
        if !slot.kept.load(Relaxed) {
            let slot = {
                let unlocked = Arc::clone(&slot);
                drop(slot);
                unlocked
            };
            self.keep(&slot);
        }
        true
    }

    /// What `holder` holds.
    pub(crate) fn held(&self, holder: &str) -> Option<Amounts> {
        self.slots.get(holder).and_then(|slot| slot.held(None))
    }

    /// Remember a name that holds nothing now, and forget the oldest in its place.
    ///
    /// Every slot comes here that may be free and is not kept: after a return, or when it was made for a
    /// reservation that was refused.
    pub(crate) fn keep(&self, slot: &Arc<Slot>) {
        let mut idle = self.idle.lock();
        if slot.kept.load(Relaxed) {
            return;
        }
        slot.kept.store(true, Relaxed);
        idle.kept.push_back(Arc::clone(slot));
        if idle.kept.len() <= REMEMBERED {
            return;
        }
        let Some(oldest) = idle.kept.pop_front() else {
            return;
        };
        // Before the look at whether it is free: should it come back meanwhile, its return comes here again.
        oldest.kept.store(false, Relaxed);
        let gone = self.slots.remove_if(&*oldest.holder, |_, slot| {
            Arc::ptr_eq(slot, &oldest) && slot.is_free() && slot.claims.load(Relaxed) == 0
        });
        idle.forgotten += usize::from(gone.is_some());
        if idle.forgotten.is_multiple_of(REMEMBERED) && idle.forgotten > self.slots.len() {
            // A walk costs what the map has room for, not what is in it.
            self.slots.shrink_to_fit();
            idle.forgotten = 0;
        }
    }

    /// See to a name whose reservation was refused: it may be new.
    pub(crate) fn tidy(&self, holder: &str) {
        let slot = self.slots.get(holder).map(|slot| Arc::clone(&slot));
        if let Some(slot) = slot.filter(|slot| !slot.kept.load(Relaxed) && slot.is_free()) {
            self.keep(&slot);
        }
    }

    /// Everyone who holds something.
    pub(crate) fn for_each(&self, mut see: impl FnMut(&str, Amounts)) {
        for slot in &self.slots {
            if let Some(amounts) = slot.held(None) {
                see(&slot.holder, amounts);
            }
        }
    }

    /// How many names are remembered, whether they hold something or not.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
