//! Nodes and links: a service by number, and one end of a dependency.

use crate::Condition;

/// A service by its number in one [`Graph`](crate::Graph).
///
/// Numbers follow the order in which services were named. They hold until a service is removed: a graph that
/// lost many services numbers the rest anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u32);

impl Node {
    /// The largest number and the condition of a dependency must fit one word.
    const MOST: usize = 1 << 30;

    #[inline]
    pub(crate) fn new(index: usize) -> Self {
        assert!(index < Self::MOST, "a graph holds fewer than 2^30 services");
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The one named first, or nobody's number.
    pub(crate) const FIRST: Self = Self(0);

    /// A number out of a table of such.
    #[inline]
    pub(crate) fn known(number: u32) -> Self {
        Self(number)
    }

    /// The number as it is.
    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The number, for a table beside the graph.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The far end of a dependency with its condition, in one word. By order: the node first, then the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link(u32);

impl Link {
    #[inline]
    pub(crate) const fn new(node: Node, condition: Condition) -> Self {
        Self(node.0 << 2 | condition as u32)
    }

    /// A link under the same condition to another node: the edge seen from its other end.
    #[inline]
    pub(crate) fn towards(self, node: Node) -> Self {
        Self(node.0 << 2 | self.0 & 3)
    }

    #[inline]
    pub(crate) fn node(self) -> Node {
        Node(self.0 >> 2)
    }

    #[inline]
    pub(crate) fn condition(self) -> Condition {
        match self.0 & 3 {
            0 => Condition::Started,
            1 => Condition::Healthy,
            _ => Condition::Completed,
        }
    }
}
