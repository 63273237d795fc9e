//! From names to an order, five edges a node, beside petgraph's own sort.

use std::collections::HashMap;
use std::hint::black_box;

use backstay_benches::growth;
use backstay_graph::Graph;
use criterion::{BenchmarkId, Criterion};
use petgraph::algo::toposort;
use petgraph::graph::DiGraph;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn edges(size: usize) -> Vec<(String, String)> {
    let mut seed = 7u64;
    let mut below = |most: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % (most as u64)).unwrap_or(0)
    };
    (1..size)
        .flat_map(|i| std::iter::repeat_n(i, 5))
        .map(|i| (format!("service-{i}"), format!("service-{}", below(i))))
        .collect()
}

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("graph/order");
    group.sample_size(10);
    for size in SIZES {
        let edges = edges(size);
        let pairs = || {
            edges
                .iter()
                .map(|(service, on)| (service.as_str(), on.as_str()))
        };
        group.bench_function(BenchmarkId::new("Graph", size), |bench| {
            bench.iter(|| black_box(Graph::from_edges(pairs()).order().map(|order| order.len())));
        });
        let graph = Graph::from_edges(pairs());
        group.bench_function(BenchmarkId::new("Graph, names known", size), |bench| {
            bench.iter(|| black_box(graph.clone().levels().map(|levels| levels.len())));
        });
        group.bench_function(BenchmarkId::new("petgraph", size), |bench| {
            bench.iter(|| {
                let (mut index, mut model) = (HashMap::new(), DiGraph::<&str, ()>::new());
                for (service, on) in pairs() {
                    let service = *index
                        .entry(service)
                        .or_insert_with(|| model.add_node(service));
                    let on = *index.entry(on).or_insert_with(|| model.add_node(on));
                    model.add_edge(on, service, ());
                }
                black_box(toposort(&model, None).map(|order| order.len()))
            });
        });
    }
    group.finish();
    for peer in ["Graph", "petgraph"] {
        growth("graph/order", peer, &SIZES);
    }
}
