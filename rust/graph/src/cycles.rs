//! Cycles: which services wait for one another in a circle.

use std::collections::VecDeque;

use petgraph::algo::kosaraju_scc;

use crate::graph::{Graph, number};

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
        // Iterative, so that a long chain of services cannot overflow the stack.
        for (id, members) in (0u32..).zip(kosaraju_scc(&self.model)) {
            for &member in &members {
                group[member.index()] = id;
            }
            firsts.extend(members.into_iter().map(number).min());
        }
        firsts.sort_unstable();
        let mut before = vec![NONE; self.bound()];
        firsts
            .into_iter()
            .filter_map(|first| self.shortest_through(first, &group, &mut before))
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
