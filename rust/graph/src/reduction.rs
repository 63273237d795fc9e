//! The transitive reduction: the fewest dependencies that say the same, for people to look at.

use crate::GraphError;
use crate::graph::Graph;

/// Above this, the bit sets would take more memory than a picture is worth.
const MOST_NODES: usize = 20_000;

impl Graph {
    /// The dependencies that no other chain of dependencies implies, as pairs of service and dependency.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], or [`GraphError::TooLarge`] beyond 20,000 services.
    pub fn reduction(&self) -> Result<Vec<(&str, &str)>, GraphError> {
        let (nodes, most) = (self.len(), MOST_NODES);
        if nodes > most {
            return Err(GraphError::TooLarge { nodes, most });
        }
        let sorted = self.complete()?;
        let mut rank = vec![0usize; self.bound()];
        for (at, &node) in sorted.order.iter().enumerate() {
            rank[node as usize] = at;
        }
        let words = nodes.div_ceil(64);
        // By rank: everything that is reached from there.
        let mut reached = vec![0u64; words * nodes];
        let mut kept = Vec::new();
        for (at, &node) in sorted.order.iter().enumerate() {
            let mut targets: Vec<usize> = self
                .dependency_rows()
                .row(node)
                .iter()
                .map(|&target| rank[target as usize])
                .collect();
            // Late ones first: they may reach the early ones.
            targets.sort_unstable_by(|a, b| b.cmp(a));
            targets.dedup();
            let (before, own) = reached.split_at_mut(at * words);
            for target in targets {
                if own[target / 64] & (1 << (target % 64)) != 0 {
                    continue;
                }
                kept.push((node, sorted.order[target]));
                own[target / 64] |= 1 << (target % 64);
                let theirs = &before[target * words..(target + 1) * words];
                own.iter_mut()
                    .zip(theirs)
                    .for_each(|(own, theirs)| *own |= theirs);
            }
        }
        kept.sort_unstable();
        Ok(kept
            .into_iter()
            .map(|(service, on)| (self.name(service), self.name(on)))
            .collect())
    }
}
