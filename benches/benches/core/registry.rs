//! Look up, register and take out at several sizes, beside lists under a lock and the scan of old.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use backstay_benches::growth;
use backstay_registry::{Instance, Registry};
use criterion::{BenchmarkId, Criterion};
use parking_lot::RwLock;

const SIZES: [usize; 3] = [100, 10_000, 100_000];
const NO_LABELS: [(&str, &str); 0] = [];

fn instance(i: usize) -> Instance {
    let (service, name) = (format!("service-{i}"), format!("service-{i}.1"));
    Instance::new(&service, &name, None, NO_LABELS)
}

/// What one writes first: lists by service, under one lock.
type Lists = RwLock<HashMap<String, Vec<Arc<Instance>>>>;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry");
    for size in SIZES {
        let registry = Registry::new();
        let lists = Lists::default();
        let mut scanned = Vec::new();
        for i in 0..size {
            let _ = registry.register(instance(i));
            let service = format!("service-{i}");
            lists.write().insert(service, vec![Arc::new(instance(i))]);
            scanned.push(Arc::new(instance(i)));
        }
        let name = format!("service-{}", size / 2);
        group.bench_function(BenchmarkId::new("lookup", size), |bench| {
            bench.iter(|| black_box(registry.lookup(&name)));
        });
        let view = registry.lookup(&name);
        group.bench_function(BenchmarkId::new("ask a kept view", size), |bench| {
            bench.iter(|| black_box(&view).is_current());
        });
        group.bench_function(
            BenchmarkId::new("lookup in lists under a lock", size),
            |bench| {
                bench.iter(|| black_box(lists.read().get(&name).cloned()));
            },
        );
        let scanned = RwLock::new(scanned);
        group.bench_function(BenchmarkId::new("lookup by scan", size), |bench| {
            bench.iter(|| {
                let all = scanned.read();
                let found = all.iter().filter(|one| one.service() == name);
                black_box(found.cloned().collect::<Vec<_>>())
            });
        });
        group.bench_function(BenchmarkId::new("register and take out", size), |bench| {
            bench.iter(|| {
                let _ = registry.register(Instance::new("new", "new.1", None, NO_LABELS));
                black_box(registry.deregister("new.1"))
            });
        });
        group.bench_function(
            BenchmarkId::new("register and take out of lists", size),
            |bench| {
                bench.iter(|| {
                    let new = Arc::new(Instance::new("new", "new.1", None, NO_LABELS));
                    lists.write().entry("new".to_owned()).or_default().push(new);
                    black_box(lists.write().remove("new"))
                });
            },
        );
        group.bench_function(BenchmarkId::new("snapshot", size), |bench| {
            bench.iter(|| black_box(registry.snapshot()));
        });
        // What a snapshot costs the writer after it: the parts that it shares are copied on the first change.
        group.bench_function(
            BenchmarkId::new("snapshot, register, take out", size),
            |bench| {
                bench.iter(|| {
                    let kept = registry.snapshot();
                    let _ = registry.register(Instance::new("new", "new.1", None, NO_LABELS));
                    registry.deregister("new.1");
                    kept
                });
            },
        );
    }
    group.finish();
    for what in ["lookup", "register and take out", "snapshot"] {
        growth("registry", what, &SIZES);
    }
}
