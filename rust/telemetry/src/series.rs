//! One series: its labels, its cells, and the bytes that its exposition lines have of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::block::{Block, Seat};

/// What a family measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A series of a family. Handles hold it alive; its cells are reused only when the last one is gone.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) block: Block,
    pub(crate) seat: Seat,
    pub(crate) hash: u64,
    /// Where in the family it stands.
    pub(crate) slot: usize,
    /// Its label values; each text exists once in the family.
    pub(crate) labels: Box<[Arc<str>]>,
    /// Its labels as the exposition has them, between the braces.
    pub(crate) text: Box<[u8]>,
    /// It was removed: what is written to it is shown nowhere.
    pub(crate) gone: AtomicBool,
}

impl Series {
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        !self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn is(&self, labels: &[&str]) -> bool {
        self.labels
            .iter()
            .map(AsRef::as_ref)
            .eq(labels.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `docs/guide/metrics.md` tells; with what the allocator and half-empty tables add.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn what_a_series_costs_is_what_the_guide_says() {
        let counts = 2 * size_of::<usize>();
        let own = size_of::<Series>() + counts;
        assert_eq!(own + crate::store::BESIDE, 128);
        assert_eq!(size_of::<Arc<str>>(), 16);
    }
}
