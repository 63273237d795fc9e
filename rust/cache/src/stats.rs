//! What a cache counts.

/// Counts since the cache was made, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Look-ups that found an entry.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Entries set, new or again.
    pub insertions: u64,
    /// Entries that left for want of room.
    pub evictions: u64,
    /// Entries whose time was over.
    pub expirations: u64,
    /// Entries taken out by tag.
    pub invalidations: u64,
    /// Changes of the expert that decides who stays.
    pub changes: u64,
    /// Entries held.
    pub entries: u64,
    /// What they cost together.
    pub cost: u64,
    /// What they may cost together.
    pub capacity: u64,
}

impl Stats {
    /// Hits among look-ups; 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate, to within its rounding")]
        match self.hits + self.misses {
            0 => 0.0,
            all => self.hits as f64 / all as f64,
        }
    }

    /// Both together, as for the shards of one cache.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            insertions: self.insertions + other.insertions,
            evictions: self.evictions + other.evictions,
            expirations: self.expirations + other.expirations,
            invalidations: self.invalidations + other.invalidations,
            changes: self.changes + other.changes,
            entries: self.entries + other.entries,
            cost: self.cost + other.cost,
            capacity: self.capacity + other.capacity,
        }
    }
}
