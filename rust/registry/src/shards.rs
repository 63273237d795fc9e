//! Instances by name, in parts that a snapshot shares with the registry.
//!
//! Two levels: a snapshot copies one pointer a branch. The first change under a branch after a snapshot copies
//! that branch's pointers, and those of one part, some hundred at a hundred thousand instances; later ones
//! change them in place.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;

use crate::Instance;

/// Branches, and parts in each.
const FAN: usize = 32;

type Part = HashTable<Known>;
type Branch = [Arc<Part>; FAN];

/// An instance, and where the registry keeps what it remembers of it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) instance: Arc<Instance>,
    pub(crate) slot: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Shards {
    hasher: RandomState,
    branches: Box<[Arc<Branch>; FAN]>,
    len: usize,
}

impl Default for Shards {
    fn default() -> Self {
        let part = Arc::new(Part::new());
        let branch: Arc<Branch> = Arc::new(std::array::from_fn(|_| Arc::clone(&part)));
        Self {
            hasher: RandomState::new(),
            branches: Box::new(std::array::from_fn(|_| Arc::clone(&branch))),
            len: 0,
        }
    }
}

/// The text's own bytes and no more: what `Hash` adds tells one text from the next, and there is one.
fn hash_of(hasher: &RandomState, name: &str) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// Which branch, and which part of it. The table inside uses the low bits, and the topmost seven as tags.
fn place(hash: u64) -> (usize, usize) {
    let bits = usize::try_from(hash >> 40).unwrap_or_default();
    (bits / FAN % FAN, bits % FAN)
}

impl Shards {
    pub(crate) fn hash(&self, name: &str) -> u64 {
        hash_of(&self.hasher, name)
    }

    fn part(&self, hash: u64) -> &Part {
        let (branch, part) = place(hash);
        &self.branches[branch][part]
    }

    fn part_mut(&mut self, hash: u64) -> &mut Part {
        let (branch, part) = place(hash);
        Arc::make_mut(&mut Arc::make_mut(&mut self.branches[branch])[part])
    }

    pub(crate) fn get(&self, hash: u64, name: &str) -> Option<&Known> {
        self.part(hash)
            .find(hash, |known| known.instance.name() == name)
    }

    /// Add an instance whose name is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, known: Known) {
        let hasher = self.hasher.clone();
        self.part_mut(hash)
            .insert_unique(hash, known, |known| hash_of(&hasher, known.instance.name()));
        self.len += 1;
    }

    /// Put another instance where one of its name is. Returns that one.
    pub(crate) fn replace(&mut self, hash: u64, instance: Arc<Instance>) -> Option<Arc<Instance>> {
        self.part_mut(hash)
            .find_mut(hash, |known| known.instance.name() == instance.name())
            .map(|known| std::mem::replace(&mut known.instance, instance))
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Known> {
        let hash = self.hash(name);
        // Look before copying a shared part for nothing.
        self.get(hash, name)?;
        let part = self.part_mut(hash);
        let entry = part.find_entry(hash, |known| known.instance.name() == name);
        let (known, _) = entry.ok()?.remove();
        self.len -= 1;
        Some(known)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let parts = self.branches.iter().flat_map(|branch| branch.iter());
        parts.flat_map(|part| part.iter().map(|known| &known.instance))
    }
}
