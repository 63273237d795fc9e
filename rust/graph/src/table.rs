//! The table behind the names: from a hash to the numbers that bear it.
//!
//! Our own, because a general one keeps its marks and its entries apart: here a look-up touches one cache line.
//! Four entries stand in a bucket and are compared all at once, so that the processor has no branch to guess and
//! goes on to the next look-up while the line of this one is on its way. The table knows no names: who asks says
//! which number is meant.

use std::hint::select_unpredictable;

use crate::Node;
use crate::fetch::fetch;

const ABREAST: usize = 4;

/// What an entry says: one more than a node's number, for nought says that nothing is here.
type Entry = u32;
const VACANT: Entry = 0;

/// Entries from the front on, vacancies after them.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
struct Bucket {
    tags: [u32; ABREAST],
    entries: [Entry; ABREAST],
}

/// What a look into the table says before anyone compares names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Likely(Entry);

impl Likely {
    /// Nothing bears the tag.
    pub(crate) const NONE: Self = Self(VACANT);

    /// For a name that is not asked for, because the name two places before is the same.
    pub(crate) const REPEATED: Self = Self(Entry::MAX);

    /// The node, if there is one; it may be of no name.
    #[inline]
    pub(crate) fn node(self) -> Option<Node> {
        self.0.checked_sub(1).map(Node::known)
    }
}

/// Numbers by tag. What finds its bucket full stands in the next that is not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// A power of two long, or empty.
    buckets: Vec<Bucket>,
    entries: usize,
}

impl Bucket {
    #[inline]
    fn len(&self) -> usize {
        let taken = |&entry: &Entry| usize::from(entry != VACANT);
        self.entries.iter().map(taken).sum()
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.entries[ABREAST - 1] != VACANT
    }

    /// Take out what is at a place; the last one moves up.
    fn take(&mut self, at: usize) -> (u32, Entry) {
        let last = self.len() - 1;
        let taken = (self.tags[at], self.entries[at]);
        (self.tags[at], self.entries[at]) = (self.tags[last], self.entries[last]);
        (self.tags[last], self.entries[last]) = (0, VACANT);
        taken
    }

    fn put(&mut self, (tag, entry): (u32, Entry)) {
        let at = self.len();
        (self.tags[at], self.entries[at]) = (tag, entry);
    }
}

impl Table {
    /// Make room for so many entries more. With room for one, [`Table::likely`] may be asked.
    pub(crate) fn reserve(&mut self, more: usize) {
        let wanted = (self.entries + more) * 2;
        if wanted > self.buckets.len() * ABREAST {
            let buckets = wanted.div_ceil(ABREAST).next_power_of_two();
            let room = vec![Bucket::default(); buckets];
            for bucket in std::mem::replace(&mut self.buckets, room) {
                for at in 0..bucket.len() {
                    self.put(bucket.tags[at], bucket.entries[at]);
                }
            }
        }
    }

    /// Have the place where the search for a tag begins at hand soon.
    #[inline]
    pub(crate) fn fetch(&self, tag: u32) {
        fetch(&self.buckets, self.home(tag));
    }

    /// Likely the number that bears a tag; or no number at all. Only for a table with room.
    #[inline]
    pub(crate) fn likely(&self, tag: u32) -> Likely {
        let Bucket { tags, entries } = &self.buckets[self.home(tag)];
        // No branch: one of four matches, or none. If two do, this is nonsense, which whoever compares names sees.
        let hit = |at: usize| select_unpredictable(tags[at] == tag, entries[at], VACANT);
        Likely(hit(0) | hit(1) | hit(2) | hit(3))
    }

    /// The number that bears a tag and is meant. `meant` is also asked for numbers that are not in the table, and
    /// must deny those.
    #[inline]
    pub(crate) fn find(&self, tag: u32, meant: impl Fn(Node) -> bool) -> Option<Node> {
        if self.buckets.is_empty() {
            return None;
        }
        match self.likely(tag).node() {
            Some(node) if meant(node) => Some(node),
            None if !self.buckets[self.home(tag)].is_full() => None,
            _ => self.search(tag, meant).map(|(_, _, node)| node),
        }
    }

