//! Rows that change: flat ones, and over them those that changed since.

use std::collections::HashMap;

use ahash::RandomState;

use crate::Node;
use crate::csr::Csr;
use crate::node::Link;

/// Above this many changed rows, and a quarter of all, they are laid flat again: the price stays a small constant
/// a change.
const LOOSE: usize = 1024;

/// A row of links for each node. A change costs as much as the row is long; the order within a row has no
/// meaning.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rows {
    flat: Csr,
    changed: HashMap<Node, Vec<Link>, RandomState>,
}

impl Rows {
    pub(crate) fn new(nodes: usize, edges: impl Iterator<Item = (Node, Link)> + Clone) -> Self {
        Self {
            flat: Csr::new(nodes, edges),
            changed: HashMap::default(),
        }
    }

    #[inline]
    pub(crate) fn row(&self, node: Node) -> &[Link] {
        if self.changed.is_empty() {
            return self.flat.row(node);
        }
        match self.changed.get(&node) {
            Some(row) => row,
            None => self.flat.row(node),
        }
    }

    /// Every row's links, each with the node whose row it is.
    pub(crate) fn links(&self, nodes: usize) -> impl Iterator<Item = (Node, Link)> + Clone + '_ {
        (0..nodes)
            .map(Node::new)
            .flat_map(|node| self.row(node).iter().map(move |&link| (node, link)))
    }

    fn change(&mut self, node: Node) -> &mut Vec<Link> {
        if self.changed.len() > LOOSE.max(self.flat.len() / 4) {
            let last = self.changed.keys().max().map_or(0, |node| node.index() + 1);
            let nodes = self.flat.len().max(last);
            self.flat = Csr::new(nodes, self.links(nodes));
            self.changed = HashMap::default();
        }
        self.changed
            .entry(node)
            .or_insert_with(|| self.flat.row(node).to_vec())
    }

    pub(crate) fn push(&mut self, node: Node, link: Link) {
        self.change(node).push(link);
    }

    /// Give every link from `node` to that of `link` at least its condition.
    pub(crate) fn tighten(&mut self, node: Node, link: Link) {
        for known in self.change(node) {
            if known.node() == link.node() {
                *known = link.max(*known);
            }
        }
    }

    /// Take out every link from `node` to `to`.
    pub(crate) fn take(&mut self, node: Node, to: Node) {
        let row = self.change(node);
        while let Some(at) = row.iter().position(|link| link.node() == to) {
            row.swap_remove(at);
        }
    }

    /// Take out every link of `node`.
    pub(crate) fn take_all(&mut self, node: Node) -> Vec<Link> {
        std::mem::take(self.change(node))
    }
}
