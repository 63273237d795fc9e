//! Which of a server's answers are stale because something changed: generations that are raised, so that nothing
//! has to be searched for. An answer carries those that it was given under, and is stale when one has moved on.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

/// Names that share a generation are made stale together, which is never wrong.
const BUCKETS: usize = 256;

/// See the module.
pub(crate) struct Freshness {
    all: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

/// The generations that an answer was given under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    all: u64,
    bucket: u64,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            all: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Freshness {
    fn bucket(&self, name: &str) -> &AtomicU64 {
        // FNV-1a: short names, and nobody gains anything by making two of them fall together.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        &self.buckets[usize::from(hash.to_le_bytes()[0])]
    }

    /// The generations of this tool, or of this resource, now.
    pub(crate) fn of(&self, name: &str) -> Stamp {
        Stamp {
            all: self.all.load(Acquire),
            bucket: self.bucket(name).load(Acquire),
        }
    }

    /// What this tool or resource answered so far is stale.
    pub(crate) fn stale(&self, name: &str) {
        self.bucket(name).fetch_add(1, Release);
    }

    /// Whatever the server answered so far is stale.
    pub(crate) fn all_stale(&self) {
        self.all.fetch_add(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_stale_is_and_the_rest_is_not() {
        let fresh = Freshness::default();
        let (one, other) = (fresh.of("read"), fresh.of("list"));
        fresh.stale("read");
        assert_ne!(fresh.of("read"), one);
        assert_eq!(fresh.of("list"), other);
        fresh.all_stale();
        assert_ne!(fresh.of("list"), other);
    }
}
