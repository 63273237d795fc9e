//! The critical path: what the whole start takes at least, and because of whom.

use crate::graph::Graph;
use crate::{GraphError, Node};

impl Graph {
    /// The longest chain of services by the time each takes, dependencies first, and its length. Of equally long
    /// ones, the one through those that were named first.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], or [`GraphError::InvalidDuration`] for a time that is no time.
    pub fn critical_path(
        &self,
        seconds: impl Fn(Node) -> f64,
    ) -> Result<(f64, Vec<Node>), GraphError> {
        let rows = self.dependency_rows();
        let mut ends = vec![0.0f64; self.bound()];
        let mut through = vec![None; self.bound()];
        let mut last: Option<Node> = None;
        for &node in self.order()? {
            let own = seconds(node);
            if !own.is_finite() || own < 0.0 {
                return Err(GraphError::InvalidDuration {
                    name: self.name(node).to_owned(),
                });
            }
            let later = |one: Option<Node>, other: Node| match one {
                Some(one) => ends[one.index()]
                    .total_cmp(&ends[other.index()])
                    .then(other.cmp(&one))
                    .is_lt(),
                None => true,
            };
            let mut latest = None;
            for before in rows.row(node).iter().map(|link| link.node()) {
                if later(latest, before) {
                    latest = Some(before);
                }
            }
            through[node.index()] = latest;
            ends[node.index()] = own + latest.map_or(0.0, |before| ends[before.index()]);
            if last.is_none_or(|last| ends[node.index()] > ends[last.index()]) {
                last = Some(node);
            }
        }
        let total = last.map_or(0.0, |last| ends[last.index()]);
        let mut path: Vec<Node> =
            std::iter::successors(last, |node| through[node.index()]).collect();
        path.reverse();
        Ok((total, path))
    }
}
