//! Adjacency in two flat arrays: a row of neighbours for each node.
//!
//! Walking a row touches memory in order, which is what makes a full sort fast; the price is that a change
//! means building it anew.

/// Rows of neighbours. Parallel edges stay parallel.
#[derive(Debug, Default)]
pub(crate) struct Csr {
    starts: Vec<u32>,
    neighbours: Vec<u32>,
}

impl Csr {
    /// The rows of `nodes` nodes from edges `(node, neighbour)`. Within a row, edges keep their order.
    pub(crate) fn new(nodes: usize, edges: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0u32; nodes + 1];
        for (node, _) in edges.clone() {
            starts[node as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut neighbours = vec![0; starts[nodes] as usize];
        for (node, neighbour) in edges {
            let at = &mut next[node as usize];
            neighbours[*at as usize] = neighbour;
            *at += 1;
        }
        Self { starts, neighbours }
    }

    pub(crate) fn row(&self, node: u32) -> &[u32] {
        let node = node as usize;
        &self.neighbours[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}
