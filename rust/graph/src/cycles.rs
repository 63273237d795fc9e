//! Cycles: which services wait for one another in a circle.

use std::collections::VecDeque;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::graph::Graph;

const NONE: u32 = u32::MAX;

impl Graph {
    /// For every group of services that wait for one another, one circle: a shortest one through the member
    /// that was named first, beginning with it. Each depends on the next, and the last on the first.
    pub fn cycles(&self) -> Vec<Vec<&str>> {
        self.cycle_nodes()
            .into_iter()
            .map(|cycle| cycle.into_iter().map(|n| self.name(n)).collect())
            .collect()
    }

    /// The shortest of the cycles. Only called when there is one.
    pub(crate) fn first_cycle(&self) -> Vec<u32> {
        self.cycle_nodes()
            .into_iter()
            .min_by_key(Vec::len)
            .unwrap_or_default()
    }

    fn cycle_nodes(&self) -> Vec<Vec<u32>> {
        if self.sorted().complete {
            return Vec::new();
        }
        let mut group = vec![NONE; self.bound()];
        let mut firsts = Vec::new();
        for (id, members) in (0u32..).zip(self.components()) {
            for &member in &members {
                group[member as usize] = id;
            }
            firsts.extend(members.into_iter().min());
        }
        firsts.sort_unstable();
        let mut before = vec![NONE; self.bound()];
        firsts
            .into_iter()
            .filter_map(|first| self.shortest_through(first, &group, &mut before))
            .collect()
    }

    /// The strongly connected components of what no order reaches: every circle is in one of them.
    fn components(&self) -> Vec<Vec<u32>> {
        let mut stuck = vec![true; self.bound()];
        for &node in &self.sorted().order {
            stuck[node as usize] = false;
        }
        let rest: Vec<u32> = self
            .names
            .numbers()
            .filter(|&node| stuck[node as usize])
            .collect();
        let rows = self.dependency_rows();
        let mut model = DiGraph::<u32, (), u32>::with_capacity(rest.len(), rest.len());
        let mut index = vec![NodeIndex::end(); self.bound()];
        for &node in &rest {
            index[node as usize] = model.add_node(node);
        }
        for &node in &rest {
            for &on in rows.row(node).iter().filter(|&&on| stuck[on as usize]) {
                model.add_edge(index[node as usize], index[on as usize], ());
            }
        }
        // Kosaraju's, because petgraph's works without recursion: a long chain cannot overflow the stack.
        let components = kosaraju_scc(&model);
        components
            .into_iter()
            .map(|members| members.into_iter().map(|at| model[at]).collect())
            .collect()
    }

    /// A shortest circle through `first` within its group, by breadth-first search.
    fn shortest_through(&self, first: u32, group: &[u32], before: &mut [u32]) -> Option<Vec<u32>> {
        let rows = self.dependency_rows();
        let mut queue = VecDeque::from([first]);
        while let Some(node) = queue.pop_front() {
            for &next in rows.row(node) {
                if next == first {
                    let mut path = vec![node];
                    while path[path.len() - 1] != first {
                        path.push(before[path[path.len() - 1] as usize]);
                    }
                    path.reverse();
                    return Some(path);
                }
                if group[next as usize] == group[first as usize] && before[next as usize] == NONE {
                    before[next as usize] = node;
                    queue.push_back(next);
                }
            }
        }
        None
    }
}
