//! Packed dependencies: an order that every dependency agrees with, or cycles whose every step is a dependency.
#![no_main]

use std::collections::{HashMap, HashSet};

use backstay_graph::{Condition, Graph, Node};
use libfuzzer_sys::fuzz_target;

/// Few enough that circles close and changes meet.
const SERVICES: u8 = 24;

fuzz_target!(|bytes: &[u8]| {
    let mut graph = Graph::new();
    let nodes: Vec<Node> = (0..SERVICES)
        .map(|name| graph.add(&name.to_string()))
        .collect();
    let mut edges: HashSet<(Node, Node)> = HashSet::new();
    for step in bytes.chunks_exact(3) {
        let [service, on] = [step[0], step[1]].map(|byte| byte % SERVICES);
        let (from, to) = (nodes[usize::from(service)], nodes[usize::from(on)]);
        if step[2] & 1 == 0 {
            graph.link(from, to, Condition::default());
            edges.insert((from, to));
        } else {
            let was = graph.disconnect(&service.to_string(), &on.to_string());
            assert_eq!(
                was,
                edges.remove(&(from, to)),
                "a dependency is there that was not, or the other way"
            );
        }
        // Asked now and then, so that changes find answers to follow.
        if step[2] & 6 == 0 {
            holds(&graph, &edges);
        }
    }
    holds(&graph, &edges);
});

fn holds(graph: &Graph, edges: &HashSet<(Node, Node)>) {
    if let Ok(order) = graph.order() {
        let place: HashMap<Node, usize> = order.iter().copied().zip(0..).collect();
        assert_eq!(place.len(), graph.len(), "somebody is missing");
        assert!(
            edges.iter().all(|(service, on)| place[on] < place[service]),
            "started before what it depends on"
        );
        assert!(graph.cycles().is_empty());
        return;
    }
    let cycles = graph.cycles();
    assert!(!cycles.is_empty(), "no order, and no cycle either");
    for cycle in cycles {
        let next = cycle.iter().cycle().skip(1);
        assert!(
            cycle
                .iter()
                .zip(next)
                .all(|step| edges.contains(&(*step.0, *step.1))),
            "a cycle of what does not depend"
        );
    }
}
