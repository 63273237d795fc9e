//! What a call pays for each check on its way, uncontended: rate limits beside `governor`, and the others beside the
//! atomic operation that is the least any shared count can cost.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use backstay_traffic::{
    Balance, Breaker, BreakerConfig, Budget, Bulkhead, BulkheadConfig, Candidate, Ejection,
    EjectionConfig, Limiter, Meter, Place, Policy, Rate, Time,
};
use criterion::{BenchmarkId, Criterion};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota};

/// So fast that no call of a bench is refused.
const FAST: NonZeroU32 = NonZeroU32::MAX;

pub(crate) fn all(criterion: &mut Criterion) {
    limits(criterion);
    protection(criterion);
    balance(criterion);
}

fn limits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("traffic/limit");
    let origin = Instant::now();
    let rate = || Rate::new(FAST, Duration::from_secs(1), FAST);
    let meter = Meter::new(rate());
    group.bench_function("one for all, Meter", |bench| {
        bench.iter(|| meter.check(Time::since(black_box(origin))));
    });
    let governor = DefaultDirectRateLimiter::direct(Quota::per_second(FAST));
    group.bench_function("one for all, governor", |bench| {
        bench.iter(|| black_box(&governor).check());
    });
    for keys in [1_u64, 10_000] {
        let mut key = 0;
        let mut next = move || {
            key = (key + 1) % keys;
            key
        };
        let limiter = Limiter::<u64>::new(rate(), 65_536);
        let governor = DefaultKeyedRateLimiter::<u64>::keyed(Quota::per_second(FAST));
        group.bench_function(BenchmarkId::new("for each key, Limiter", keys), |bench| {
            bench.iter(|| limiter.check(&next(), Time::since(black_box(origin))));
        });
        group.bench_function(BenchmarkId::new("for each key, governor", keys), |bench| {
            bench.iter(|| governor.check_key(&next()));
        });
    }
    group.finish();
}

fn protection(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("traffic/check");
    let count = AtomicU64::new(0);
    group.bench_function("an atomic add", |bench| {
        bench.iter(|| black_box(&count).fetch_add(1, Relaxed));
    });
    let origin = Instant::now();
    group.bench_function("the time", |bench| {
        bench.iter(|| Time::since(black_box(origin)));
    });
    let breaker = Breaker::new(BreakerConfig::default());
    group.bench_function("Breaker, check and success", |bench| {
        bench.iter(|| {
            let now = black_box(Time(1_000_000));
            (breaker.check(now), breaker.success(now))
        });
    });
    let (ejection, config) = (
        Ejection::default(),
        EjectionConfig {
            failures: 5,
            rests_for: Duration::from_secs(30),
            at_most: Duration::from_secs(300),
        },
    );
    black_box(ejection.failure(&config, Time(1)));
    group.bench_function("Ejection, look and success", |bench| {
        bench.iter(|| {
            black_box(&ejection).success();
            ejection.is_out(black_box(Time(1_000_000)))
        });
    });
    let budget = Budget::new(0.2, 10);
    group.bench_function("Budget, deposit", |bench| {
        bench.iter(|| black_box(&budget).deposit());
    });
    let bulkhead = Bulkhead::new(
        BulkheadConfig::new(64, 64, Duration::from_secs(1)),
        Instant::now(),
    );
    group.bench_function("Bulkhead, enter and leave", |bench| {
        bench.iter(|| {
            let now = black_box(Time(1_000_000));
            if let Ok(Place::In(ticket)) = bulkhead.enter(now) {
                ticket.leave(now);
            }
        });
    });
    group.finish();
}

fn balance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("traffic/balance");
    for policy in [
        Policy::LeastOutstanding,
        Policy::RoundRobin,
        Policy::ConsistentHash,
    ] {
        for count in [2_u64, 8] {
            let (balance, candidates) = (
                Balance::new(policy),
                (1..=count).map(Candidate::new).collect::<Vec<_>>(),
            );
            group.bench_function(BenchmarkId::new(format!("{policy:?}"), count), |bench| {
                bench.iter(|| balance.choose(black_box(&candidates), black_box(7), [0.3, 0.6]));
            });
        }
    }
    group.finish();
}
