//! Order: what to start first, and what may start together.

use crate::GraphError;
use crate::graph::Graph;

/// Kahn's sort: dependencies first, level by level.
#[derive(Debug)]
pub(crate) struct Sorted {
    /// Every node that no circle keeps from starting.
    pub(crate) order: Vec<u32>,
    /// Where in `order` each level ends.
    pub(crate) level_ends: Vec<usize>,
    /// Whether that is every node.
    pub(crate) complete: bool,
}

impl Graph {
    /// The sort, kept until the graph changes.
    pub(crate) fn sorted(&self) -> &Sorted {
        self.cache.sorted.get_or_init(|| {
            let mut waits = self.dependency_counts();
            let dependents = self.dependent_rows();
            let mut order = Vec::with_capacity(self.len());
            order.extend(
                self.names
                    .numbers()
                    .filter(|&node| waits[node as usize] == 0),
            );
            let mut level_ends = Vec::new();
            let mut done = 0;
            while done < order.len() {
                let end = order.len();
                level_ends.push(end);
                for at in done..end {
                    for &dependent in dependents.row(order[at]) {
                        let waits = &mut waits[dependent as usize];
                        *waits -= 1;
                        if *waits == 0 {
                            order.push(dependent);
                        }
                    }
                }
                done = end;
                // Within a level, the order in which services were named.
                order[end..].sort_unstable();
            }
            Sorted {
                complete: order.len() == self.len(),
                order,
                level_ends,
            }
        })
    }

    /// The sort, or the circle that makes it impossible.
    pub(crate) fn complete(&self) -> Result<&Sorted, GraphError> {
        let sorted = self.sorted();
        if sorted.complete {
            return Ok(sorted);
        }
        let mut path: Vec<String> = self
            .first_cycle()
            .iter()
            .map(|&node| self.name(node).to_owned())
            .collect();
        path.extend(path.first().cloned());
        Err(GraphError::Cycle { path })
    }

    /// Every service, dependencies first. Reversed, it is the order to stop in.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], with a shortest one.
    pub fn order(&self) -> Result<Vec<&str>, GraphError> {
        Ok(self
            .complete()?
            .order
            .iter()
            .map(|&node| self.name(node))
            .collect())
    }

    /// Every service, in groups that may start together once the groups before them are up.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], with a shortest one.
    pub fn levels(&self) -> Result<Vec<Vec<&str>>, GraphError> {
        let sorted = self.complete()?;
        let mut start = 0;
        let level = |&end: &usize| {
            let level = sorted.order[start..end]
                .iter()
                .map(|&node| self.name(node))
                .collect();
            start = end;
            level
        };
        Ok(sorted.level_ends.iter().map(level).collect())
    }
}
