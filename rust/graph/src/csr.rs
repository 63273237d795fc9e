//! Adjacency in two flat arrays: a row of links for each node.
//!
//! Walking a row touches memory in order, which is what makes a full sort fast. It cannot change: `loose` is what it
//! becomes then.

use std::ops::Range;

use crate::Node;
use crate::node::Link;

/// Rows of links. Parallel ones stay parallel.
#[derive(Debug, Default, Clone)]
pub(crate) struct Csr {
    starts: Vec<u32>,
    links: Vec<Link>,
}

impl Csr {
    /// The rows of `nodes` nodes. Within a row, links keep their order.
    pub(crate) fn new(nodes: usize, edges: impl Iterator<Item = (Node, Link)> + Clone) -> Self {
        // A node's number of links goes two places up; summed up, its start stands one up, where filling the
        // rows moves it to its end: the next one's start.
        let mut starts = vec![0u32; nodes + 2];
        for (node, _) in edges.clone() {
            starts[node.index() + 2] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let nothing = Link::new(Node::new(0), crate::Condition::Started);
        let mut links = vec![nothing; sum as usize];
        for (node, link) in edges {
            let at = &mut starts[node.index() + 1];
            links[*at as usize] = link;
            *at += 1;
        }
        starts.pop();
        Self { starts, links }
    }

    /// A node's links; none for a node that came after.
    #[inline]
    pub(crate) fn row(&self, node: Node) -> &[Link] {
        match self.starts.get(node.index()..node.index() + 2) {
            Some(&[start, end]) => &self.links[start as usize..end as usize],
            _ => &[],
        }
    }

    /// Where each node's row is among all links.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let span = |row: &[u32]| row[0] as usize..row[1] as usize;
        self.starts.windows(2).map(span)
    }

    /// All links, row after row.
    pub(crate) fn into_links(self) -> Vec<Link> {
        self.links
    }
}
