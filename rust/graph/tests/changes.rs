//! A graph that changes, against one built anew after every change, and against petgraph's own incremental order.

use std::collections::BTreeMap;

use backstay_graph::{Condition, Graph, GraphError, Node};
use petgraph::acyclic::Acyclic;
use petgraph::graph::{DiGraph, NodeIndex};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Change {
    Add(u8),
    Depend(u8, u8, Condition),
    Disconnect(u8, u8),
    Remove(u8),
    Ask,
}

/// What the graph should be, in the plainest form: names in the order they were given, and conditions by edge.
#[derive(Debug, Default)]
struct Plain {
    names: Vec<u8>,
    edges: BTreeMap<(u8, u8), Condition>,
}

impl Plain {
    fn add(&mut self, name: u8) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Add(name) => self.add(name),
            Change::Depend(service, on, condition) => {
                self.add(service);
                self.add(on);
                let known = self.edges.entry((service, on)).or_insert(condition);
                *known = condition.max(*known);
            }
            Change::Disconnect(service, on) => drop(self.edges.remove(&(service, on))),
            Change::Remove(name) => {
                self.names.retain(|known| *known != name);
                self.edges
                    .retain(|&(service, on), _| service != name && on != name);
            }
            Change::Ask => {}
        }
    }

    fn build(&self) -> Graph {
        let mut graph = Graph::new();
        for name in &self.names {
            graph.add(&name.to_string());
        }
        for (&(service, on), &condition) in &self.edges {
            graph.depend(&service.to_string(), &on.to_string(), condition);
        }
        graph
    }
}

fn apply(graph: &mut Graph, change: Change) {
    match change {
        Change::Add(name) => drop(graph.add(&name.to_string())),
        Change::Depend(service, on, condition) => {
            graph.depend(&service.to_string(), &on.to_string(), condition);
        }
        Change::Disconnect(service, on) => {
            graph.disconnect(&service.to_string(), &on.to_string());
        }
        Change::Remove(name) => drop(graph.remove(&name.to_string())),
        Change::Ask => drop((graph.order().is_ok(), graph.cycles().len())),
    }
}

/// Every answer there is, in names.
fn answers(graph: &Graph) -> Vec<Vec<String>> {
    let named = |nodes: &[Node]| -> Vec<String> {
        nodes
            .iter()
            .map(|&node| graph.name(node).to_owned())
            .collect()
    };
    let mut all = vec![named(&graph.nodes().collect::<Vec<_>>())];
    match graph.order() {
        Ok(order) => all.push(named(order)),
        Err(GraphError::Cycle { path }) => all.push(path),
        Err(other) => panic!("{other}"),
    }
    all.extend(graph.levels().into_iter().flatten().map(named));
    all.extend(graph.cycles().iter().map(|cycle| named(cycle)));
    for node in graph.nodes() {
        all.extend([named(&graph.impact(node)), named(&graph.requirements(node))]);
    }
    for edge in graph.edges() {
        all.push(named(&[edge.service, edge.on]));
        all.push(vec![edge.condition.to_string()]);
    }
    if let Ok((_, path)) =
        graph.critical_path(|node| f64::from(u8::from(graph.name(node) > "4")) + 0.5)
    {
        all.push(named(&path));
    }
    all
}

