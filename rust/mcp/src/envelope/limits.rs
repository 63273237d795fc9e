//! How much of a message is too much.

/// What a message may weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of one message (or of one batch).
    pub max_bytes: usize,
    /// The most containers inside one another; [`Limits::DEEPEST`] at most.
    pub max_depth: usize,
    /// The most messages of one batch.
    pub max_batch: usize,
}

impl Limits {
    /// Nesting beyond this is refused whatever the configuration says: Python's own reader ends near 1,000.
    pub const DEEPEST: usize = 512;
    /// Positions in a message are 32 bits wide.
    pub(crate) const LARGEST: usize = u32::MAX as usize;

    /// The defaults with another size.
    pub fn with_max_bytes(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_depth: Self::DEEPEST,
            max_batch: 1000,
        }
    }
}
