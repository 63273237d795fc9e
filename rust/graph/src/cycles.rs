//! Cycles: which services wait for one another in a circle.

use std::collections::VecDeque;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::Node;
use crate::graph::Graph;
use crate::order::STUCK;

impl Graph {
    /// For every group of services that wait for one another, one circle: a shortest one through the member
    /// that was named first, beginning with it. Each depends on the next, and the last on the first.
    pub fn cycles(&self) -> &[Vec<Node>] {
        self.answers.cycles.get_or_init(|| {
            if self.sorted().complete {
                return Vec::new();
            }
            Stuck::of(self).cycles()
        })
    }

    /// The shortest of the cycles; empty where there is none.
    pub(crate) fn first_cycle(&self) -> &[Node] {
        let shortest = self.cycles().iter().min_by_key(|cycle| cycle.len());
        shortest.map_or(&[], Vec::as_slice)
    }
}

/// The part of a graph that no order reaches, as petgraph's model: every circle is in it.
struct Stuck {
    /// From a service to what it depends on, both in the order they were named in.
    model: DiGraph<Node, (), u32>,
}

impl Stuck {
    fn of(graph: &Graph) -> Self {
        let levels = &graph.sorted().levels;
        let rest: Vec<Node> = graph
            .nodes()
            .filter(|node| levels[node.index()] == STUCK)
            .collect();
        let mut model = DiGraph::with_capacity(rest.len(), rest.len());
        let mut index = vec![NodeIndex::end(); graph.bound()];
        for &node in &rest {
            index[node.index()] = model.add_node(node);
        }
        for &node in &rest {
            // From the last, because petgraph walks them from the one that came last.
            for (on, _) in graph.dependencies(node).into_iter().rev() {
                if levels[on.index()] == STUCK {
                    model.add_edge(index[node.index()], index[on.index()], ());
                }
            }
        }
        Self { model }
    }

    fn cycles(&self) -> Vec<Vec<Node>> {
        let mut group = vec![0; self.model.node_count()];
        let mut firsts = Vec::new();
        // Kosaraju's, because petgraph's works without recursion: a long chain cannot overflow the stack.
        for (id, members) in kosaraju_scc(&self.model).into_iter().enumerate() {
            for member in &members {
                group[member.index()] = id;
            }
            firsts.extend(members.into_iter().min());
        }
        firsts.sort_unstable();
        let mut before = vec![None; group.len()];
        firsts
            .into_iter()
            .filter_map(|first| self.shortest_through(first, &group, &mut before))
            .collect()
    }

    /// A shortest circle through `first` within its group, by breadth-first search.
    fn shortest_through(
        &self,
        first: NodeIndex,
        group: &[usize],
        before: &mut [Option<NodeIndex>],
    ) -> Option<Vec<Node>> {
        let mut queue = VecDeque::from([first]);
        while let Some(node) = queue.pop_front() {
            for next in self.model.neighbors(node) {
                if next == first {
                    let back = |&node: &NodeIndex| before[node.index()];
                    let path = std::iter::successors(Some(node), back);
                    let mut path: Vec<Node> = path.map(|node| self.model[node]).collect();
                    path.reverse();
                    return Some(path);
                }
                if group[next.index()] == group[first.index()] && before[next.index()].is_none() {
                    before[next.index()] = Some(node);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}
