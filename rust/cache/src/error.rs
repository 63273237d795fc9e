//! What a cache refuses.

use thiserror::Error;

/// Why an entry was not taken in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CacheError {
    /// One entry costs more than the cache (or its shard) may hold in all.
    #[error(
        "the entry costs {cost}, and at most {most} fits: give the cache more, or keep the value elsewhere"
    )]
    TooLarge {
        /// What it costs.
        cost: u64,
        /// What one entry may cost.
        most: u64,
    },
    /// The entry bears more tags than one may.
    #[error("the entry bears {tags} tags, and one may bear {most}")]
    TooManyTags {
        /// How many it bears.
        tags: usize,
        /// How many it may bear.
        most: usize,
    },
}
