//! How often keys that are no longer resident were used: a ghost, without the key.
//!
//! A small set-associative table of fingerprints. Sixteen bits tell keys of a bucket apart, so one in about eight
//! thousand strangers is taken for somebody who was here before: harmless, it decides an admission and nothing else.

/// Ghosts kept for each resident entry.
const GHOSTS_PER_ENTRY: usize = 4;
const WAYS: usize = 8;

#[derive(Clone, Copy, Default)]
struct Ghost {
    fingerprint: u16,
    /// 0: the place is free.
    count: u8,
    epoch: u8,
}

/// The use counts of those who left.
pub(crate) struct History {
    buckets: Vec<[Ghost; WAYS]>,
}

impl History {
    pub(crate) fn new() -> Self {
        let buckets = vec![[Ghost::default(); WAYS]];
        Self { buckets }
    }

    /// Be large enough for `entries` residents. Growing forgets: fingerprints do not say where they would belong
    /// in a larger table, and a cache grows but a few times in its life.
    pub(crate) fn reserve(&mut self, entries: usize) {
        let wanted = (entries * GHOSTS_PER_ENTRY / WAYS).next_power_of_two();
        if wanted > self.buckets.len() {
            self.buckets = vec![[Ghost::default(); WAYS]; wanted];
        }
    }

    /// Take the count of a key that comes back, aged to `epoch`; 0 for a stranger.
    pub(crate) fn take(&mut self, hash: u64, epoch: u8) -> u8 {
        let (bucket, fingerprint) = self.bucket(hash);
        for ghost in bucket {
            if ghost.count != 0 && ghost.fingerprint == fingerprint {
                let count = aged(ghost.count, ghost.epoch, epoch);
                ghost.count = 0;
                return count;
            }
        }
        0
    }

    /// Remember a key that leaves, in the place of the least used and, among those, the oldest ghost.
    pub(crate) fn put(&mut self, hash: u64, count: u8, epoch: u8) {
        let (bucket, fingerprint) = self.bucket(hash);
        let mut place = 0;
        let mut least = u16::MAX;
        for (at, ghost) in bucket.iter().enumerate() {
            if ghost.count == 0 || ghost.fingerprint == fingerprint {
                place = at;
                break;
            }
            let use_then_age = u16::from(aged(ghost.count, ghost.epoch, epoch)) << 8
                | u16::from(u8::MAX - epoch.wrapping_sub(ghost.epoch));
            if use_then_age < least {
                least = use_then_age;
                place = at;
            }
        }
        // The newest stands last, so that among equals the first is the oldest.
        bucket[place..].rotate_left(1);
        bucket[WAYS - 1] = Ghost {
            fingerprint,
            count: count.max(1),
            epoch,
        };
    }

    fn bucket(&mut self, hash: u64) -> (&mut [Ghost; WAYS], u16) {
        let at = (hash >> 20) as usize & (self.buckets.len() - 1);
        (&mut self.buckets[at], (hash >> 48) as u16)
    }
}

/// A count made in `then`, seen from `now`: it halves with every epoch.
pub(crate) fn aged(count: u8, then: u8, now: u8) -> u8 {
    count
        .checked_shr(now.wrapping_sub(then).into())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_comes_back_is_known_once() {
        let mut history = History::new();
        history.put(1 << 48, 5, 0);
        assert_eq!(history.take(1 << 48, 0), 5);
        assert_eq!(history.take(1 << 48, 0), 0);
    }

    #[test]
    fn counts_halve_with_every_epoch() {
        let mut history = History::new();
        history.put(1 << 48, 12, 255);
        assert_eq!(history.take(1 << 48, 1), 3);
        assert_eq!(aged(255, 0, 9), 0);
    }

    #[test]
    fn the_least_used_ghost_gives_way() {
        let mut history = History::new();
        for i in 0..8 {
            history.put(i << 48, if i == 3 { 1 } else { 9 }, 0);
        }
        history.put(8 << 48, 2, 0);
        assert_eq!(history.take(3 << 48, 0), 0);
        assert_eq!(history.take(8 << 48, 0), 2);
        assert_eq!(history.take(0, 0), 9);
    }
}
