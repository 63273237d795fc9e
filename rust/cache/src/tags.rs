//! Which entries bear which tag, so that all of a tag can be taken out at once.
//!
//! Costs nothing where nobody sets tags. A tag exists only while an entry bears it, so there are no more of them
//! than entries times [`MOST_TAGS`].

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::residents::Place;

/// How many tags an entry may bear.
pub const MOST_TAGS: usize = 16;

type Hasher = ahash::RandomState;

/// Tags to places and back.
#[derive(Default)]
pub(crate) struct Tags {
    bearers: HashMap<Arc<str>, HashSet<Place, Hasher>, Hasher>,
    borne: HashMap<Place, Box<[Arc<str>]>, Hasher>,
}

impl Tags {
    /// Let an entry bear these tags and no others.
    pub(crate) fn set<S: AsRef<str>>(&mut self, place: Place, tags: &[S]) {
        self.drop(place);
        if tags.is_empty() {
            return;
        }
        let mut borne: Vec<Arc<str>> = Vec::with_capacity(tags.len());
        for tag in tags {
            let tag = tag.as_ref();
            let name = match self.bearers.get_key_value(tag) {
                Some((name, _)) => Arc::clone(name),
                None => tag.into(),
            };
            if self
                .bearers
                .entry(Arc::clone(&name))
                .or_default()
                .insert(place)
            {
                borne.push(name);
            }
        }
        self.borne.insert(place, borne.into());
    }

    /// Forget an entry.
    #[inline]
    pub(crate) fn drop(&mut self, place: Place) {
        if self.borne.is_empty() {
            return;
        }
        for tag in self.borne.remove(&place).into_iter().flatten() {
            if let Some(bearers) = self.bearers.get_mut(&tag) {
                bearers.remove(&place);
                if bearers.is_empty() {
                    self.bearers.remove(&tag);
                }
            }
        }
    }

    /// Who bears a tag.
    pub(crate) fn bearers(&self, tag: &str) -> Vec<Place> {
        self.bearers
            .get(tag)
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    /// What an entry bears.
    pub(crate) fn of(&self, place: Place) -> &[Arc<str>] {
        self.borne.get(&place).map_or(&[], |tags| tags)
    }
}
