//! Instances that share something: a service, or a label.
//!
//! Members are numbers of slots, and each slot remembers where in its groups it stands, so that leaving costs the
//! same however large a group is. The room of an empty group is used for the next one.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use hashbrown::HashTable;

use crate::{Instance, View};

/// Where an instance stands in one of its groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) group: u32,
    at: u32,
}

/// What the members share: the service's name, or the label's key and value.
pub(crate) type Key<'a> = (&'a str, &'a str);

#[derive(Debug, Default)]
pub(crate) struct Groups {
    hasher: RandomState,
    index: HashTable<u32>,
    all: Vec<Group>,
    free: Vec<u32>,
}

/// Never empty, unless free.
#[derive(Debug, Default)]
pub(crate) struct Group {
    hash: u64,
    /// Both halves of the key, and where the first ends: kept when free, for their room.
    key: String,
    key_end: usize,
    /// In order of arrival until one in the middle goes.
    members: Vec<u32>,
    /// The members as readers get them, made when first asked for.
    view: OnceLock<View<Arc<Instance>>>,
}

impl Group {
    fn key(&self) -> Key<'_> {
        self.key.split_at(self.key_end)
    }

    /// Most keys have one half: a service's name.
    #[inline]
    fn is(&self, key: Key<'_>) -> bool {
        let (first, second) = (key.0.as_bytes(), key.1.as_bytes());
        let own = self.key.as_bytes();
        self.key_end == first.len()
            && own.len() == first.len() + second.len()
            && own[..first.len()] == *first
            && (second.is_empty() || own[first.len()..] == *second)
    }

    fn changed(&mut self) {
        if let Some(view) = self.view.take() {
            view.expire();
        }
    }
}

impl Groups {
    fn hash(&self, key: Key<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.0.as_bytes());
        if !key.1.is_empty() {
            hasher.write(key.1.as_bytes());
        }
        hasher.finish()
    }

    fn find(&self, hash: u64, key: Key<'_>) -> Option<u32> {
        let same = |&id: &u32| self.all[id as usize].is(key);
        self.index.find(hash, same).copied()
    }

    /// The group of this key.
    pub(crate) fn get(&self, key: Key<'_>) -> Option<u32> {
        self.find(self.hash(key), key)
    }

    /// Add a slot to the group of this key, made if new.
    pub(crate) fn join(&mut self, key: Key<'_>, slot: u32) -> Seat {
        let hash = self.hash(key);
        let id = self.find(hash, key).unwrap_or_else(|| self.make(hash, key));
        let group = &mut self.all[id as usize];
        group.changed();
        let at = number(group.members.len());
        group.members.push(slot);
        Seat { group: id, at }
    }

    fn make(&mut self, hash: u64, key: Key<'_>) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.all.push(Group::default());
            number(self.all.len() - 1)
        });
        let group = &mut self.all[id as usize];
        group.hash = hash;
        group.key.clear();
        group.key.push_str(key.0);
        group.key.push_str(key.1);
        group.key_end = key.0.len();
        let all = &self.all;
        self.index
            .insert_unique(hash, id, |&id| all[id as usize].hash);
        id
    }

    /// Take the member at `seat` out. `moved` is told which slot stands there now, if one does. Returns whether
    /// the group is gone with it.
    pub(crate) fn leave(&mut self, seat: Seat, moved: impl FnOnce(u32, Seat)) -> bool {
        let group = &mut self.all[seat.group as usize];
        group.changed();
        group.members.swap_remove(seat.at as usize);
        if let Some(&slot) = group.members.get(seat.at as usize) {
            moved(slot, seat);
        }
        let empty = group.members.is_empty();
        if empty {
            let hash = group.hash;
            if let Ok(entry) = self.index.find_entry(hash, |&id| id == seat.group) {
                entry.remove();
            }
            self.free.push(seat.group);
        }
        empty
    }

    /// A member is another instance now.
    pub(crate) fn touch(&mut self, group: u32) {
        self.all[group as usize].changed();
    }

    /// The members, looked up by `instance`.
    pub(crate) fn view<'a>(
        &self,
        group: u32,
        instance: impl Fn(u32) -> Option<&'a Arc<Instance>>,
    ) -> View<Arc<Instance>> {
        let group = &self.all[group as usize];
        let made = || {
            View::new(
                group
                    .members
                    .iter()
                    .filter_map(|&slot| instance(slot).cloned()),
            )
        };
        group.view.get_or_init(made).clone()
    }

    /// Every key there is.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.index.iter().map(|&id| self.all[id as usize].key())
    }
}

/// A count of what the registry holds, which its limit keeps below 2^32.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
