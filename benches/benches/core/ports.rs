//! Lease and give back a port at several fills, beside two linear searches: through a map of who holds what, which
//! is what one would write first, and through bare flags, which know no holder.

use std::collections::HashMap;
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
        let mut holders = HashMap::new();
        for ((port, taken), i) in (first..=last).zip(&mut taken).zip(0..size * percent / 100) {
            let _ = ports.lease(&format!("other.{i}"));
            holders.insert(port, format!("other.{i}"));
            *taken = true;
        }
        group.bench_function(BenchmarkId::new("Ports, by lease", &id), |bench| {
            bench.iter(|| {
                let lease = ports.lease(black_box("web.1"));
                lease.is_ok_and(|lease| lease.release())
            });
        });
        group.bench_function(
            BenchmarkId::new("Ports, a lease used again", &id),
            |bench| {
                let Ok(mut lease) = ports.lease("web.1") else {
                    return;
                };
                lease.release();
                bench.iter(|| {
                    let renewed = ports.renew(black_box(&mut lease));
                    renewed.is_ok() && lease.release()
                });
            },
        );
        group.bench_function(BenchmarkId::new("Ports, by number", &id), |bench| {
            bench.iter(|| {
                let held = ports.hold(black_box("web.1"));
                held.is_ok_and(|held| ports.give_back(held))
            });
        });
        group.bench_function(BenchmarkId::new("search in a map", &id), |bench| {
            bench.iter(|| {
                let mut range = first..=last;
                let found = range.find(|port| !holders.contains_key(black_box(port)));
                if let Some(port) = found {
                    holders.insert(port, "web.1".to_owned());
                    black_box(&holders);
                    holders.remove(&port);
                }
            });
        });
        group.bench_function(BenchmarkId::new("search in flags", &id), |bench| {
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
