//! Names to numbers and back.
//!
//! All names stand one after another in one text, and the table holds numbers, not pointers: a million names are
//! a handful of allocations. [`Names::intern_all`] has many look-ups under way at once, each of which touches one
//! line of the table and one of the heads.

use std::ops::Range;

use ahash::RandomState;

use crate::Node;
use crate::fetch::fetch;
use crate::head::Head;
use crate::table::{Likely, Table};

/// How many names [`Names::intern_all`] looks up side by side.
const ABREAST: usize = 64;

/// Numbered names. A number stays a name's own until the name is forgotten, and is not used again.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    hasher: RandomState,
    /// For [`Head::mixed`].
    keys: (u64, u64),
    table: Table,
    heads: Vec<Head>,
    text: String,
    /// Where each name ends in `text`; it begins where the one before ends.
    ends: Vec<usize>,
    /// Whether the name of a number was forgotten.
    gone: Vec<bool>,
    /// How many names are known.
    known: usize,
}

/// What [`Names::intern_all`] knows of a name before it compares it with any other.
#[derive(Clone, Copy)]
struct Asked {
    head: Head,
    tag: u32,
    likely: Likely,
}

const REPEATED: Asked = Asked {
    head: Head::NONE,
    tag: 0,
    likely: Likely::REPEATED,
};

impl Default for Names {
    fn default() -> Self {
        let hasher = RandomState::default();
        Self {
            keys: (hasher.hash_one(1), hasher.hash_one(2)),
            hasher,
            table: Table::default(),
            heads: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            gone: Vec::new(),
            known: 0,
        }
    }
}

impl Names {
    /// Make room for so many names more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.table.reserve(more);
    }

    #[inline]
    fn tag(&self, head: Head, name: &str) -> u32 {
        if head.is_whole() {
            head.mixed(self.keys)
        } else {
            self.long_tag(name)
        }
    }

    #[inline(never)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "all bits of a good hash are good"
    )]
    fn long_tag(&self, name: &str) -> u32 {
        self.hasher.hash_one(name.as_bytes()) as u32
    }

    /// The number of a name, made if new.
    #[inline]
    pub(crate) fn intern(&mut self, name: &str) -> Node {
        let head = Head::of(name.as_bytes());
        let tag = self.tag(head, name);
        match self.find(tag, head, name) {
            Some(node) => node,
            None => self.enter(tag, head, name),
        }
    }

    /// The numbers of many names, those that are new made in turn.
    ///
    /// The table is asked for all names before the first answer is used, so that the waits for memory overlap. A
    /// name that stood two places before, as the services in a list of their dependencies mostly did, is not asked
    /// for.
    pub(crate) fn intern_all(&mut self, names: &[&str], numbers: &mut Vec<Node>) {
        self.table.reserve(1);
        let first = numbers.len();
        numbers.resize(first + names.len(), Node::known(0));
        let numbers = numbers[first..].chunks_mut(ABREAST);
        let mut asked = [REPEATED; ABREAST];
        for (names, numbers) in names.chunks(ABREAST).zip(numbers) {
            let asked = &mut asked[..names.len()];
            let (mut two_before, mut before) = (Head::NONE, Head::NONE);
            for (asked, name) in asked.iter_mut().zip(names) {
                let head = Head::of(name.as_bytes());
                *asked = if head == two_before && head.is_whole() {
                    REPEATED
                } else {
                    let tag = self.tag(head, name);
                    self.table.fetch(tag);
                    let likely = Likely::NONE;
                    Asked { head, tag, likely }
                };
                (two_before, before) = (before, head);
            }
            for asked in asked.iter_mut() {
                if asked.likely != Likely::REPEATED {
                    asked.likely = self.table.likely(asked.tag);
                    if let Some(node) = asked.likely.node() {
                        fetch(&self.heads, node.index());
                    }
                }
            }
            let (mut two_before, mut before) = (Node::known(0), Node::known(0));
            for ((asked, name), number) in asked.iter().zip(names).zip(numbers) {
                let Asked { head, tag, likely } = *asked;
                *number = match likely.node() {
                    _ if likely == Likely::REPEATED => two_before,
                    Some(node) if self.is_it(node, head, name) => node,
                    _ => self.intern_unlikely(tag, head, name),
                };
                (two_before, before) = (before, *number);
            }
        }
    }

    /// The number of a name that is most likely new.
    #[inline(never)]
    fn intern_unlikely(&mut self, tag: u32, head: Head, name: &str) -> Node {
        match self.find(tag, head, name) {
            Some(node) => node,
            None => self.enter(tag, head, name),
        }
    }

    fn enter(&mut self, tag: u32, head: Head, name: &str) -> Node {
        let node = Node::new(self.ends.len());
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.heads.push(head);
        self.gone.push(false);
        self.known += 1;
        self.table.insert(tag, node);
        node
    }

    #[inline]
    fn find(&self, tag: u32, head: Head, name: &str) -> Option<Node> {
        self.table.find(tag, |node| self.is_it(node, head, name))
    }

    #[inline]
    fn is_it(&self, node: Node, head: Head, name: &str) -> bool {
        self.heads.get(node.index()) == Some(&head) && (head.is_whole() || self.name(node) == name)
    }

    /// The number of a name, if it is known.
    pub(crate) fn node(&self, name: &str) -> Option<Node> {
        let head = Head::of(name.as_bytes());
        self.find(self.tag(head, name), head, name)
    }

    pub(crate) fn name(&self, node: Node) -> &str {
        &self.text[self.span(node)]
    }

    fn span(&self, node: Node) -> Range<usize> {
        let number = node.index();
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[number]
    }

    /// The node of a number, if it has a name.
    pub(crate) fn at(&self, index: usize) -> Option<Node> {
        (self.gone.get(index) == Some(&false)).then(|| Node::new(index))
    }

    /// Forget a name; its number is not used again.
    pub(crate) fn forget(&mut self, name: &str) -> Option<Node> {
        let head = Head::of(name.as_bytes());
        let tag = self.tag(head, name);
        let mut table = std::mem::take(&mut self.table);
        let gone = table.remove(tag, |node| self.is_it(node, head, name));
        self.table = table;
        let gone = gone?;
        self.gone[gone.index()] = true;
        // No name is that of this number any more, should anyone come to ask.
        self.heads[gone.index()] = Head::NONE;
        self.known -= 1;
        Some(gone)
    }

    /// How many names are known.
    pub(crate) fn len(&self) -> usize {
        self.known
    }

    /// One more than the largest number.
    pub(crate) fn bound(&self) -> usize {
        self.ends.len()
    }

    /// The numbers of all known names, in the order they were named in.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        let known = |(index, gone): (usize, &bool)| (!gone).then(|| Node::new(index));
        self.gone.iter().enumerate().filter_map(known)
    }
}
