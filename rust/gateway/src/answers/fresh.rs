//! Which of a server's answers are stale because something changed: generations that are raised, so that nothing
//! has to be searched for. An answer carries those that it was given under, and is stale when one has moved on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

use parking_lot::RwLock;

use super::second::Second;

/// Names that share a generation are made stale together, which is never wrong.
const BUCKETS: usize = 256;

/// See the module.
pub(crate) struct Freshness {
    service: Arc<str>,
    all: AtomicU64,
    buckets: Box<[AtomicU64]>,
    /// The second level, which is told too. A pointer, read in a few instructions.
    second: RwLock<Option<Arc<Second>>>,
}

/// The generations that an answer was given under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    all: u64,
    bucket: u64,
}

/// The bucket that a name falls into: the same in every daemon.
pub(crate) fn bucket_of(name: &str) -> u8 {
    // FNV-1a: short names, and nobody gains anything by making two of them fall together.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.to_le_bytes()[0]
}

impl Freshness {
    pub(crate) fn new(service: Arc<str>) -> Self {
        Self {
            service,
            all: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            second: RwLock::default(),
        }
    }

    /// Has the second level told as well.
    pub(crate) fn with_second(&self, second: Option<Arc<Second>>) {
        *self.second.write() = second;
    }

    fn bucket(&self, name: &str) -> &AtomicU64 {
        &self.buckets[usize::from(bucket_of(name))]
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
        if let Some(second) = &*self.second.read() {
            second.stale(&self.service, Some(bucket_of(name)));
        }
    }

    /// Another process answers: what is kept in memory is not its own. The second level is left as it is, since
    /// processes of one revision come and go in every daemon.
    pub(crate) fn another_process(&self) {
        self.all.fetch_add(1, Release);
    }

    /// Whatever the server answered so far is stale.
    pub(crate) fn all_stale(&self) {
        self.all.fetch_add(1, Release);
        if let Some(second) = &*self.second.read() {
            second.stale(&self.service, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_stale_is_and_the_rest_is_not() {
        let fresh = Freshness::new("a".into());
        let (one, other) = (fresh.of("read"), fresh.of("list"));
        fresh.stale("read");
        assert_ne!(fresh.of("read"), one);
        assert_eq!(fresh.of("list"), other);
        fresh.all_stale();
        assert_ne!(fresh.of("list"), other);
    }
}
