//! One bounded cache for one thread at a time: what [`crate::Cache`] puts a lock around, once per shard.
//!
//! A shelf does not hash, compare or read a clock: the caller gives the hash, says which key is meant, and what
//! time it is. So it serves keys whose comparison may run anybody's code (Python's), which must not happen under a
//! lock; and whatever leaves goes into a [`Spill`], to be dropped after it.

#![expect(
    clippy::inline_always,
    reason = "a look-up becomes one function: its parts take as long as a call of them"
)]

use crate::duel::Duel;
use crate::error::CacheError;
use crate::expert::EXPERTS;
use crate::expiry::{Expiry, Lifetime};
use crate::residents::{Place, Residents};
use crate::spill::Spill;
use crate::stats::Stats;
use crate::tags::{MOST_TAGS, Tags};

/// How many entries an operation looks at to find those whose time is over.
const SWEEP: usize = 4;

/// What bounds a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many entries, each costing 1.
    Entries(u64),
    /// So much cost, in a unit of the caller's.
    Cost(u64),
}

impl Limit {
    /// The number, whatever it counts.
    pub fn amount(self) -> u64 {
        match self {
            Self::Entries(amount) | Self::Cost(amount) => amount,
        }
    }
}

/// How an entry is held.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What it counts against the limit.
    pub cost: u64,
    /// How long it may stay.
    pub lifetime: Lifetime,
    /// By which it can be taken out together with others.
    pub tags: &'a [&'a str],
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Self {
            cost: 1,
            lifetime: Lifetime::UNLIMITED,
            tags: &[],
        }
    }
}

/// What [`Shelf::insert`] displaced.
#[derive(Debug)]
pub struct Inserted<K, V> {
    /// The value that was there, and the key that was given: the first one stays.
    pub replaced: Option<(K, V)>,
    /// Who left for it.
    pub left: Spill<K, V>,
}

/// A bounded cache for one thread at a time.
pub struct Shelf<K, V> {
    residents: Residents,
    entries: Vec<Option<(K, V)>>,
    duel: Duel,
    expiry: Expiry,
    tags: Tags,
    stats: Stats,
}

impl<K, V> Shelf<K, V> {
    /// An empty shelf.
    pub fn new(limit: Limit) -> Self {
        let (capacity, entries) = match limit {
            Limit::Entries(entries) => (entries, Some(entries)),
            Limit::Cost(cost) => (cost, None),
        };
        Self {
            residents: Residents::new(capacity, EXPERTS[0]),
            entries: Vec::new(),
            duel: Duel::new(capacity, entries),
            expiry: Expiry::new(),
            tags: Tags::default(),
            stats: Stats::default(),
        }
    }

    /// Where the entry of a key is, its time over or not. `same` is asked for each key with this hash.
    #[inline(always)]
    pub fn find(&self, hash: u64, mut same: impl FnMut(&K) -> bool) -> Option<Place> {
        self.residents
            .find(hash, |place| match &self.entries[place as usize] {
                Some((key, _)) => same(key),
                None => false,
            })
    }

    /// Whether any entry has, or had, a deadline: only then the time matters.
    #[inline]
    pub fn watches_time(&self) -> bool {
        !self.expiry.unused()
    }

    /// Use the entry at `place`, as found a moment ago. `None` if its time is over: then it is a [`Self::miss`].
    #[inline(always)]
    pub fn hit(&mut self, place: Place, now: u64) -> Option<&V> {
        if !self.expiry.unused() {
            if self.expiry.is_over(place, now) {
                return None;
            }
            self.expiry.touch(place, now);
        }
        self.stats.hits += 1;
        let (hash, cost) = self.residents.touch(place);
        self.observe(hash, cost);
        self.entries[place as usize]
            .as_ref()
            .map(|(_, value)| value)
    }

    /// Count a look-up that found nobody; a few entries whose time is over leave.
    #[inline]
    pub fn miss(&mut self, now: u64) -> Spill<K, V> {
        self.stats.misses += 1;
        if self.expiry.unused() {
            return Spill::default();
        }
        self.sweep_up_to(now, SWEEP, None)
    }

    /// Look at the entry at `place` without using or counting it. `None` if its time is over.
    #[inline]
    pub fn peek(&self, place: Place, now: u64) -> Option<(&K, &V)> {
        if self.expiry.is_over(place, now) {
            return None;
        }
        self.entries[place as usize]
            .as_ref()
            .map(|(key, value)| (key, value))
    }

    /// What is left of the lifetime of the entry at `place`, its cost and tags.
    pub fn terms(&self, place: Place, now: u64) -> (Lifetime, u64, Vec<&str>) {
        let tags = self.tags.of(place).iter().map(AsRef::as_ref).collect();
        (
            self.expiry.left(place, now),
            self.residents.cost_of(place).into(),
            tags,
        )
    }

