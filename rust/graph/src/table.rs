//! The table behind the names: from heads to the numbers that bear them.
//!
//! Our own, because a general one keeps its marks and its entries apart, and the keys elsewhere again: here a look-up
//! touches one cache line. Three entries stand in a bucket with their heads and are compared all at once, so that
//! the processor has no branch to guess and goes on to the next look-up while the line of this one is on its way.
//! The table knows heads only: where a head is not the whole name, who asks says which number is meant.

use std::hint::select_unpredictable;

use crate::Node;
use crate::fetch::fetch;
use crate::head::Head;

/// Entries of a bucket: as many as fill a line.
const ABREAST: usize = 3;

/// What an entry says: one more than a node's number, for nought says that nothing is here.
type Entry = u32;
const VACANT: Entry = 0;

/// Entries from the front on, vacancies after them.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket {
    heads: [Head; ABREAST],
    entries: [Entry; ABREAST],
}

/// Where the search for a head begins, as long as the table does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Home(usize);

impl Home {
    /// Of what is not sought in the table.
    pub(crate) const NONE: Self = Self(usize::MAX);
}

/// Numbers by head. What finds its bucket full stands in the next that is not.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    buckets: Vec<Bucket>,
    entries: usize,
    /// For [`Head::mixed`].
    keys: (u64, u64),
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
    fn take(&mut self, at: usize) -> (Head, Entry) {
        let last = self.len() - 1;
        let taken = (self.heads[at], self.entries[at]);
        (self.heads[at], self.entries[at]) = (self.heads[last], self.entries[last]);
        (self.heads[last], self.entries[last]) = (Head::default(), VACANT);
        taken
    }

    fn put(&mut self, (head, entry): (Head, Entry)) {
        let at = self.len();
        (self.heads[at], self.entries[at]) = (head, entry);
    }
}

impl Table {
    /// An empty table; the keys decide what stands where, and are secret.
    pub(crate) fn new(keys: (u64, u64)) -> Self {
        Self {
            buckets: Vec::new(),
            entries: 0,
            keys,
        }
    }

