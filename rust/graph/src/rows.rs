//! A row of links for each node: flat at first, loose from the first change on.

use crate::Node;
use crate::csr::Csr;
use crate::loose::Loose;
use crate::node::Link;

/// A row of links for each node. A change costs as much as the row is long; the order within a row that changed has
/// no meaning.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rows {
    /// Empty once the rows are loose.
    flat: Csr,
    loose: Option<Loose>,
}

impl Rows {
    pub(crate) fn new(nodes: usize, edges: impl Iterator<Item = (Node, Link)> + Clone) -> Self {
        Self {
            flat: Csr::new(nodes, edges),
            loose: None,
        }
    }

    /// A node's links; none for a node that came after.
    #[inline]
    pub(crate) fn row(&self, node: Node) -> &[Link] {
        match &self.loose {
            Some(rows) => rows.row(node),
            None => self.flat.row(node),
        }
    }

    /// Every row's links, each with the node whose row it is.
    pub(crate) fn links(&self, nodes: usize) -> impl Iterator<Item = (Node, Link)> + Clone + '_ {
        (0..nodes)
            .map(Node::new)
            .flat_map(|node| self.row(node).iter().map(move |&link| (node, link)))
    }

    /// The rows, to be changed.
    pub(crate) fn loosen(&mut self) -> &mut Loose {
        let flat = &mut self.flat;
        self.loose
            .get_or_insert_with(|| Loose::new(std::mem::take(flat)))
    }
}
