//! Count, and render a hundred thousand series.

use std::hint::black_box;

use backstay_telemetry::{LATENCY_SECONDS, Options, Registry};
use criterion::Criterion;

const SERIES: usize = 100_000;

pub(crate) fn all(criterion: &mut Criterion) {
    let registry = Registry::new();
    let Ok(calls) = registry.counter_with(
        "calls",
        "Calls",
        &["service", "tool"],
        Options { cap: SERIES },
    ) else {
        return;
    };
    let Ok(seconds) = registry.histogram("seconds", "Time", &[], &LATENCY_SECONDS) else {
        return;
    };
    let (one, time) = (calls.with(&["files", "read"]), seconds.with(&[]));
    let mut group = criterion.benchmark_group("telemetry");
    group.bench_function("inc", |bench| bench.iter(|| one.inc()));
    group.bench_function("find by two labels and inc", |bench| {
        bench.iter(|| calls.with(black_box(&["files", "read"])).inc());
    });
    group.bench_function("observe", |bench| {
        bench.iter(|| time.observe(black_box(0.017)));
    });
    let all: Vec<_> = (1..SERIES)
        .map(|i| calls.with(&[&format!("service-{}", i % 100), &format!("tool-{i}")]))
        .collect();
    let mut out = Vec::new();
    group.sample_size(10);
    group.bench_function("render 100,000 series, unchanged", |bench| {
        bench.iter(|| {
            out.clear();
            registry.render(&mut out);
        });
    });
    group.bench_function("render 100,000 series, all changed", |bench| {
        bench.iter(|| {
            all.iter().for_each(backstay_telemetry::Counter::inc);
            out.clear();
            registry.render(&mut out);
        });
    });
    let mut copy = Vec::with_capacity(out.len());
    group.bench_function("memcpy of the same", |bench| {
        bench.iter(|| {
            copy.clear();
            copy.extend_from_slice(black_box(&out));
            black_box(&copy);
        });
    });
    group.finish();
}
