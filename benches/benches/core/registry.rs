//! Look up, register and take out, at several sizes.

use std::hint::black_box;

use backstay_benches::growth;
use backstay_registry::{Instance, Registry};
use criterion::{BenchmarkId, Criterion};

const SIZES: [usize; 3] = [100, 10_000, 100_000];

fn instance(i: usize) -> Instance {
    let service = format!("service-{i}").into();
    Instance {
        service,
        name: format!("service-{i}.1").into(),
        ..Instance::default()
    }
}

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry");
    for size in SIZES {
        let registry = Registry::new();
        for i in 0..size {
            let _ = registry.register(instance(i));
        }
        let name = format!("service-{}", size / 2);
        group.bench_function(BenchmarkId::new("lookup", size), |bench| {
            bench.iter(|| black_box(registry.lookup(&name)));
        });
        group.bench_function(BenchmarkId::new("register and take out", size), |bench| {
            bench.iter(|| {
                let _ = registry.register(instance(size));
                black_box(registry.deregister(&format!("service-{size}.1")))
            });
        });
        group.bench_function(BenchmarkId::new("snapshot", size), |bench| {
            bench.iter(|| black_box(registry.snapshot()));
        });
    }
    group.finish();
    for what in ["lookup", "register and take out", "snapshot"] {
        growth("registry", what, &SIZES);
    }
}
