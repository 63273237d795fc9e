//! When entries end: a hierarchical timer wheel that turns with the cache's own operations.
//!
//! There is no sweeper thread. Each operation takes out a bounded number of entries that are due; whether a
//! particular entry may still be given out is decided exactly, by its deadline, whatever the wheel has come to. An
//! entry that is used moves its idle deadline only; the wheel finds out when it gets there.
//!
//! Times are milliseconds on a clock of the caller's. A shelf without deadlines has no timers and pays nothing.

use crate::residents::Place;

const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Seven levels of 64 reach 139 years.
const LEVELS: usize = 7;
const FARTHEST: u64 = (1 << (LEVEL_BITS * 7)) - 1;
const NOBODY: Place = u32::MAX;
const NOWHERE: u16 = u16::MAX;
const NEVER: u64 = u64::MAX;

/// How long an entry may stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Milliseconds from being set.
    pub ttl_ms: Option<u64>,
    /// Milliseconds from being used last.
    pub idle_ms: Option<u64>,
}

impl Lifetime {
    /// For as long as there is room.
    pub const UNLIMITED: Self = Self {
        ttl_ms: None,
        idle_ms: None,
    };
}

#[derive(Clone, Copy)]
struct Timer {
    /// When it ends however often it is used.
    expires: u64,
    /// When it ends if it is not used before.
    idle_until: u64,
    idle: u64,
    prev: Place,
    next: Place,
    slot: u16,
}

const UNSET: Timer = Timer {
    expires: NEVER,
    idle_until: NEVER,
    idle: NEVER,
    prev: NOBODY,
    next: NOBODY,
    slot: NOWHERE,
};

impl Timer {
    fn deadline(&self) -> u64 {
        self.expires.min(self.idle_until)
    }
}

/// The deadlines of a shelf's entries.
pub(crate) struct Expiry {
    /// By place; empty until the first deadline is set.
    timers: Vec<Timer>,
    heads: Box<[Place]>,
    occupied: [u64; LEVELS],
    /// A slot whose time has come and that was not emptied yet, when a budget ended in the middle of it. Nothing is
    /// added to it: what is to go on waiting stands lower.
    begun: Option<usize>,
    /// Everything due before this was taken out.
    now: u64,
}

impl Expiry {
    pub(crate) fn new() -> Self {
        Self {
            timers: Vec::new(),
            heads: Box::default(),
            occupied: [0; LEVELS],
            begun: None,
            now: 0,
        }
    }

    /// Whether no entry ever had a deadline.
    #[inline]
    pub(crate) fn unused(&self) -> bool {
        self.timers.is_empty()
    }

    /// Set, change or (with an unlimited lifetime) drop the deadlines of an entry.
    pub(crate) fn set(&mut self, place: Place, lifetime: Lifetime, now: u64) {
        if lifetime == Lifetime::UNLIMITED && self.unused() {
            return;
        }
        if self.heads.is_empty() {
            self.heads = vec![NOBODY; LEVELS * SLOTS].into();
            self.now = now;
        }
        let at = place as usize;
        if self.timers.len() <= at {
            self.timers.resize(at + 1, UNSET);
        }
        self.unlink(place);
        let idle = lifetime.idle_ms.unwrap_or(NEVER);
        let timer = &mut self.timers[at];
        timer.expires = lifetime.ttl_ms.map_or(NEVER, |ttl| now.saturating_add(ttl));
        timer.idle = idle;
        timer.idle_until = now.saturating_add(idle);
        let deadline = timer.deadline();
        if deadline != NEVER {
            self.link(place, deadline);
        }
    }

    /// Forget an entry.
    pub(crate) fn drop(&mut self, place: Place) {
        if (place as usize) < self.timers.len() {
            self.unlink(place);
            self.timers[place as usize] = UNSET;
        }
    }

    /// Whether an entry's time is over.
    #[inline]
    pub(crate) fn is_over(&self, place: Place, now: u64) -> bool {
        self.timers
            .get(place as usize)
            .is_some_and(|timer| timer.deadline() <= now)
    }

    /// Note that an entry was used.
    #[inline]
    pub(crate) fn touch(&mut self, place: Place, now: u64) {
        if let Some(timer) = self.timers.get_mut(place as usize)
            && timer.idle != NEVER
        {
            timer.idle_until = now.saturating_add(timer.idle);
        }
    }

    /// What is left of an entry's time to live, and its idle time.
    pub(crate) fn left(&self, place: Place, now: u64) -> Lifetime {
        let timer = self.timers.get(place as usize).unwrap_or(&UNSET);
        Lifetime {
            ttl_ms: (timer.expires != NEVER).then(|| timer.expires.saturating_sub(now)),
            idle_ms: (timer.idle != NEVER).then_some(timer.idle),
        }
    }

