//! The cache that threads share: shelves behind locks, keys spread over them by hash.

use std::hash::{BuildHasher, Hash};
use std::time::Instant;

use parking_lot::Mutex;

use crate::error::CacheError;
use crate::expiry::Lifetime;
use crate::flight::Flights;
use crate::shelf::{Limit, Shelf, Terms};
use crate::stats::Stats;

/// Below this many entries a shard would be too small to know what is used often.
const LEAST_PER_SHARD: u64 = 2048;
const MOST_SHARDS: u64 = 64;

/// A bounded map that many threads may use at once.
///
/// Values are cloned out, so what is large belongs into an `Arc`. Dropping keys and values never happens under a
/// lock.
pub struct Cache<K, V, S = ahash::RandomState> {
    /// Each lock guards one shelf, for one operation on it; nothing waits and no foreign code but `K`'s `Eq` and the
    /// clones run under it.
    shards: Box<[Mutex<Shelf<K, V>>]>,
    pub(crate) flights: Flights<K, V>,
    hasher: S,
    lifetime: Lifetime,
    began: Instant,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// A cache with as many shards as suit its size and this machine.
    pub fn new(limit: Limit) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let entries = match limit {
            Limit::Entries(entries) => entries,
            // Nobody knows how many that will be; a shard must hold its largest entry, so not too many shards.
            Limit::Cost(cost) => cost.min(16 * LEAST_PER_SHARD),
        };
        let shards = (entries / LEAST_PER_SHARD)
            .min(cores * 4)
            .clamp(1, MOST_SHARDS);
        Self::with(limit, shards, ahash::RandomState::new())
    }
}

impl<K: Hash + Eq, V: Clone, S: BuildHasher> Cache<K, V, S> {
    /// A cache with this many shards and this hasher. One entry may cost as much as one shard holds.
    pub fn with(limit: Limit, shards: u64, hasher: S) -> Self {
        let shards = shards.clamp(1, limit.amount().max(1));
        let part = |at: u64| {
            let amount = limit.amount() / shards + u64::from(at < limit.amount() % shards);
            match limit {
                Limit::Entries(_) => Limit::Entries(amount),
                Limit::Cost(_) => Limit::Cost(amount),
            }
        };
        Self {
            shards: (0..shards)
                .map(|at| Mutex::new(Shelf::new(part(at))))
                .collect(),
            flights: Flights::new(),
            hasher,
            lifetime: Lifetime::UNLIMITED,
            began: Instant::now(),
        }
    }

    /// Let entries live so long where nothing else is said.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The value under a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let hash = self.hash(key);
        let mut shard = self.shard(hash).lock();
        let now = self.now(&shard);
        let found = shard.find(hash, |other| other.borrow() == key);
        if let Some(value) = found.and_then(|place| shard.hit(place, now)) {
            return Some(value.clone());
        }
        let left = shard.miss(now);
        drop(shard);
        drop(left);
        None
    }

    /// Whether there is a value under a key; does not count as a use.
    pub fn contains<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        let hash = self.hash(key);
        let shard = self.shard(hash).lock();
        shard
            .find(hash, |other| other.borrow() == key)
            .is_some_and(|place| shard.peek(place, self.now(&shard)).is_some())
    }

    /// Set an entry that costs 1 and has the cache's own lifetime; gives what was there before.
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, CacheError> {
        let terms = Terms {
            lifetime: self.lifetime,
            ..Terms::default()
        };
        self.insert_with(key, value, &terms)
    }

    /// Set an entry on its own terms; gives what was there before.
    pub fn insert_with(
        &self,
        key: K,
        value: V,
        terms: &Terms<'_>,
    ) -> Result<Option<V>, CacheError> {
        let hash = self.hash(&key);
        let mut shard = self.shard(hash).lock();
        shard.check(terms)?;
        let found = shard.find(hash, |other| *other == key);
        let now = if terms.lifetime == Lifetime::UNLIMITED {
            self.now(&shard)
        } else {
            self.clock()
        };
        let over = found.is_some_and(|place| shard.peek(place, now).is_none());
        let inserted = shard.insert(found, hash, (key, value), terms, now);
        drop(shard);
        let replaced = inserted?.replaced;
        Ok(replaced.filter(|_| !over).map(|(_, value)| value))
    }

    /// Take an entry out.
    pub fn remove<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let hash = self.hash(key);
        let mut shard = self.shard(hash).lock();
        let place = shard.find(hash, |other| other.borrow() == key)?;
        let over = shard.peek(place, self.now(&shard)).is_none();
        let entry = shard.remove(place);
        drop(shard);
        entry.filter(|_| !over).map(|(_, value)| value)
    }

    /// Take out all that bear a tag; says how many.
    pub fn invalidate(&self, tag: &str) -> usize {
        self.each(|shard, _| shard.invalidate(tag))
            .map(|left| left.len())
            .sum()
    }

    /// Take everything out.
    pub fn clear(&self) {
        self.each(|shard, _| shard.clear()).for_each(drop);
    }

    /// Take out all whose time is over: for whoever wants the room before the next operations find them.
    pub fn sweep(&self) {
        self.each(Shelf::sweep).for_each(drop);
    }

    /// How many entries there are whose time is not over.
    pub fn len(&self) -> usize {
        self.sweep();
        self.each(|shard, _| shard.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it counted, and what it holds.
    pub fn stats(&self) -> Stats {
        self.each(|shard, _| shard.stats())
            .fold(Stats::default(), |sum, one| sum.and(&one))
    }

    /// The value under a key, without using or counting it.
    pub fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let hash = self.hash(key);
        let shard = self.shard(hash).lock();
        let place = shard.find(hash, |other| other.borrow() == key)?;
        shard
            .peek(place, self.now(&shard))
            .map(|(_, value)| value.clone())
    }

    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, hash: u64) -> &Mutex<Shelf<K, V>> {
        // The high half, spread over the shards by multiplication; the shelf's index sorts by the low bits.
        let at = (((hash >> 32) * self.shards.len() as u64) >> 32) as usize;
        &self.shards[at]
    }

    fn each<T>(&self, mut each: impl FnMut(&mut Shelf<K, V>, u64) -> T) -> impl Iterator<Item = T> {
        self.shards.iter().map(move |lock| {
            let mut shard = lock.lock();
            let now = self.now(&shard);
            each(&mut shard, now)
        })
    }

    /// The time, where it matters to this shard.
    fn now(&self, shard: &Shelf<K, V>) -> u64 {
        if shard.watches_time() {
            self.clock()
        } else {
            0
        }
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
