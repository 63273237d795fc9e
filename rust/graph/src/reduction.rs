//! The transitive reduction: the fewest dependencies that say the same, for people to look at.

use crate::graph::Graph;
use crate::{GraphError, Node};

/// No picture shows more, and the work grows with nodes times edges.
const MOST_NODES: usize = 2_000;

impl Graph {
    /// The dependencies that no other chain of dependencies implies, as pairs of service and dependency, in the
    /// order they were named in.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], or [`GraphError::TooLarge`] beyond 2,000 services.
    pub fn reduction(&self) -> Result<Vec<(Node, Node)>, GraphError> {
        let (nodes, most) = (self.len(), MOST_NODES);
        if nodes > most {
            return Err(GraphError::TooLarge { nodes, most });
        }
        let order = self.order()?;
        let mut rank = vec![0usize; self.bound()];
        for (at, node) in order.iter().enumerate() {
            rank[node.index()] = at;
        }
        let words = nodes.div_ceil(64);
        // By rank: everything that is reached from there.
        let mut reached = vec![0u64; words * nodes];
        let mut kept = Vec::new();
        for (at, &node) in order.iter().enumerate() {
            let links = self.dependency_rows().row(node);
            let mut targets: Vec<usize> =
                links.iter().map(|link| rank[link.node().index()]).collect();
            // Late ones first: they may reach the early ones.
            targets.sort_unstable_by(|a, b| b.cmp(a));
            targets.dedup();
            let (before, own) = reached.split_at_mut(at * words);
            for target in targets {
                if own[target / 64] & (1 << (target % 64)) != 0 {
                    continue;
                }
                kept.push((node, order[target]));
                own[target / 64] |= 1 << (target % 64);
                let theirs = &before[target * words..(target + 1) * words];
                own.iter_mut()
                    .zip(theirs)
                    .for_each(|(own, theirs)| *own |= theirs);
            }
        }
        kept.sort_unstable();
        Ok(kept)
    }
}
