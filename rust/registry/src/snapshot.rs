//! The registry as it was at one moment.

use std::sync::Arc;

use crate::Instance;
use crate::shards::Shards;

/// Every instance at one revision. Later changes of the registry do not show.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) revision: u64,
    pub(crate) names: Shards,
}

impl Snapshot {
    /// The last change that it shows.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The instance of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Instance>> {
        let known = self.names.get(self.names.hash(name), name)?;
        Some(&known.instance)
    }

    /// Every instance, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.names.iter()
    }
}
