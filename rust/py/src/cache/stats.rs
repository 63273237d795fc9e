//! `CacheStats`: what a cache counted, as Python sees it.

use backstay_cache::Stats;
use pyo3::prelude::*;

use super::keys::Objects;

/// What a cache counted, and what it holds.
#[pyclass(frozen, eq, module = "backstay.cache")]
#[derive(PartialEq)]
pub(crate) struct CacheStats {
    stats: Stats,
    expert: &'static str,
}

impl CacheStats {
    pub(super) fn of(shelf: &Objects) -> Self {
        Self {
            stats: shelf.stats(),
            expert: shelf.expert(),
        }
    }
}

#[pymethods]
impl CacheStats {
    /// Look-ups that found an entry.
    #[getter]
    fn hits(&self) -> u64 {
        self.stats.hits
    }

    /// Look-ups that did not.
    #[getter]
    fn misses(&self) -> u64 {
        self.stats.misses
    }

    /// Hits among look-ups, from 0 to 1.
    #[getter]
    fn hit_rate(&self) -> f64 {
        self.stats.hit_rate()
    }

    /// Entries set, new or again.
    #[getter]
    fn insertions(&self) -> u64 {
        self.stats.insertions
    }

    /// Entries that left for want of room.
    #[getter]
    fn evictions(&self) -> u64 {
        self.stats.evictions
    }

    /// Entries whose time was over.
    #[getter]
    fn expirations(&self) -> u64 {
        self.stats.expirations
    }

    /// Entries taken out by tag.
    #[getter]
    fn invalidations(&self) -> u64 {
        self.stats.invalidations
    }

    /// Entries held.
    #[getter]
    fn entries(&self) -> u64 {
        self.stats.entries
    }

    /// What they cost together.
    #[getter]
    fn cost(&self) -> u64 {
        self.stats.cost
    }

    /// What they may cost together.
    #[getter]
    fn capacity(&self) -> u64 {
        self.stats.capacity
    }

    /// What decides who stays just now: `recency`, `frequency`, `drift` or `balance`.
    #[getter]
    fn policy(&self) -> &'static str {
        self.expert
    }

    fn __repr__(&self) -> String {
        let Stats {
            hits,
            misses,
            entries,
            evictions,
            ..
        } = self.stats;
        format!(
            "<CacheStats {hits} hits, {misses} misses, {entries} entries, {evictions} evictions, by {}>",
            self.expert
        )
    }
}
