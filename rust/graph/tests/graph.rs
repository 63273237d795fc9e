//! The public face of the graph, against answers worked out the slow way.

use std::collections::{BTreeMap, BTreeSet};

use backstay_graph::{Condition, Graph, GraphError, Node};
use proptest::prelude::*;

fn graph(edges: &[(&str, &str)]) -> Graph {
    Graph::from_edges(edges.iter().copied())
}

fn names(graph: &Graph, nodes: impl AsRef<[Node]>) -> Vec<&str> {
    let nodes = nodes.as_ref().iter();
    nodes.map(|&node| graph.name(node)).collect()
}

fn order(graph: &Graph) -> Vec<&str> {
    names(graph, graph.order().expect("no circle"))
}

fn levels(graph: &Graph) -> Vec<Vec<&str>> {
    let levels = graph.levels().expect("no circle");
    levels.map(|level| names(graph, level)).collect()
}

fn cycles(graph: &Graph) -> Vec<Vec<&str>> {
    let cycles = graph.cycles().iter();
    cycles.map(|cycle| names(graph, cycle)).collect()
}

fn impact<'a>(graph: &'a Graph, name: &str) -> Vec<&'a str> {
    names(graph, graph.impact(graph.node(name).expect("it is there")))
}

fn requirements<'a>(graph: &'a Graph, name: &str) -> Vec<&'a str> {
    names(
        graph,
        graph.requirements(graph.node(name).expect("it is there")),
    )
}

#[test]
fn dependencies_come_first_and_levels_start_together() {
    let graph = graph(&[
        ("web", "api"),
        ("api", "db"),
        ("api", "cache"),
        ("db", "disk"),
        ("web", "cache"),
    ]);
    assert_eq!(order(&graph), ["cache", "disk", "db", "api", "web"]);
    assert_eq!(
        levels(&graph),
        [vec!["cache", "disk"], vec!["db"], vec!["api"], vec!["web"]]
    );
}

#[test]
fn a_circle_is_named_by_its_shortest_path() {
    let long = [
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("d", "a"),
        ("c", "a"),
        ("x", "a"),
        ("y", "y"),
        ("p", "q"),
    ];
    let graph = graph(&long);
    assert_eq!(cycles(&graph), [vec!["a", "b", "c"], vec!["y"]]);
    let Err(GraphError::Cycle { path }) = graph.order() else {
        panic!("no order exists")
    };
    assert_eq!(path, ["y", "y"]);
    assert!(
        graph.levels().is_err()
            && graph.reduction().is_err()
            && graph.critical_path(|_| 1.0).is_err()
    );
}

#[test]
fn a_chain_of_a_million_does_not_overflow_the_stack() {
    let names: Vec<String> = (0..1_000_000).map(|i| i.to_string()).collect();
    let mut graph = Graph::from_edges(names.windows(2).map(|pair| (&*pair[0], &*pair[1])));
    assert_eq!(order(&graph)[0], "999999");
    graph.depend("999999", "0", Condition::Started);
    assert_eq!(graph.cycles()[0].len(), 1_000_000);
}

#[test]
fn a_few_are_ordered_by_what_stands_between_them() {
    let graph = graph(&[
        ("web", "api"),
        ("api", "db"),
        ("db", "disk"),
        ("job", "disk"),
    ]);
    let few = ["web", "disk", "job", "web"].map(|name| graph.node(name).unwrap());
    assert_eq!(
        names(&graph, graph.order_among(few.to_vec()).unwrap()),
        ["disk", "job", "web"]
    );
}

#[test]
fn a_reduction_that_nobody_could_look_at_is_refused() {
    let names: Vec<String> = (0..=2_000).map(|i| i.to_string()).collect();
    let chain = |most: usize| {
        Graph::from_edges(names[..most].windows(2).map(|pair| (&*pair[0], &*pair[1])))
    };
    assert_eq!(chain(2_000).reduction().unwrap().len(), 1_999);
    assert_eq!(
        chain(2_001).reduction().unwrap_err().to_string(),
        "a graph of 2001 services is too large for this; the most is 2000"
    );
}

#[test]
fn impact_is_every_dependant_nearest_first() {
    let graph = graph(&[
        ("api", "db"),
        ("web", "api"),
        ("job", "db"),
        ("web", "job"),
        ("other", "disk"),
    ]);
    assert_eq!(impact(&graph, "db"), ["api", "job", "web"]);
    assert_eq!(requirements(&graph, "web"), ["api", "job", "db"]);
    assert_eq!(
        graph.node("nobody").unwrap_err().to_string(),
        "there is no service `nobody`"
    );
}

