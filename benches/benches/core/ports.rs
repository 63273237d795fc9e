//! Lease and give back a port at several fills, beside a linear search.

use std::hint::black_box;

use backstay_ledger::Ports;
use criterion::{BenchmarkId, Criterion};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ports/lease_release");
    for (first, last, percent) in [
        (30_000u16, 31_999, 0),
        (30_000, 31_999, 99),
        (1_024, 65_535, 50),
    ] {
        let size = usize::from(last - first) + 1;
        let id = format!("{size} at {percent} %");
        let (Ok(ports), mut taken) = (Ports::new(first, last), vec![false; size]) else {
            return;
        };
        for (i, taken) in taken.iter_mut().enumerate().take(size * percent / 100) {
            let _ = ports.lease(&format!("other.{i}"));
            *taken = true;
        }
        group.bench_function(BenchmarkId::new("Ports", &id), |bench| {
            bench.iter(|| ports.lease("web.1").map(|lease| black_box(lease).release()));
        });
        group.bench_function(BenchmarkId::new("linear search", &id), |bench| {
            bench.iter(|| {
                let found = black_box(&taken).iter().position(|taken| !taken);
                if let Some(at) = found {
                    taken[at] = true;
                    black_box(&taken);
                    taken[at] = false;
                }
            });
        });
    }
    group.finish();
}