fn change() -> impl Strategy<Value = Change> {
    let name = || 0u8..10;
    let condition = prop_oneof![
        Just(Condition::Started),
        Just(Condition::Healthy),
        Just(Condition::Completed)
    ];
    prop_oneof![
        1 => name().prop_map(Change::Add),
        6 => (name(), name(), condition).prop_map(|(a, b, condition)| Change::Depend(a, b, condition)),
        // Most of the time no circle, or there would be little else.
        6 => (name(), name()).prop_map(|(a, b)| Change::Depend(a.max(b), a.min(b), Condition::Healthy)),
        4 => (name(), name()).prop_map(|(a, b)| Change::Disconnect(a, b)),
        2 => name().prop_map(Change::Remove),
        3 => Just(Change::Ask),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_changed_graph_answers_as_one_built_anew(
        changes in prop::collection::vec(change(), 1..60),
        always in any::<bool>(),
    ) {
        let (mut graph, mut plain) = (Graph::new(), Plain::default());
        for change in changes {
            apply(&mut graph, change);
            plain.apply(change);
            if always {
                prop_assert_eq!(answers(&graph), answers(&plain.build()));
            }
        }
        prop_assert_eq!(answers(&graph), answers(&plain.build()));
    }

    #[test]
    fn a_circle_is_seen_where_petgraphs_incremental_order_sees_one(
        edges in prop::collection::vec((0u8..10, 0u8..10), 1..60),
    ) {
        let mut graph = Graph::new();
        let mut acyclic = Acyclic::<DiGraph<(), ()>>::new();
        let nodes: Vec<NodeIndex> = (0..10)
            .map(|node| {
                graph.add(&node.to_string());
                petgraph::data::Build::add_node(&mut acyclic, ())
            })
            .collect();
        for (service, on) in edges {
            let taken = acyclic.try_add_edge(nodes[on as usize], nodes[service as usize], ()).is_ok();
            graph.depend(&service.to_string(), &on.to_string(), Condition::Started);
            prop_assert_eq!(graph.order().is_ok(), taken);
            if !taken {
                graph.disconnect(&service.to_string(), &on.to_string());
            }
        }
    }
}

#[test]
fn a_wave_too_long_to_follow_is_sorted_anew() {
    let names: Vec<String> = (0..20_000).map(|i| i.to_string()).collect();
    let mut graph = Graph::from_edges(names.windows(2).map(|pair| (&*pair[1], &*pair[0])));
    assert_eq!(graph.levels().unwrap().len(), 20_000);
    graph.depend("0", "deepest", Condition::Healthy);
    assert_eq!(graph.levels().unwrap().len(), 20_001);
    assert!(graph.disconnect("0", "deepest"));
    assert_eq!(graph.levels().unwrap().len(), 20_000);
    graph.depend("0", "19999", Condition::Healthy);
    assert_eq!(graph.cycles()[0].len(), 20_000);
    assert!(graph.disconnect("10000", "9999"));
    assert_eq!(graph.levels().unwrap().len(), 20_000);
}

#[test]
fn services_that_come_and_go_leave_nothing_behind() {
    let mut graph = Graph::from_edges([("web", "db"), ("db", "disk")]);
    for round in 0..100_000 {
        let name = format!("job-{round}");
        graph.depend(&name, "db", Condition::Started);
        assert_eq!(graph.impact(graph.node("db").unwrap()).len(), 2);
        assert!(graph.remove(&name).is_some());
    }
    assert!(graph.bound() < 3_000, "{}", graph.bound());
    let order: Vec<&str> = graph
        .order()
        .unwrap()
        .iter()
        .map(|&node| graph.name(node))
        .collect();
    assert_eq!(order, ["disk", "db", "web"]);
}

#[test]
fn many_changed_rows_are_laid_flat_without_losing_one() {
    let names: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    let mut graph = Graph::from_edges(names.windows(2).map(|pair| (&*pair[1], &*pair[0])));
    assert!(graph.order().is_ok());
    for (i, name) in names.iter().enumerate().skip(7) {
        graph.depend(name, &names[i / 2], Condition::Started);
        graph.depend(&format!("late-{i}"), name, Condition::Started);
    }
    let anew = Graph::from_edges(
        graph
            .edges()
            .map(|edge| (graph.name(edge.service), graph.name(edge.on))),
    );
    assert_eq!(anew.edges().count(), graph.edges().count());
    assert_eq!(graph.edges().count(), 9_999 + 2 * 9_993);
    assert_eq!(graph.levels().unwrap().len(), anew.levels().unwrap().len());
}
