//! Get, set and both, on one thread and several, beside other caches.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backstay_benches::traces::Random;
use backstay_cache::{Cache, Lifetime, Limit, Shelf, Successors, Terms};
use criterion::{BenchmarkId, Criterion, Throughput};
use parking_lot::Mutex;

const ENTRIES: u64 = 10_000;
const BATCH: u64 = 1024;

/// A cache as this bench sees it.
trait Bench: Send + Sync {
    fn get(&self, key: u64) -> bool;
    fn set(&self, key: u64);
}

struct Ours(Cache<u64, u64>);
struct Moka(moka::sync::Cache<u64, u64>);
struct Quick(quick_cache::sync::Cache<u64, u64>);
struct Lru(Mutex<lru::LruCache<u64, u64>>);

impl Bench for Ours {
    fn get(&self, key: u64) -> bool {
        self.0.get(&key).is_some()
    }
    fn set(&self, key: u64) {
        drop(self.0.insert(key, key));
    }
}

impl Bench for Moka {
    fn get(&self, key: u64) -> bool {
        self.0.get(&key).is_some()
    }
    fn set(&self, key: u64) {
        self.0.insert(key, key);
    }
}

impl Bench for Quick {
    fn get(&self, key: u64) -> bool {
        self.0.get(&key).is_some()
    }
    fn set(&self, key: u64) {
        self.0.insert(key, key);
    }
}

impl Bench for Lru {
    fn get(&self, key: u64) -> bool {
        self.0.lock().get(&key).is_some()
    }
    fn set(&self, key: u64) {
        self.0.lock().put(key, key);
    }
}

fn peers() -> Vec<(&'static str, Arc<dyn Bench>)> {
    let size = usize::try_from(ENTRIES).unwrap_or(1);
    let lru = lru::LruCache::new(NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN));
    vec![
        ("ours", Arc::new(Ours(Cache::new(Limit::Entries(ENTRIES))))),
        (
            "quick_cache",
            Arc::new(Quick(quick_cache::sync::Cache::new(size))),
        ),
        ("moka", Arc::new(Moka(moka::sync::Cache::new(ENTRIES)))),
        ("lru in a mutex", Arc::new(Lru(Mutex::new(lru)))),
    ]
}

/// Keys in an order that repeats itself late, below `end`.
fn keys(end: u64) -> Vec<u64> {
    let mut random = Random::new(1);
    (0..BATCH * 64).map(|_| random.below(end)).collect()
}

pub(crate) fn all(criterion: &mut Criterion) {
    one_thread(criterion);
    threads(criterion);
    extras(criterion);
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache");
    group.throughput(Throughput::Elements(BATCH));
    for (what, end) in [("get", ENTRIES), ("get or set, half missing", 2 * ENTRIES)] {
        let keys = keys(end);
        for (name, cache) in peers() {
            (0..ENTRIES).for_each(|key| cache.set(key));
            let mut batches = keys.chunks_exact(1024).cycle();
            group.bench_function(BenchmarkId::new(what, name), |bench| {
                bench.iter(|| {
                    for &key in batches.next().unwrap_or_default() {
                        if !black_box(cache.get(key)) {
                            cache.set(key);
                        }
                    }
                });
            });
        }
    }
    group.finish();
}

/// Each of so many threads gets, and sets one in twenty; the time is that of one operation of all together.
fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache threads");
    let keys = keys(ENTRIES * 105 / 100);
    for count in [1_u64, 2, 4, 8, 16] {
        for (name, cache) in peers() {
            (0..ENTRIES).for_each(|key| cache.set(key));
            group.bench_function(BenchmarkId::new(name, count), |bench| {
                bench.iter_custom(|rounds| shared(&cache, &keys, rounds, count));
            });
        }
    }
    group.finish();
}

fn shared(cache: &Arc<dyn Bench>, keys: &[u64], rounds: u64, threads: u64) -> Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let part = usize::try_from(rounds.div_ceil(threads)).unwrap_or(usize::MAX);
                let from = usize::try_from(thread * 4096).unwrap_or(0);
                for &key in keys.iter().cycle().skip(from).take(part) {
                    if !cache.get(key) {
                        cache.set(key);
                    }
                }
            });
        }
    });
    began.elapsed()
}

/// What lifetimes, tags and prediction cost beside a plain get.
fn extras(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache extras");
    group.throughput(Throughput::Elements(BATCH));
    let keys = keys(ENTRIES);
    let lifetime = Lifetime {
        ttl_ms: Some(3_600_000),
        idle_ms: Some(600_000),
    };
    let plain = Cache::new(Limit::Entries(ENTRIES));
    let timed = Cache::new(Limit::Entries(ENTRIES)).lifetime(lifetime);
    for (name, cache) in [("get", &plain), ("get with ttl and idle time", &timed)] {
        for key in 0..ENTRIES {
            drop(cache.insert(key, key));
        }
        let mut batches = keys.chunks_exact(1024).cycle();
        group.bench_function(name, |bench| {
            bench.iter(|| {
                for key in batches.next().unwrap_or_default() {
                    black_box(cache.get(key));
                }
            });
        });
    }
    let mut shelf = Shelf::new(Limit::Entries(ENTRIES));
    let hash = backstay_benches::traces::mix;
    for key in 0..ENTRIES {
        drop(shelf.insert(None, hash(key), (key, key), &Terms::default(), 0));
    }
    let mut batches = keys.chunks_exact(1024).cycle();
    group.bench_function("get from a shelf, no lock", |bench| {
        bench.iter(|| {
            for &key in batches.next().unwrap_or_default() {
                let place = shelf.find(hash(key), |&other| other == key);
                black_box(place.and_then(|place| shelf.hit(place, 0)));
            }
        });
    });
    let mut successors = Successors::new(40_000);
    group.bench_function("learn what followed, and predict 4", |bench| {
        let mut at = 0;
        bench.iter(|| {
            for _ in 0..BATCH {
                at = (at + 1) % 40_000;
                successors.missed(hash(at), || at);
                black_box(successors.after(hash(at), 4));
            }
        });
    });
    group.finish();
}
