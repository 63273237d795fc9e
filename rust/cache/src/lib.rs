//! Bounded caches: hit rate, cost, expiry, invalidation.
//!
//! A [`Cache`] is a map with an end: a limit of entries or of cost, beyond which it gives up what is least likely
//! to be asked for again. Five ways to judge that (`expert.rs`) run as small shadows beside it, and the one that
//! would have the most hits decides (`duel.rs`), so it is an LRU where recency is all there is to know, resists
//! loops and scans where frequency tells, and finds out by itself which. Entries may expire, be taken out by tag,
//! and be loaded once for all who ask.
//!
//! [`Shelf`] is the same for one thread at a time and for keys of any kind of equality: the Python face
//! (`rust/py/src/cache.rs` and `backstay.cache`) stands on it. [`Successors`] predicts, [`snapshot`] persists;
//! neither costs anything where it is not used.
//!
//! Memory for each entry beside the key and the value themselves: 24 bytes of order, 16 of history and about 8 of
//! index; the shadows take at most 250 KiB together, however large the cache; 40 more for each entry once any has a deadline.

mod cache;
mod duel;
mod error;
mod expert;
mod expiry;
mod flight;
mod history;
mod load;
mod residents;
mod shelf;
pub mod snapshot;
mod spill;
mod stats;
mod successors;
mod tags;

pub use cache::Cache;
pub use error::CacheError;
pub use expiry::Lifetime;
pub use residents::Place;
pub use shelf::{Inserted, Limit, Shelf, Terms};
pub use spill::Spill;
pub use stats::Stats;
pub use successors::Successors;
pub use tags::MOST_TAGS;