    /// Turn the wheel towards `now`, looking at no more than `budget` entries. Gives one entry whose time is over,
    /// already forgotten here; call again for the next.
    pub(crate) fn due(&mut self, now: u64, budget: &mut usize) -> Option<Place> {
        while let Some(slot) = self.begun.or_else(|| self.begin(now)) {
            while self.heads[slot] != NOBODY {
                if *budget == 0 {
                    return None;
                }
                *budget -= 1;
                let place = self.heads[slot];
                self.unlink(place);
                let deadline = self.timers[place as usize].deadline();
                if deadline <= now {
                    self.timers[place as usize] = UNSET;
                    return Some(place);
                }
                self.link(place, deadline);
            }
            self.begun = None;
        }
        self.now = self.now.max(now);
        None
    }

    /// Go on to the first slot with anybody in it, if its time has come. Levels are in order: whoever stands lower
    /// is due first.
    fn begin(&mut self, now: u64) -> Option<usize> {
        let level = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        #[expect(clippy::cast_possible_truncation, reason = "there are seven levels")]
        let shift = LEVEL_BITS * level as u32;
        let block = self.now >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS);
        let starts = block | u64::from(slot) << shift;
        if starts > now {
            return None;
        }
        self.now = self.now.max(starts);
        self.begun = Some(level * SLOTS + slot as usize);
        self.begun
    }

    fn link(&mut self, place: Place, deadline: u64) {
        // One that is due already stands in the next slot: it is never given out, wherever it stands.
        let when = deadline.clamp(self.now + 1, FARTHEST);
        let level = (u64::BITS - 1 - (when ^ self.now).leading_zeros()) / LEVEL_BITS;
        let within = when >> (LEVEL_BITS * level) & (SLOTS as u64 - 1);
        let level = (level as usize).min(LEVELS - 1);
        self.occupied[level] |= 1 << within;
        #[expect(clippy::cast_possible_truncation, reason = "there are 448 slots")]
        let slot = (level * SLOTS) as u16 + within as u16;
        let head = std::mem::replace(&mut self.heads[usize::from(slot)], place);
        let timer = &mut self.timers[place as usize];
        (timer.prev, timer.next, timer.slot) = (NOBODY, head, slot);
        if head != NOBODY {
            self.timers[head as usize].prev = place;
        }
    }

    fn unlink(&mut self, place: Place) {
        let Timer {
            prev, next, slot, ..
        } = self.timers[place as usize];
        if slot == NOWHERE {
            return;
        }
        self.timers[place as usize].slot = NOWHERE;
        if next != NOBODY {
            self.timers[next as usize].prev = prev;
        }
        if prev != NOBODY {
            self.timers[prev as usize].next = next;
            return;
        }
        let slot = usize::from(slot);
        self.heads[slot] = next;
        if next == NOBODY {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ttl(ttl_ms: u64) -> Lifetime {
        Lifetime {
            ttl_ms: Some(ttl_ms),
            idle_ms: None,
        }
    }

    fn all_due(expiry: &mut Expiry, now: u64) -> Vec<Place> {
        let mut budget = usize::MAX;
        let mut due: Vec<_> = std::iter::from_fn(|| expiry.due(now, &mut budget)).collect();
        due.sort_unstable();
        due
    }

    #[test]
    fn an_entry_is_due_at_its_deadline_and_not_before() {
        let mut expiry = Expiry::new();
        expiry.set(0, ttl(100_000), 50);
        assert!(all_due(&mut expiry, 100_049).is_empty());
        assert_eq!(all_due(&mut expiry, 100_050), [0]);
    }

    #[test]
    fn use_puts_off_the_idle_deadline_only() {
        let mut expiry = Expiry::new();
        let both = Lifetime {
            ttl_ms: Some(150),
            idle_ms: Some(100),
        };
        expiry.set(0, both, 0);
        expiry.touch(0, 90);
        assert!(all_due(&mut expiry, 100).is_empty());
        assert!(!expiry.is_over(0, 149));
        assert!(expiry.is_over(0, 150));
        assert_eq!(all_due(&mut expiry, 150), [0]);
    }

    #[test]
    fn one_turn_looks_at_no_more_than_its_budget() {
        let mut expiry = Expiry::new();
        for place in 0..10 {
            expiry.set(place, ttl(5), 0);
        }
        let mut budget = 4;
        let due = std::iter::from_fn(|| expiry.due(9, &mut budget)).count();
        assert_eq!((due, budget), (4, 0));
        assert_eq!(all_due(&mut expiry, 9).len(), 6);
    }

    proptest! {
        #[test]
        fn the_wheel_gives_what_a_sorted_list_gives(
            entries in prop::collection::vec((0..3_u32, 1..2_000_000_u64), 1..60),
            steps in prop::collection::vec(1..700_000_u64, 1..20),
        ) {
            let mut expiry = Expiry::new();
            let mut now = 12_345;
            let mut left = Vec::new();
            for (place, &(small, after)) in entries.iter().enumerate() {
                let place = Place::try_from(place).unwrap();
                let after = if small == 0 { after % 100 } else { after };
                expiry.set(place, ttl(after), now);
                left.push((now + after, place));
            }
            for step in steps {
                now += step;
                let mut expected: Vec<_> = left.iter().filter(|e| e.0 <= now).map(|e| e.1).collect();
                left.retain(|e| e.0 > now);
                expected.sort_unstable();
                prop_assert_eq!(all_due(&mut expiry, now), expected);
            }
        }
    }
}
