//! Instances by name, in parts that a snapshot shares with the registry.
//!
//! A snapshot copies one pointer a part. The first change of a part after a snapshot copies that part, some
//! hundred pointers at a hundred thousand instances; later ones change it in place.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use crate::Instance;

const PARTS: usize = 1024;

pub(crate) type Part = HashMap<Box<str>, Arc<Instance>, RandomState>;

#[derive(Debug, Clone)]
pub(crate) struct Shards {
    hasher: RandomState,
    parts: Box<[Arc<Part>]>,
    len: usize,
}

impl Default for Shards {
    fn default() -> Self {
        let hasher = RandomState::new();
        let empty = Arc::new(Part::with_hasher(hasher.clone()));
        Self {
            hasher,
            parts: vec![empty; PARTS].into(),
            len: 0,
        }
    }
}

impl Shards {
    fn part(&self, name: &str) -> usize {
        // The high bits: the map inside uses the low ones, and the topmost seven as tags.
        usize::try_from(self.hasher.hash_one(name) >> 40).unwrap_or(0) % PARTS
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Instance>> {
        self.parts[self.part(name)].get(name)
    }

    pub(crate) fn insert(&mut self, instance: Arc<Instance>) -> Option<Arc<Instance>> {
        let part = self.part(&instance.name);
        let old = Arc::make_mut(&mut self.parts[part]).insert(instance.name.clone(), instance);
        self.len += usize::from(old.is_none());
        old
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<Instance>> {
        let part = self.part(name);
        // Look before copying a shared part for nothing.
        self.parts[part].get(name)?;
        let old = Arc::make_mut(&mut self.parts[part]).remove(name);
        self.len -= usize::from(old.is_some());
        old
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.parts.iter().flat_map(|part| part.values())
    }
}
