//! Reach: what a change touches, and what a service stands on.

use std::collections::HashSet;

use ahash::RandomState;

use crate::GraphError;
use crate::csr::Csr;
use crate::graph::Graph;

impl Graph {
    /// Every service that depends on `name`, directly or not, the nearest first. It includes `name` itself only
    /// when `name` stands in a circle.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn impact(&self, name: &str) -> Result<Vec<&str>, GraphError> {
        self.reach(name, Self::dependent_rows)
    }

    /// Every service that `name` depends on, directly or not, the nearest first.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn requirements(&self, name: &str) -> Result<Vec<&str>, GraphError> {
        self.reach(name, Self::dependency_rows)
    }

    fn reach(&self, name: &str, rows: impl Fn(&Self) -> &Csr) -> Result<Vec<&str>, GraphError> {
        let start = self.node(name)?;
        let rows = rows(self);
        // In space proportional to the answer: mostly a small part of a large graph.
        let mut seen = HashSet::<u32, RandomState>::default();
        let mut found: Vec<u32> = Vec::new();
        let mut done = 0;
        let mut next = Some(start);
        while let Some(node) = next {
            found.extend(rows.row(node).iter().filter(|node| seen.insert(**node)));
            next = found.get(done).copied();
            done += 1;
        }
        Ok(found.into_iter().map(|node| self.name(node)).collect())
    }
}
