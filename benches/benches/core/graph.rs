//! From names to an order, five edges a node, beside petgraph's own sort; and changes after it, beside petgraph's
//! incremental order.

use std::collections::HashMap;
use std::hint::black_box;

use backstay_benches::growth;
use backstay_graph::{Condition, Graph};
use criterion::{BenchmarkId, Criterion};
use petgraph::acyclic::Acyclic;
use petgraph::algo::toposort;
use petgraph::data::Build;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::stable_graph::StableDiGraph;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Of each node, five that were named before it.
fn pairs(size: usize) -> Vec<(usize, usize)> {
    let mut seed = 7u64;
    let mut below = |most: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % (most as u64)).unwrap_or(0)
    };
    (1..size)
        .flat_map(|i| std::iter::repeat_n(i, 5))
        .map(|i| (i, below(i)))
        .collect()
}

fn edges(size: usize) -> Vec<(String, String)> {
    let name = |i| format!("service-{i}");
    pairs(size)
        .into_iter()
        .map(|(service, on)| (name(service), name(on)))
        .collect()
}

pub(crate) fn all(criterion: &mut Criterion) {
    order(criterion);
    change(criterion);
}

fn order(criterion: &mut Criterion) {
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
            bench.iter(|| black_box(Graph::from_edges(pairs()).order().map(<[_]>::len)));
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

/// A new service that depends on five comes and goes, in a graph that was sorted.
fn change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("graph/change");
    group.sample_size(10);
    for size in SIZES {
        let edges = edges(size);
        let few: Vec<&str> = edges.iter().rev().take(5).map(|(_, on)| &**on).collect();
        let mut graph = Graph::from_edges(edges.iter().map(|(service, on)| (&**service, &**on)));
        black_box(graph.order().is_ok());
        group.bench_function(BenchmarkId::new("Graph", size), |bench| {
            bench.iter(|| {
                for on in &few {
                    graph.depend("new", on, Condition::Healthy);
                }
                black_box(graph.cycles().len());
                black_box(graph.remove("new"));
            });
        });
        drop(graph);
        let mut acyclic = Acyclic::<StableDiGraph<(), ()>>::new();
        let nodes: Vec<NodeIndex> = (0..size).map(|_| acyclic.add_node(())).collect();
        let pairs = pairs(size);
        for &(service, on) in &pairs {
            black_box(acyclic.try_add_edge(nodes[on], nodes[service], ()).is_ok());
        }
        let few: Vec<usize> = pairs.iter().rev().take(5).map(|&(_, on)| on).collect();
        group.bench_function(BenchmarkId::new("petgraph", size), |bench| {
            bench.iter(|| {
                let new = acyclic.add_node(());
                for &on in &few {
                    black_box(acyclic.try_add_edge(nodes[on], new, ()).is_ok());
                }
                black_box(acyclic.remove_node(new));
            });
        });
    }
    group.finish();
}
