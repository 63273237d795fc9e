//! What every use of a resident looks at and changes, in as few bytes as will do.
//!
//! It stands beside what the resident is (a key and a value), in one line of memory. What only coming and leaving
//! ask for, the whole hash and the cost, is elsewhere (`residents.rs`).

/// How a resident stands. One number, because reading all of it soon after writing a part would wait for the
/// processor's store buffer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Standing(u64);

impl Standing {
    pub(crate) fn new(moved: u32, queue: u16, count: u8, epoch: u8) -> Self {
        let (moved, queue) = (u64::from(moved), u64::from(queue) << 32);
        Self(moved | queue | u64::from(count) << 48 | u64::from(epoch) << 56)
    }

    /// Which move of the cache's made it the newest of its queue.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(crate) fn moved(self) -> u32 {
        self.0 as u32
    }

    /// Its queue, by the name that the queue had when it came in.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "sixteen of the bits")]
    pub(crate) fn queue(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// How often it was used, halved with every epoch, as of [`Self::epoch`].
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "eight of the bits")]
    pub(crate) fn count(self) -> u8 {
        (self.0 >> 48) as u8
    }

    #[inline]
    pub(crate) fn epoch(self) -> u8 {
        (self.0 >> 56) as u8
    }

    #[inline]
    pub(crate) fn with_queue(self, queue: u16, moved: u32) -> Self {
        Self::new(moved, queue, self.count(), self.epoch())
    }

    #[inline]
    pub(crate) fn with_count(self, count: u8, epoch: u8) -> Self {
        Self::new(self.moved(), self.queue(), count, epoch)
    }
}

/// Who has a standing.
pub(crate) trait Resident: Default {
    fn standing(&self) -> Standing;
    fn stand(&mut self, standing: Standing);
}

/// Nothing but a standing: what the shadow of a cache holds.
impl Resident for Standing {
    #[inline]
    fn standing(&self) -> Standing {
        *self
    }

    #[inline]
    fn stand(&mut self, standing: Standing) {
        *self = standing;
    }
}
