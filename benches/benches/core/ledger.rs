//! Reserve and give back, beside one lock around a map.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use backstay_benches::growth;
use backstay_ledger::{Amounts, DIMENSIONS, Pool, record};
use criterion::{BenchmarkId, Criterion, Throughput};
use parking_lot::RwLock;

const WANT: Amounts = Amounts {
    cpu_milli: 500,
    memory: 1 << 29,
    storage: 0,
    gpu_milli: 0,
};
const HAVE: Amounts = Amounts {
    cpu_milli: 1 << 20,
    memory: 1 << 44,
    storage: 0,
    gpu_milli: 0,
};

/// What one would write first: every holder in one map behind one lock.
struct Locked(RwLock<(Amounts, HashMap<String, Amounts>)>);

impl Locked {
    fn reserve(&self, holder: &str) -> bool {
        let mut books = self.0.write();
        let fits = WANT
            .as_array()
            .iter()
            .zip(books.0.as_array())
            .all(|(want, free)| *want <= free);
        if fits && !books.1.contains_key(holder) {
            books.0 = books.0.saturating_sub(WANT);
            books.1.insert(holder.to_owned(), WANT);
        }
        fits
    }

    fn release(&self, holder: &str) {
        let mut books = self.0.write();
        if let Some(amounts) = books.1.remove(holder)
            && let Some(sum) = books.0.checked_add(amounts)
        {
            books.0 = sum;
        }
    }
}

/// Time `rounds` of `work`, shared out to `threads`.
fn timed(threads: usize, rounds: u64, work: impl Fn(usize) + Sync) -> std::time::Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let work = &work;
            scope.spawn(move || (0..rounds).for_each(|_| work(thread)));
        }
    });
    began.elapsed() / u32::try_from(threads).unwrap_or(1)
}

/// A pool and a locked map with a thousand holders each.
fn filled() -> (Arc<Pool>, Locked) {
    let pool = Pool::new("machine", HAVE);
    let locked = Locked(RwLock::new((HAVE, HashMap::new())));
    for i in 0..1000 {
        let name = format!("other.{i}");
        let _ = pool.hold(&name, Amounts::default());
        locked.0.write().1.insert(name, Amounts::default());
    }
    (pool, locked)
}

pub(crate) fn all(criterion: &mut Criterion) {
    reserve_release(criterion);
    quotas(criterion);
    batch(criterion);
    reads(criterion);
}

fn reserve_release(criterion: &mut Criterion) {
    let (pool, locked) = filled();
    let mut group = criterion.benchmark_group("ledger/reserve_release");
    for threads in [1, 2, 4, 8, 16] {
        let names: Vec<String> = (0..threads).map(|thread| format!("web.{thread}")).collect();
        let claims: Vec<_> = names.iter().map(|name| pool.claim(name, WANT)).collect();
        group.bench_function(BenchmarkId::new("by name", threads), |bench| {
            bench.iter_custom(|rounds| {
                timed(threads, rounds, |thread| {
                    black_box(pool.hold(&names[thread], WANT).is_ok());
                    black_box(pool.release(&names[thread]).is_ok());
                })
            });
        });
        group.bench_function(BenchmarkId::new("by lease", threads), |bench| {
            bench.iter_custom(|rounds| {
                timed(threads, rounds, |thread| {
                    if let Ok(lease) = pool.reserve(&names[thread], WANT) {
                        black_box(lease.release());
                    }
                })
            });
        });
        group.bench_function(BenchmarkId::new("by claim", threads), |bench| {
            bench.iter_custom(|rounds| {
                timed(threads, rounds, |thread| {
                    black_box(claims[thread].try_reserve());
                    black_box(claims[thread].release());
                })
            });
        });
        group.bench_function(BenchmarkId::new("one RwLock", threads), |bench| {
            bench.iter_custom(|rounds| {
                timed(threads, rounds, |thread| {
                    black_box(locked.reserve(&names[thread]));
                    locked.release(&names[thread]);
                })
            });
        });
    }
    group.finish();
}

/// What each pool around the one that is reserved from costs.
fn quotas(criterion: &mut Criterion) {
    let (machine, _) = filled();
    let fleet = machine.quota("fleet", [None; DIMENSIONS]);
    let service = fleet.quota("service", [None; DIMENSIONS]);
    let mut group = criterion.benchmark_group("ledger/quotas");
    for (pools, pool) in [machine, fleet, service].iter().enumerate() {
        let claim = pool.claim("web.1", WANT);
        group.bench_function(BenchmarkId::new("pools around", pools), |bench| {
            bench.iter(|| {
                black_box(claim.try_reserve());
                black_box(claim.release())
            });
        });
    }
    group.finish();
}

/// A thousand packed requests and their return; criterion prints how many a second.
fn batch(criterion: &mut Criterion) {
    let (pool, _) = filled();
    let Ok(batch) = pool.batch("crawler") else {
        return;
    };
    let requests = record(Amounts {
        cpu_milli: 1,
        memory: 1000,
        ..Amounts::default()
    })
    .repeat(1000);
    let mut group = criterion.benchmark_group("ledger/batch");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("reserve + release of packed requests", |bench| {
        let mut handles = Vec::new();
        bench.iter(|| {
            handles.clear();
            black_box(batch.reserve(&requests, &mut handles).is_ok());
            black_box(batch.release(&handles).is_ok())
        });
    });
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let (pool, _) = filled();
    criterion.bench_function("ledger/usage", |bench| {
        bench.iter(|| black_box(pool.usage()));
    });
    let mut group = criterion.benchmark_group("ledger/holders");
    let sizes = [10, 1_000, 100_000];
    for held in sizes {
        let pool = Pool::new("machine", HAVE);
        // However many there were before.
        for i in 0..200_000 {
            let _ = pool.hold(&i.to_string(), Amounts::default());
        }
        for i in held..200_000 {
            let _ = pool.release(&i.to_string());
        }
        group.bench_function(BenchmarkId::new("of 200,000 before", held), |bench| {
            bench.iter(|| black_box(pool.holders()).len());
        });
    }
    group.finish();
    growth("ledger/holders", "of 200,000 before", &sizes);
}