#[test]
fn the_critical_path_is_the_longest_in_time_not_in_steps() {
    let graph = graph(&[("c", "b"), ("b", "a"), ("c", "slow")]);
    let slow = graph.node("slow").unwrap();
    let seconds = |node| if node == slow { 10.0 } else { 1.0 };
    let (total, path) = graph.critical_path(seconds).unwrap();
    assert_eq!((total, names(&graph, path)), (11.0, vec!["slow", "c"]));
    assert_eq!(Graph::new().critical_path(seconds).unwrap(), (0.0, vec![]));
    assert!(matches!(
        graph.critical_path(|_| -1.0),
        Err(GraphError::InvalidDuration { .. })
    ));
}

#[test]
fn conditions_stay_with_their_edges_and_the_strictest_counts() {
    let mut graph = Graph::new();
    graph.depend("web", "db", Condition::Started);
    graph.depend("web", "db", Condition::Completed);
    graph.depend("web", "db", Condition::Healthy);
    let (web, db) = (graph.node("web").unwrap(), graph.node("db").unwrap());
    assert_eq!(graph.dependencies(web), [(db, Condition::Completed)]);
    assert_eq!(graph.dependents(db), [(web, Condition::Completed)]);
    // And once something was asked, when a change goes another way.
    graph.depend("job", "db", Condition::Started);
    graph.depend("job", "db", Condition::Completed);
    graph.depend("job", "db", Condition::Healthy);
    let job = graph.node("job").unwrap();
    assert_eq!(graph.dependencies(job), [(db, Condition::Completed)]);
    assert_eq!(
        graph.dependents(db),
        [(web, Condition::Completed), (job, Condition::Completed)]
    );
    assert!(graph.disconnect("web", "db") && !graph.disconnect("web", "db"));
    assert_eq!((graph.edges().count(), graph.len()), (1, 3));
}

#[test]
fn an_answer_forgets_what_was_taken_out() {
    let mut graph = graph(&[("web", "api"), ("api", "db")]);
    assert_eq!(order(&graph), ["db", "api", "web"]);
    assert!(graph.remove("api").is_some() && graph.remove("api").is_none());
    assert_eq!(order(&graph), ["web", "db"]);
    graph.add("late");
    graph.depend("db", "late", Condition::Healthy);
    assert_eq!(impact(&graph, "late"), ["db"]);
}

fn edges() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec((0u8..12, 0u8..12), 0..40)
}

/// What `from` reaches in one step or more.
fn reach(edges: &[(u8, u8)], from: u8) -> BTreeSet<u8> {
    let mut found = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(node) = todo.pop() {
        todo.extend(
            edges
                .iter()
                .filter(|&&(a, b)| a == node && found.insert(b))
                .map(|&(_, b)| b),
        );
    }
    found
}

fn named(edges: &[(u8, u8)]) -> Graph {
    let names: Vec<(String, String)> = edges
        .iter()
        .map(|(a, b)| (a.to_string(), b.to_string()))
        .collect();
    Graph::from_edges(names.iter().map(|(a, b)| (&**a, &**b)))
}

/// The level of each service, the slow way: raise what must be raised until nothing must.
fn levels_by_hand(edges: &[(u8, u8)]) -> BTreeMap<u8, usize> {
    let mut levels: BTreeMap<u8, usize> =
        edges.iter().flat_map(|&(a, b)| [(a, 0), (b, 0)]).collect();
    while let Some((service, on)) = edges.iter().find(|(a, b)| levels[a] <= levels[b]) {
        levels.insert(*service, levels[on] + 1);
    }
    levels
}