    /// Refuse what could not be held.
    pub fn check(&self, terms: &Terms<'_>) -> Result<u32, CacheError> {
        let most = self.residents.capacity().min(u32::MAX.into());
        match u32::try_from(terms.cost) {
            Ok(cost) if u64::from(cost) <= most => {}
            _ => {
                return Err(CacheError::TooLarge {
                    cost: terms.cost,
                    most,
                });
            }
        }
        if terms.tags.len() > MOST_TAGS {
            return Err(CacheError::TooManyTags {
                tags: terms.tags.len(),
                most: MOST_TAGS,
            });
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared just now")]
        Ok(terms.cost as u32)
    }

    /// Set an entry: in the place of the one `found` a moment ago for this key, or as a new one. It is there after,
    /// whoever has to leave for it.
    pub fn insert(
        &mut self,
        found: Option<Place>,
        hash: u64,
        (key, value): (K, V),
        terms: &Terms<'_>,
        now: u64,
    ) -> Result<Inserted<K, V>, CacheError> {
        let cost = self.check(terms)?;
        self.stats.insertions += 1;
        let mut left = self.sweep_up_to(now, SWEEP, found);
        let Self {
            residents,
            entries,
            expiry,
            tags,
            stats,
            ..
        } = self;
        let mut leave = |place: Place| {
            stats.evictions += 1;
            expiry.drop(place);
            tags.drop(place);
            if let Some(entry) = entries[place as usize].take() {
                left.push(entry);
            }
        };
        let (place, replaced) = if let Some(place) = found {
            residents.touch(place);
            if residents.cost_of(place) != cost {
                residents.reprice(place, cost, &mut leave);
            }
            let entry = &mut entries[place as usize];
            let replaced = match entry {
                // The first key stays, as in a dict.
                Some((_, old)) => Some((key, std::mem::replace(old, value))),
                None => entry.replace((key, value)),
            };
            (place, replaced)
        } else {
            let place = residents.admit(hash, cost, &mut leave);
            let at = place as usize;
            if at >= entries.len() {
                entries.resize_with(at + 1, || None);
            }
            entries[at] = Some((key, value));
            (place, None)
        };
        expiry.set(place, terms.lifetime, now);
        tags.set(place, terms.tags);
        self.observe(hash, cost);
        Ok(Inserted { replaced, left })
    }

    /// Take the entry at `place` out.
    pub fn remove(&mut self, place: Place) -> Option<(K, V)> {
        let entry = self.entries.get_mut(place as usize)?.take()?;
        self.residents.remove(place);
        self.expiry.drop(place);
        self.tags.drop(place);
        Some(entry)
    }

    /// Take out all that bear a tag.
    pub fn invalidate(&mut self, tag: &str) -> Spill<K, V> {
        let mut left = Spill::default();
        for place in self.tags.bearers(tag) {
            if let Some(entry) = self.remove(place) {
                self.stats.invalidations += 1;
                left.push(entry);
            }
        }
        left
    }

    /// Take out every entry whose time is over.
    pub fn sweep(&mut self, now: u64) -> Spill<K, V> {
        self.sweep_up_to(now, usize::MAX, None)
    }

    fn sweep_up_to(&mut self, now: u64, mut budget: usize, except: Option<Place>) -> Spill<K, V> {
        let mut left = Spill::default();
        if self.expiry.unused() {
            return left;
        }
        while let Some(place) = self.expiry.due(now, &mut budget) {
            // The one that is about to be set again gets new deadlines anyway.
            if Some(place) != except
                && let Some(entry) = self.remove(place)
            {
                self.stats.expirations += 1;
                left.push(entry);
            }
        }
        left
    }

    /// Take everything out. Counts and what was learnt about keys stay.
    pub fn clear(&mut self) -> Spill<K, V> {
        let mut left = Spill::default();
        let places: Vec<_> = self.residents.iter().collect();
        for place in places {
            if let Some(entry) = self.remove(place) {
                left.push(entry);
            }
        }
        left
    }

    /// Every entry whose time is not over, with its place.
    pub fn iter(&self, now: u64) -> impl Iterator<Item = (Place, &K, &V)> {
        self.residents.iter().filter_map(move |place| {
            self.peek(place, now)
                .map(|(key, value)| (place, key, value))
        })
    }

    /// Everything held, its time over or not: for a garbage collector.
    pub fn held(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries
            .iter()
            .flatten()
            .map(|(key, value)| (key, value))
    }

    /// The hash that an entry was set with.
    pub fn hash_of(&self, place: Place) -> u64 {
        self.residents.hash_of(place)
    }

    /// The entry that would leave next.
    pub fn last(&self) -> Option<Place> {
        self.residents.last()
    }

    /// How many entries are held, those included whose time is over and that were not swept yet.
    pub fn len(&self) -> usize {
        self.residents.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it counted, and what it holds.
    pub fn stats(&self) -> Stats {
        Stats {
            entries: self.residents.len() as u64,
            cost: self.residents.cost(),
            capacity: self.residents.capacity(),
            ..self.stats
        }
    }

    /// The name of the expert that decides who stays.
    pub fn expert(&self) -> &'static str {
        self.residents.expert().name
    }

    /// Change what it may hold; who has to leave leaves now.
    pub fn resize(&mut self, capacity: u64) -> Spill<K, V> {
        let mut left = Spill::default();
        self.residents.resize(capacity);
        self.duel.resize(capacity);
        while self.residents.cost() > self.residents.capacity() {
            let Some(entry) = self.last().and_then(|place| self.remove(place)) else {
                break;
            };
            self.stats.evictions += 1;
            left.push(entry);
        }
        left
    }

    #[inline(always)]
    fn observe(&mut self, hash: u64, cost: u32) {
        if let Some(expert) = self.duel.access(hash, cost, self.residents.len()) {
            self.residents.follow(expert);
            self.stats.changes += 1;
        }
    }
}
