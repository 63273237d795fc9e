//! Reach: what a change touches, and what a service stands on.

use std::collections::HashSet;

use ahash::RandomState;

use crate::Node;
use crate::graph::Graph;
use crate::rows::Rows;

impl Graph {
    /// Every service that depends on `node`, directly or not: the nearest first, and equally near ones in the
    /// order they were named in. It includes `node` itself only when that stands in a circle.
    pub fn impact(&self, node: Node) -> Vec<Node> {
        reach(node, self.dependent_rows())
    }

    /// Every service that `node` depends on, directly or not; in the same order.
    pub fn requirements(&self, node: Node) -> Vec<Node> {
        reach(node, self.dependency_rows())
    }
}

/// In time and space proportional to the answer: mostly a small part of a large graph.
fn reach(start: Node, rows: &Rows) -> Vec<Node> {
    let mut seen = HashSet::<Node, RandomState>::default();
    let mut found: Vec<Node> = Vec::new();
    let mut front = vec![start];
    while !front.is_empty() {
        let from = found.len();
        for &node in &front {
            let next = rows.row(node).iter().map(|link| link.node());
            found.extend(next.filter(|node| seen.insert(*node)));
        }
        found[from..].sort_unstable();
        front.clear();
        front.extend_from_slice(&found[from..]);
    }
    found
}