proptest! {
    /// From the beginning and from the end, levels are read off; elsewhere they are sorted.
    #[test]
    fn levels_do_not_depend_on_the_order_that_edges_are_named_in(edges in edges(), shuffled in any::<u64>()) {
        let mut edges: Vec<(u8, u8)> = edges.into_iter().filter(|(a, b)| a > b).collect();
        let expected = levels_by_hand(&edges);
        for turn in 0..4 {
            match turn {
                0 => edges.sort_unstable(),
                1 => edges.reverse(),
                2 => edges.sort_unstable_by_key(|&(a, b)| (u64::from(a) * 13 + u64::from(b)).wrapping_mul(shuffled | 1)),
                _ => edges.sort_unstable_by_key(|&(a, b)| (b, a)),
            }
            let graph = named(&edges);
            let found: BTreeMap<u8, usize> = levels(&graph)
                .iter()
                .enumerate()
                .flat_map(|(level, names)| names.iter().map(move |name| (name.parse().unwrap(), level)))
                .collect();
            prop_assert_eq!(&found, &expected);
        }
    }

    /// Names that agree in what stands in a head: the first eight bytes, the last seven, the length.
    #[test]
    fn names_of_every_length_are_told_apart(middles in prop::collection::vec("[ab]{0,9}", 1..40)) {
        let name = |middle: &str| [
            middle.to_owned(),
            format!("backstay{middle}service"),
            format!("backsta{middle}"),
            format!("b{middle}"),
        ];
        let all: Vec<String> = middles.iter().flat_map(|middle| name(middle)).collect();
        let graph = Graph::from_edges(all.iter().map(|name| (&**name, &**name)));
        let mut expected: Vec<&str> = Vec::new();
        for name in &all {
            if !expected.contains(&&**name) {
                expected.push(name);
            }
        }
        prop_assert_eq!(names(&graph, graph.nodes().collect::<Vec<_>>()), expected);
    }

    #[test]
    fn the_order_keeps_every_dependency_or_names_a_true_circle(edges in edges()) {
        let graph = named(&edges);
        match graph.order() {
            Ok(order) => {
                let order = names(&graph, order);
                let at: BTreeMap<&str, usize> = order.iter().enumerate().map(|(i, name)| (*name, i)).collect();
                prop_assert_eq!(at.len(), graph.len());
                for (a, b) in &edges {
                    prop_assert!(at[&*b.to_string()] < at[&*a.to_string()]);
                }
            }
            Err(GraphError::Cycle { path }) => {
                prop_assert_eq!(path.first(), path.last());
                for pair in path.windows(2) {
                    let edge = (pair[0].parse().unwrap(), pair[1].parse().unwrap());
                    prop_assert!(edges.contains(&edge));
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn every_cyclic_component_has_one_cycle_and_none_is_longer_than_need_be(edges in edges()) {
        let graph = named(&edges);
        let on_cycle: BTreeSet<u8> = (0..12).filter(|&node| reach(&edges, node).contains(&node)).collect();
        let mut seen = BTreeSet::new();
        for cycle in cycles(&graph) {
            let cycle: Vec<u8> = cycle.iter().map(|name| name.parse().unwrap()).collect();
            let component: BTreeSet<u8> = reach(&edges, cycle[0])
                .into_iter()
                .filter(|&node| reach(&edges, node).contains(&cycle[0]))
                .collect();
            for (i, node) in cycle.iter().enumerate() {
                prop_assert!(edges.contains(&(*node, cycle[(i + 1) % cycle.len()])));
            }
            // Shortest: no set of edges of fewer steps leads back.
            let mut front = BTreeSet::from([cycle[0]]);
            for _ in 1..cycle.len() {
                front = edges.iter().filter(|(a, _)| front.contains(a)).map(|&(_, b)| b).collect();
                prop_assert!(!front.contains(&cycle[0]));
            }
            prop_assert!(seen.is_disjoint(&component));
            seen.extend(component);
        }
        prop_assert_eq!(seen, on_cycle);
    }

    #[test]
    fn the_reduction_reaches_the_same_with_no_edge_to_spare(edges in edges()) {
        let edges: Vec<(u8, u8)> = edges.into_iter().filter(|(a, b)| a < b).collect();
        let graph = named(&edges);
        let kept: Vec<(u8, u8)> =
            graph.reduction().unwrap().iter().map(|&(a, b)| (graph.name(a).parse().unwrap(), graph.name(b).parse().unwrap())).collect();
        for node in 0..12 {
            prop_assert_eq!(reach(&kept, node), reach(&edges, node));
        }
        for skip in &kept {
            let fewer: Vec<_> = kept.iter().filter(|edge| *edge != skip).copied().collect();
            prop_assert!(!reach(&fewer, skip.0).contains(&skip.1));
        }
    }

    #[test]
    fn impact_and_requirements_are_each_others_mirror(edges in edges(), node in 0u8..12) {
        let graph = named(&edges);
        if graph.contains(&node.to_string()) {
            let found = requirements(&graph, &node.to_string());
            let found: BTreeSet<u8> = found.iter().map(|name| name.parse().unwrap()).collect();
            prop_assert_eq!(found, reach(&edges, node));
            let back: Vec<(u8, u8)> = edges.iter().map(|&(a, b)| (b, a)).collect();
            let impact = impact(&graph, &node.to_string());
            let impact: BTreeSet<u8> = impact.iter().map(|name| name.parse().unwrap()).collect();
            prop_assert_eq!(impact, reach(&back, node));
        }
    }
}
