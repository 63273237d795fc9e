//! Rows that change: each in a place of its own in one array, with room to grow.
//!
//! A row that outgrows its room moves behind all others, into twice as much. What it leaves is lost until that is a
//! good part of the array: then all rows are laid out anew, which keeps the price a small constant a change.

use std::ops::Range;

use crate::csr::Csr;
use crate::node::Link;
use crate::{Condition, Node};

/// The least room that a row moves into.
const ROOM: usize = 4;

/// So much may be lost in however small an array.
const LOST: usize = 1024;

/// A row of links for each node. The order within a row has no meaning.
#[derive(Debug, Clone)]
pub(crate) struct Loose {
    places: Vec<Place>,
    links: Vec<Link>,
    /// How much of `links` is in no row's room.
    lost: usize,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    start: usize,
    length: usize,
    room: usize,
}

impl Place {
    fn links(self) -> Range<usize> {
        self.start..self.start + self.length
    }
}

impl Loose {
    /// Flat rows where they stand, each with no more room than it takes.
    pub(crate) fn new(flat: Csr) -> Self {
        let place = |row: Range<usize>| Place {
            start: row.start,
            length: row.len(),
            room: row.len(),
        };
        Self {
            places: flat.spans().map(place).collect(),
            links: flat.into_links(),
            lost: 0,
        }
    }

    /// A node's links; none for a node that never had any.
    #[inline]
    pub(crate) fn row(&self, node: Node) -> &[Link] {
        match self.places.get(node.index()) {
            Some(place) => &self.links[place.links()],
            None => &[],
        }
    }

    pub(crate) fn push(&mut self, node: Node, link: Link) {
        if self.places.len() <= node.index() {
            self.places.resize(node.index() + 1, Place::default());
        }
        let place = self.places[node.index()];
        if place.length == place.room {
            self.make_room(node);
        }
        let place = &mut self.places[node.index()];
        place.length += 1;
        let end = place.links().end;
        self.links[end - 1] = link;
    }

    /// Move a row that has none left into more room.
    fn make_room(&mut self, node: Node) {
        if self.lost * 2 > LOST + self.links.len() + self.places.len() {
            self.lay_out();
        }
        let old = self.places[node.index()];
        let room = (2 * old.room).max(ROOM);
        let start = self.links.len();
        self.links.extend_from_within(old.links());
        self.links.resize(start + room, NOTHING);
        self.lost += old.room;
        self.places[node.index()] = Place { start, room, ..old };
    }

    /// All rows without what was lost between them.
    fn lay_out(&mut self) {
        let mut links = Vec::with_capacity(self.links.len() - self.lost);
        for place in &mut self.places {
            let start = links.len();
            links.extend_from_slice(&self.links[place.links()]);
            (place.start, place.room) = (start, place.length);
        }
        (self.links, self.lost) = (links, 0);
    }

    /// Give every link from `node` to that of `link` at least its condition.
    pub(crate) fn tighten(&mut self, node: Node, link: Link) {
        let links = self.places.get(node.index()).map(|place| place.links());
        for known in &mut self.links[links.unwrap_or_default()] {
            if known.node() == link.node() {
                *known = link.max(*known);
            }
        }
    }

    /// Take out every link from `node` to `to`.
    pub(crate) fn take(&mut self, node: Node, to: Node) {
        let Some(place) = self.places.get_mut(node.index()) else {
            return;
        };
        let row = &mut self.links[place.links()];
        let mut length = row.len();
        while let Some(at) = row[..length].iter().position(|link| link.node() == to) {
            length -= 1;
            row.swap(at, length);
        }
        place.length = length;
    }

    /// Take out every link of a node that gets none any more.
    pub(crate) fn take_all(&mut self, node: Node) -> Vec<Link> {
        let Some(place) = self.places.get_mut(node.index()) else {
            return Vec::new();
        };
        let gone = std::mem::take(place);
        self.lost += gone.room;
        self.links[gone.links()].to_vec()
    }
}

/// What stands in room that no link took yet.
const NOTHING: Link = Link::new(Node::FIRST, Condition::Started);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::Loose;
    use crate::csr::Csr;
    use crate::node::Link;
    use crate::{Condition, Node};

    fn link(to: usize) -> Link {
        Link::new(Node::new(to), Condition::Started)
    }

    fn sorted(row: &[Link]) -> Vec<usize> {
        let mut row: Vec<_> = row.iter().map(|link| link.node().index()).collect();
        row.sort_unstable();
        row
    }

    proptest! {
        /// Few nodes, so that rows move past one another and what they leave is gathered again.
        #[test]
        fn rows_hold_what_was_pushed_and_not_taken(
            flat in prop::collection::vec((0usize..6, 0usize..9), 0..30),
            steps in prop::collection::vec((0u8..8, 0usize..8, 0usize..9), 0..4000),
        ) {
            let mut expected: HashMap<usize, Vec<usize>> = HashMap::new();
            for &(node, to) in &flat {
                expected.entry(node).or_default().push(to);
            }
            let edges = flat.iter().map(|&(node, to)| (Node::new(node), link(to)));
            let mut rows = Loose::new(Csr::new(6, edges));
            for (step, node, to) in steps {
                let row = expected.entry(node).or_default();
                match step {
                    0 => {
                        rows.take(Node::new(node), Node::new(to));
                        row.retain(|&known| known != to);
                    }
                    1 => {
                        row.sort_unstable();
                        let taken = std::mem::take(row);
                        prop_assert_eq!(sorted(&rows.take_all(Node::new(node))), taken);
                    }
                    _ => {
                        rows.push(Node::new(node), link(to));
                        row.push(to);
                    }
                }
                row.sort_unstable();
                prop_assert_eq!(&sorted(rows.row(Node::new(node))), row);
            }
            for (node, mut row) in expected {
                row.sort_unstable();
                prop_assert_eq!(sorted(rows.row(Node::new(node))), row);
            }
        }
    }

    #[test]
    fn what_moving_rows_leave_does_not_pile_up() {
        let mut rows = Loose::new(Csr::default());
        for round in 0..100_000 {
            let node = Node::new(round % 50);
            rows.push(node, link(round));
            if rows.row(node).len() == 9 {
                rows.take_all(node);
            }
        }
        assert!(rows.links.len() < 8 * 1024);
    }
}
