//! Names to numbers and back.
//!
//! All names stand one after another in one text, and the table holds numbers, not pointers: a look-up touches
//! two cache lines, and a million names are two allocations.

use ahash::RandomState;
use hashbrown::HashTable;

/// Numbered names. A number stays a name's own until the name is forgotten, and is not used again.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    hasher: RandomState,
    table: HashTable<Entry>,
    text: String,
    /// Where each name ends in `text`; it begins where the one before ends.
    ends: Vec<usize>,
    /// The numbers of names that were forgotten.
    gone: Vec<bool>,
}

/// A name's number, with enough of its hash to tell most others apart without looking at them.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u32,
    number: u32,
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The table's hash, from the tag alone, so that growing needs no name.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Names {
    /// The number of a name, made if new.
    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        let tag = tag(self.hasher.hash_one(name));
        if let Some(number) = self.find(tag, name) {
            return number;
        }
        let number = u32::try_from(self.ends.len()).expect("fewer than 2^32 services");
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.gone.push(false);
        self.table
            .insert_unique(spread(tag), Entry { tag, number }, |entry| {
                spread(entry.tag)
            });
        number
    }

    /// The number of a name, if it is known.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.find(tag(self.hasher.hash_one(name)), name)
    }

    fn find(&self, tag: u32, name: &str) -> Option<u32> {
        let same = |entry: &Entry| entry.tag == tag && self.name(entry.number) == name;
        self.table.find(spread(tag), same).map(|entry| entry.number)
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 {
            0
        } else {
            self.ends[number - 1]
        };
        &self.text[start..self.ends[number]]
    }

    /// Forget a name; its number is not used again.
    pub(crate) fn forget(&mut self, name: &str) -> Option<u32> {
        let tag = tag(self.hasher.hash_one(name));
        let number = self.find(tag, name)?;
        let entry = self
            .table
            .find_entry(spread(tag), |entry| entry.number == number)
            .ok()?;
        entry.remove();
        self.gone[number as usize] = true;
        Some(number)
    }

    /// Make room for more names.
    pub(crate) fn reserve(&mut self, names: usize) {
        self.table.reserve(names, |entry| spread(entry.tag));
        self.ends.reserve(names);
        self.gone.reserve(names);
    }

    /// How many names are known.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// One more than the largest number.
    pub(crate) fn bound(&self) -> usize {
        self.ends.len()
    }

    /// The numbers of all known names, in the order they were named in.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..)
            .zip(&self.gone)
            .filter(|(_, gone)| !**gone)
            .map(|(number, _)| number)
    }
}