    /// The same the long way, with its bucket, and its place there.
    #[inline(never)]
    fn search(&self, tag: u32, meant: impl Fn(Node) -> bool) -> Option<(usize, usize, Node)> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut bucket = self.home(tag);
        loop {
            let Bucket { tags, entries } = &self.buckets[bucket];
            for at in 0..ABREAST {
                if entries[at] == VACANT {
                    return None;
                }
                if tags[at] == tag {
                    let node = Node::known(entries[at] - 1);
                    if meant(node) {
                        return Some((bucket, at, node));
                    }
                }
            }
            bucket = self.after(bucket);
        }
    }

    /// Enter a number that is not there.
    pub(crate) fn insert(&mut self, tag: u32, node: Node) {
        self.reserve(1);
        self.put(tag, node.number() + 1);
        self.entries += 1;
    }

    fn put(&mut self, tag: u32, entry: Entry) {
        let mut bucket = self.home(tag);
        while self.buckets[bucket].is_full() {
            bucket = self.after(bucket);
        }
        self.buckets[bucket].put((tag, entry));
    }

    /// Take out the number that bears a tag and is meant.
    pub(crate) fn remove(&mut self, tag: u32, meant: impl Fn(Node) -> bool) -> Option<Node> {
        let (mut hole, at, node) = self.search(tag, meant)?;
        self.entries -= 1;
        let mut ends_here = !self.buckets[hole].is_full();
        self.buckets[hole].take(at);
        // A bucket that was full had others pass by. Searches would end in it now, so one of these moves up.
        let mut bucket = hole;
        while !ends_here {
            bucket = self.after(bucket);
            ends_here = !self.buckets[bucket].is_full();
            let behind = |from: usize| bucket.wrapping_sub(from) & (self.buckets.len() - 1);
            let passed = (0..self.buckets[bucket].len()).find(|&at| {
                let begin = self.home(self.buckets[bucket].tags[at]);
                behind(begin) >= behind(hole)
            });
            if let Some(at) = passed {
                let entry = self.buckets[bucket].take(at);
                self.buckets[hole].put(entry);
                hole = bucket;
            }
        }
        Some(node)
    }

    /// Where the search for a tag begins: its highest bits, as many as the table needs.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        (tag as usize * self.buckets.len()) >> 32
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::Table;
    use crate::Node;

    fn node(number: u32) -> Node {
        Node::new(number as usize)
    }

    proptest! {
        /// Tags that crowd in few buckets, the last one among them, so that searches run over and around.
        #[test]
        fn what_is_in_the_table_is_found_whatever_came_and_went(
            steps in prop::collection::vec((any::<bool>(), 0u32..6, 0u32..24), 1..400)
        ) {
            let mut table = Table::default();
            let mut expected: HashMap<u32, u32> = HashMap::new();
            for (add, crowd, number) in steps {
                let tag = crowd * (u32::MAX / 5);
                if add && !expected.contains_key(&number) {
                    table.insert(tag, node(number));
                    expected.insert(number, tag);
                } else if !add {
                    let tag = expected.remove(&number);
                    let taken = table.remove(tag.unwrap_or(0), |found| found == node(number));
                    prop_assert_eq!(taken, tag.map(|_| node(number)));
                }
                for number in 0..24 {
                    let tag = expected.get(&number).copied();
                    let meant = |found| tag.is_some() && found == node(number);
                    let found = table.find(tag.unwrap_or(0), meant);
                    prop_assert_eq!(found, tag.map(|_| node(number)));
                }
            }
        }
    }

    #[test]
    fn the_likely_number_bears_the_tag_or_is_none() {
        let mut table = Table::default();
        table.reserve(1);
        assert_eq!(table.likely(0).node(), None);
        table.insert(0, node(7));
        assert_eq!(table.likely(0).node(), Some(node(7)));
        assert_eq!(table.likely(1).node(), None);
        (1..100).for_each(|number| table.insert(number << 20, node(number)));
        assert_eq!(table.likely(0).node(), Some(node(7)));
    }

    #[test]
    fn a_table_with_room_made_in_advance_holds_the_same() {
        let mut table = Table::default();
        table.insert(3, node(0));
        table.reserve(1_000);
        (1..2_000u32)
            .for_each(|number| table.insert(number.wrapping_mul(0x9E37_79B9), node(number)));
        assert_eq!(table.find(3, |found| found == node(0)), Some(node(0)));
        let found = |number: u32| {
            table.find(number.wrapping_mul(0x9E37_79B9), |found| {
                found == node(number)
            })
        };
        assert!((1..2_000).all(|number| found(number) == Some(node(number))));
    }
}
