//! One series: its labels, its cells, and the bytes its exposition lines begin with.

use crate::block::Block;

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
    pub(crate) hash: u64,
    pub(crate) labels: Box<[Box<str>]>,
    pub(crate) block: Block,
    /// The first of this series' cells in the block.
    pub(crate) cell: usize,
    /// Where in the family it stands.
    pub(crate) slot: usize,
    /// Each line's bytes up to the value, one after another.
    pub(crate) prefixes: Box<[u8]>,
    /// Where each line's bytes end in `prefixes`.
    pub(crate) ends: Box<[u32]>,
}

impl Series {
    pub(crate) fn is(&self, labels: &[&str]) -> bool {
        self.labels
            .iter()
            .map(AsRef::as_ref)
            .eq(labels.iter().copied())
    }

    /// The bytes that line `line` begins with.
    pub(crate) fn prefix(&self, line: usize) -> &[u8] {
        let start = if line == 0 {
            0
        } else {
            self.ends[line - 1] as usize
        };
        &self.prefixes[start..self.ends[line] as usize]
    }
}