    /// Make room for so many entries more: until then, no [`Home`] changes.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) {
        // Half of the places stay vacant.
        let wanted = (self.entries + more) * 2;
        if wanted > self.buckets.len() * ABREAST {
            self.grow(wanted);
        }
    }

    #[inline(never)]
    fn grow(&mut self, wanted: usize) {
        let buckets = wanted.div_ceil(ABREAST).max(self.buckets.len() * 2);
        let room = vec![Bucket::default(); buckets];
        for bucket in std::mem::replace(&mut self.buckets, room) {
            for at in 0..bucket.len() {
                self.put(bucket.heads[at], bucket.entries[at]);
            }
        }
    }

    /// Where the search for a head begins: what its hash is of all hashes, that is of all buckets.
    #[inline]
    pub(crate) fn home(&self, head: Head) -> Home {
        Home((head.mixed(self.keys) as usize * self.buckets.len()) >> 32)
    }

    /// Have the place where a search begins at hand soon.
    #[inline]
    pub(crate) fn fetch(&self, home: Home) {
        fetch(&self.buckets, home.0);
    }

    /// The number that bears a head, if it stands where it would be sought first. Where several names, all of them
    /// long, have one head, it may be of none.
    #[inline]
    pub(crate) fn at_home(&self, home: Home, head: Head) -> Option<Node> {
        let Bucket { heads, entries } = self.buckets.get(home.0)?;
        // No branch: one of three matches, or none.
        let hit = |at: usize| select_unpredictable(heads[at] == head, entries[at], VACANT);
        let entry: Entry = hit(0) | hit(1) | hit(2);
        entry.checked_sub(1).map(Node::known)
    }

    /// Whether what is not at home is nowhere.
    #[inline]
    pub(crate) fn ends_at(&self, home: Home) -> bool {
        self.buckets.get(home.0).is_none_or(|home| !home.is_full())
    }

    /// The number that bears a head and is meant.
    pub(crate) fn find(&self, head: Head, meant: impl Fn(Node) -> bool) -> Option<Node> {
        self.search(head, meant).map(|(_, _, node)| node)
    }

    /// The same, with its bucket, and its place there.
    fn search(&self, head: Head, meant: impl Fn(Node) -> bool) -> Option<(usize, usize, Node)> {
        let Home(mut bucket) = self.home(head);
        loop {
            let Bucket { heads, entries } = self.buckets.get(bucket)?;
            for at in 0..ABREAST {
                if entries[at] == VACANT {
                    return None;
                }
                if heads[at] == head {
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
    #[inline]
    pub(crate) fn insert(&mut self, head: Head, node: Node) {
        self.reserve(1);
        self.put(head, node.number() + 1);
        self.entries += 1;
    }

    #[inline]
    fn put(&mut self, head: Head, entry: Entry) {
        let Home(mut bucket) = self.home(head);
        while self.buckets[bucket].is_full() {
            bucket = self.after(bucket);
        }
        self.buckets[bucket].put((head, entry));
    }

    /// Take out the number that bears a head and is meant.
    pub(crate) fn remove(&mut self, head: Head, meant: impl Fn(Node) -> bool) -> Option<Node> {
        let (mut hole, at, node) = self.search(head, meant)?;
        self.entries -= 1;
        let mut ends_here = !self.buckets[hole].is_full();
        self.buckets[hole].take(at);
        // A bucket that was full had others pass by. Searches would end in it now, so one of these moves up.
        let mut bucket = hole;
        while !ends_here {
            bucket = self.after(bucket);
            ends_here = !self.buckets[bucket].is_full();
            let passed = (0..self.buckets[bucket].len()).find(|&at| {
                let Home(begin) = self.home(self.buckets[bucket].heads[at]);
                self.steps(begin, bucket) >= self.steps(hole, bucket)
            });
            if let Some(at) = passed {
                let entry = self.buckets[bucket].take(at);
                self.buckets[hole].put(entry);
                hole = bucket;
            }
        }
        Some(node)
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        let next = bucket + 1;
        if next == self.buckets.len() { 0 } else { next }
    }

    /// How far it is from one bucket on to another.
    fn steps(&self, from: usize, to: usize) -> usize {
        let around = if to < from { self.buckets.len() } else { 0 };
        to + around - from
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::Table;
    use crate::Node;
    use crate::head::Head;

    fn node(number: u32) -> Node {
        Node::new(number as usize)
    }

    /// With these keys, the first word of a head is where it stands.
    fn table() -> Table {
        Table::new((0, 0))
    }

    proptest! {
        /// Heads that crowd in few buckets, the last one among them, so that searches run over and around; some
        /// numbers share one.
        #[test]
        fn what_is_in_the_table_is_found_whatever_came_and_went(
            steps in prop::collection::vec((any::<bool>(), 0u32..6, 0u32..24), 1..400)
        ) {
            let mut table = table();
            let mut expected: HashMap<u32, Head> = HashMap::new();
            for (add, crowd, number) in steps {
                let head = Head::placed(crowd * (u32::MAX / 5), number / 2);
                if add && !expected.contains_key(&number) {
                    table.insert(head, node(number));
                    expected.insert(number, head);
                } else if !add {
                    let head = expected.remove(&number);
                    let taken = table.remove(head.unwrap_or_default(), |found| found == node(number));
                    prop_assert_eq!(taken, head.map(|_| node(number)));
                }
                for number in 0..24 {
                    let head = expected.get(&number).copied();
                    let meant = |found| head.is_some() && found == node(number);
                    let found = table.find(head.unwrap_or_default(), meant);
                    prop_assert_eq!(found, head.map(|_| node(number)));
                }
            }
        }
    }

    #[test]
    fn a_number_at_home_bears_the_head() {
        let mut table = table();
        let head = Head::placed(0, 7);
        let at_home = |table: &Table, head| table.at_home(table.home(head), head);
        assert_eq!(at_home(&table, head), None);
        table.insert(head, node(7));
        assert_eq!(at_home(&table, head), Some(node(7)));
        let other = |number| Head::placed(0, 8 + number);
        assert_eq!(at_home(&table, other(0)), None);
        assert!(table.ends_at(table.home(head)));
        table.reserve(10);
        (0..3).for_each(|number| table.insert(other(number), node(8 + number)));
        assert_eq!(at_home(&table, head), Some(node(7)));
        assert_eq!(at_home(&table, other(2)), None);
        assert!(!table.ends_at(table.home(head)));
        assert_eq!(table.find(other(2), |_| true), Some(node(10)));
    }

    #[test]
    fn no_home_changes_while_there_is_room() {
        let mut table = table();
        table.reserve(100);
        let head = Head::placed(u32::MAX, 1);
        let home = table.home(head);
        (0..100).for_each(|number| table.insert(Head::placed(number << 24, 0), node(number)));
        assert_eq!(table.home(head), home);
    }

    #[test]
    fn a_table_with_room_made_in_advance_holds_the_same() {
        let head = |number: u32| Head::placed(number.wrapping_mul(0x9E37_79B9), 0);
        let mut table = table();
        table.insert(head(1), node(1));
        table.reserve(1_000);
        (2..2_000).for_each(|number| table.insert(head(number), node(number)));
        assert!((1..2_000).all(|number| table.find(head(number), |_| true) == Some(node(number))));
    }
}
