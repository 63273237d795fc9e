//! Reserve and give back, beside one lock around a map.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use backstay_ledger::{Amounts, Pool};
use criterion::{BenchmarkId, Criterion};
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

pub(crate) fn all(criterion: &mut Criterion) {
    let pool = Pool::new("machine", HAVE);
    let locked = Locked(RwLock::new((HAVE, HashMap::new())));
    for i in 0..1000 {
        let _ = pool.reserve(&format!("other.{i}"), Amounts::default());
        locked
            .0
            .write()
            .1
            .insert(format!("other.{i}"), Amounts::default());
    }
    let mut group = criterion.benchmark_group("ledger/reserve_release");
    for threads in [1, 2, 4, 8, 16] {
        let names: Vec<String> = (0..threads).map(|thread| format!("web.{thread}")).collect();
        group.bench_function(BenchmarkId::new("by name", threads), |bench| {
            bench.iter_custom(|rounds| {
                timed(threads, rounds, |thread| {
                    let _ = black_box(pool.reserve(&names[thread], WANT));
                    let _ = black_box(pool.release(&names[thread]));
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
    criterion.bench_function("ledger/usage", |bench| {
        bench.iter(|| black_box(pool.usage()));
    });
}
