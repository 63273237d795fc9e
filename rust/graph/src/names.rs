//! Names to numbers and back.
//!
//! All names stand one after another in one text, and the table holds numbers, not pointers: a million names are
//! a handful of allocations. [`Names::intern_all`] has many look-ups under way at once, each of which touches one
//! line of the table.

use std::ops::Range;

use ahash::RandomState;

use crate::Node;
use crate::head::Head;
use crate::table::{Home, Table};

/// How many names [`Names::intern_all`] looks up side by side.
const ABREAST: usize = 64;

/// Numbered names. A number stays a name's own until the name is forgotten, and is not used again.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    hasher: RandomState,
    table: Table,
    text: String,
    /// Where each name ends in `text`; it begins where the one before ends.
    ends: Vec<usize>,
    /// Whether the name of a number was forgotten. Numbers behind the end were not.
    gone: Vec<bool>,
    /// How many names are known.
    known: usize,
}

/// What [`Names::intern_all`] looks for, and where.
#[derive(Clone, Copy, Default)]
struct Asked {
    head: Head,
    home: Home,
}

impl Default for Names {
    fn default() -> Self {
        let hasher = RandomState::default();
        let keys = (hasher.hash_one(1), hasher.hash_one(2));
        Self {
            hasher,
            table: Table::new(keys),
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

    /// The number of a name, made if new.
    #[inline]
    pub(crate) fn intern(&mut self, name: &str) -> Node {
        self.intern_by(Head::of(name, &self.hasher), name)
    }

    /// The numbers of many names, those that are new made in turn.
    ///
    /// The table is asked for all names before the first answer is used, so that the waits for memory overlap. A
    /// name that stood two places before, as the services in a list of their dependencies mostly did, is not asked
    /// for.
    pub(crate) fn intern_all(&mut self, names: &[&str], numbers: &mut Vec<Node>) {
        let mut asked = [Asked::default(); ABREAST];
        for names in names.chunks(ABREAST) {
            // Where each is to be sought must hold until the last one is found.
            self.table.reserve(ABREAST);
            let asked = &mut asked[..names.len()];
            self.ask(names, asked);
            let (mut two_before, mut before) = (Node::known(0), Node::known(0));
            numbers.extend(asked.iter().zip(names).map(|(asked, name)| {
                let Asked { head, home } = *asked;
                let number = if home == Home::NONE {
                    two_before
                } else {
                    match self.table.at_home(home, head) {
                        Some(node) if head.is_whole() => node,
                        None if self.table.ends_at(home) => self.enter(head, name),
                        _ => self.intern_by(head, name),
                    }
                };
                (two_before, before) = (before, number);
                number
            }));
        }
    }

    /// Ask the table for names ahead.
    #[inline]
    fn ask(&self, names: &[&str], asked: &mut [Asked]) {
        let (mut two_before, mut before) = (Head::NONE, Head::NONE);
        for (asked, name) in asked.iter_mut().zip(names) {
            let head = Head::of(name, &self.hasher);
            let home = if head == two_before && head.is_whole() {
                Home::NONE
            } else {
                let home = self.table.home(head);
                self.table.fetch(home);
                home
            };
            *asked = Asked { head, home };
            (two_before, before) = (before, head);
        }
    }

    /// The number of a name by its head: the long way.
    #[inline(never)]
    fn intern_by(&mut self, head: Head, name: &str) -> Node {
        match self.find(head, name) {
            Some(node) => node,
            None => self.enter(head, name),
        }
    }

    /// Number a name that is new.
    #[inline(never)]
    fn enter(&mut self, head: Head, name: &str) -> Node {
        let node = Node::new(self.ends.len());
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.known += 1;
        self.table.insert(head, node);
        node
    }

    #[inline]
    fn find(&self, head: Head, name: &str) -> Option<Node> {
        let meant = |node| head.is_whole() || self.name(node) == name;
        self.table.find(head, meant)
    }

    /// The number of a name, if it is known.
    pub(crate) fn node(&self, name: &str) -> Option<Node> {
        self.find(Head::of(name, &self.hasher), name)
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
        let known = index < self.bound() && !self.is_gone(index);
        known.then(|| Node::new(index))
    }

    fn is_gone(&self, index: usize) -> bool {
        self.gone.get(index) == Some(&true)
    }

    /// Forget a name; its number is not used again.
    pub(crate) fn forget(&mut self, name: &str) -> Option<Node> {
        let head = Head::of(name, &self.hasher);
        let node = self.find(head, name)?;
        self.table.remove(head, |found| found == node);
        let number = node.index();
        if self.gone.len() <= number {
            self.gone.resize(number + 1, false);
        }
        self.gone[number] = true;
        self.known -= 1;
        Some(node)
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
        let known = |&index: &usize| !self.is_gone(index);
        (0..self.bound()).filter(known).map(Node::new)
    }
}
