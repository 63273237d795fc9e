//! Who hits how often on a trace: ours, what one would otherwise take, and what cannot be beaten.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use backstay_cache::{Cache, Limit, Shelf, Successors, Terms};

use backstay_benches::traces::{Trace, mix};

/// Hashes numbers always alike: hit rates are the same in every run.
#[derive(Default)]
pub(crate) struct Fixed(u64);

impl Hasher for Fixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = mix(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mix(self.0 ^ number);
    }
}

type Build = BuildHasherDefault<Fixed>;

/// The percentage of hits, of one who says for each key whether it was there.
fn rate(trace: &Trace, mut hit: impl FnMut(u64) -> bool) -> f64 {
    let hits = trace
        .keys
        .iter()
        .enumerate()
        .filter(|&(at, &key)| hit(key) && at >= trace.filling)
        .count();
    percent(hits, trace.keys.len() - trace.filling)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// Ours, in so many shards.
pub(crate) fn ours(trace: &Trace, shards: u64) -> f64 {
    let cache = Cache::with(
        Limit::Entries(trace.capacity as u64),
        shards,
        Build::default(),
    );
    rate(trace, |key| {
        cache.get(&key).is_some() || cache.insert(key, ()).is_err()
    })
}

/// The crate `lru`.
pub(crate) fn lru(trace: &Trace) -> f64 {
    let capacity =
        std::num::NonZeroUsize::new(trace.capacity).unwrap_or(std::num::NonZeroUsize::MIN);
    let mut cache = lru::LruCache::new(capacity);
    rate(trace, |key| {
        cache.get(&key).is_some() || cache.put(key, ()).is_some_and(|()| false)
    })
}

/// The crate `moka`, its housekeeping done after every insertion so that it keeps to its capacity.
pub(crate) fn moka(trace: &Trace) -> f64 {
    let cache = moka::sync::Cache::builder()
        .max_capacity(trace.capacity as u64)
        .build_with_hasher(Build::default());
    rate(trace, |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
            cache.run_pending_tasks();
        }
        hit
    })
}

/// The crate `quick_cache`.
pub(crate) fn quick_cache(trace: &Trace) -> f64 {
    let mut cache = quick_cache::unsync::Cache::new(trace.capacity);
    rate(trace, |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
        }
        hit
    })
}

/// The optimum, which knows the future: whoever is needed last leaves (Belady).
pub(crate) fn belady(trace: &Trace) -> f64 {
    let mut next_use = vec![usize::MAX; trace.keys.len()];
    let mut seen = HashMap::new();
    for (at, key) in trace.keys.iter().enumerate().rev() {
        if let Some(next) = seen.insert(key, at) {
            next_use[at] = next;
        }
    }
    let (mut held, mut order) = (HashMap::new(), BTreeSet::new());
    let mut at = 0;
    rate(trace, |key| {
        let next = next_use[at];
        at += 1;
        let before = held.remove(&key);
        if let Some(before) = before {
            order.remove(&(before, key));
        }
        if next != usize::MAX {
            held.insert(key, next);
            order.insert((next, key));
            if held.len() > trace.capacity
                && let Some((_, last)) = order.pop_last()
            {
                held.remove(&last);
            }
        }
        before.is_some()
    })
}

/// Ours, with up to `ahead` keys loaded ahead by what followed what. Also how many were, of a hundred operations.
pub(crate) fn warmed(trace: &Trace, ahead: usize) -> (f64, f64) {
    let mut shelf = Shelf::new(Limit::Entries(trace.capacity as u64));
    let mut successors = Successors::new(trace.capacity * 4);
    let set = |shelf: &mut Shelf<u64, ()>, key| {
        drop(shelf.insert(None, mix(key), (key, ()), &Terms::default(), 0));
    };
    let (mut at, mut loads) = (0, 0);
    let hits = rate(trace, |key| {
        let hash = mix(key);
        let found = shelf.find(hash, |&other| other == key);
        at += 1;
        match found {
            Some(place) => drop(shelf.hit(place, 0)),
            None => set(&mut shelf, key),
        }
        if found.is_none() || successors.was_ahead(hash) {
            successors.missed(hash, || key);
            for (hash, next) in successors
                .after(hash, ahead)
                .into_iter()
                .map(|(hash, &key)| (hash, key))
                .collect::<Vec<_>>()
            {
                if shelf.find(hash, |&other| other == next).is_none() {
                    set(&mut shelf, next);
                    successors.loaded_ahead(hash);
                    loads += usize::from(at > trace.filling);
                }
            }
        }
        found.is_some()
    });
    (hits, percent(loads, trace.keys.len() - trace.filling))
}
