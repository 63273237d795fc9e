//! The critical path: what the whole start takes at least, and because of whom.

use crate::GraphError;
use crate::graph::Graph;

impl Graph {
    /// The longest chain of services by the time each takes, dependencies first, and its length.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], or [`GraphError::InvalidDuration`] for a time that is no time.
    pub fn critical_path(
        &self,
        seconds: impl Fn(&str) -> f64,
    ) -> Result<(f64, Vec<&str>), GraphError> {
        let sorted = self.complete()?;
        let rows = self.dependency_rows();
        let mut ends = vec![0.0f64; self.bound()];
        let mut through = vec![None; self.bound()];
        let mut last: Option<u32> = None;
        for &node in &sorted.order {
            let own = seconds(self.name(node));
            if !own.is_finite() || own < 0.0 {
                return Err(GraphError::InvalidDuration {
                    name: self.name(node).to_owned(),
                });
            }
            let mut start = 0.0;
            for &before in rows.row(node) {
                if through[node as usize].is_none() || ends[before as usize] > start {
                    start = ends[before as usize];
                    through[node as usize] = Some(before);
                }
            }
            ends[node as usize] = start + own;
            if last.is_none_or(|last| ends[node as usize] > ends[last as usize]) {
                last = Some(node);
            }
        }
        let total = last.map_or(0.0, |last| ends[last as usize]);
        let mut path: Vec<&str> = std::iter::successors(last, |&node| through[node as usize])
            .map(|node| self.name(node))
            .collect();
        path.reverse();
        Ok((total, path))
    }
}
