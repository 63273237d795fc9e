//! Levels read off the dependencies in passing, where those stand in an order that allows it.
//!
//! Who writes dependencies down mostly has some order: what a service depends on was described before it, or is
//! described after it. Then one walk along the list, from its beginning or from its end, says every level, and
//! no rows have to be laid out. Where that is not so, it shows early: at the first service whose level rises
//! after it was built upon.

use crate::Node;
use crate::node::Link;

/// Of a level: something was built upon it.
const BUILT_UPON: u32 = 1 << 31;

/// The levels of `nodes` nodes; `None` where this order of edges does not tell them, or a circle has none.
///
/// A level that is not raised any more once it was built upon was final when it was. So if none is, each node is
/// above all that it depends on and no higher than it must: and there is no circle.
pub(crate) fn levels<'a>(
    nodes: usize,
    edges: impl Iterator<Item = &'a (Node, Link)>,
) -> Option<Vec<u32>> {
    let mut levels = vec![0; nodes];
    for &(service, link) in edges {
        let under = &mut levels[link.node().index()];
        *under |= BUILT_UPON;
        let least = (*under ^ BUILT_UPON) + 1;
        let level = &mut levels[service.index()];
        if (*level & !BUILT_UPON) < least {
            if *level & BUILT_UPON != 0 {
                return None;
            }
            *level = least;
        }
    }
    for level in &mut levels {
        *level &= !BUILT_UPON;
    }
    Some(levels)
}

#[cfg(test)]
mod tests {
    use super::levels;
    use crate::node::Link;
    use crate::{Condition, Node};

    fn in_passing(nodes: usize, edges: &[(usize, usize)]) -> Option<Vec<u32>> {
        let link = |on| Link::new(Node::new(on), Condition::Healthy);
        let edges: Vec<_> = edges
            .iter()
            .map(|&(service, on)| (Node::new(service), link(on)))
            .collect();
        levels(nodes, edges.iter())
    }

    #[test]
    fn what_stands_on_something_described_before_is_above_it() {
        let edges = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 2), (3, 2)];
        assert_eq!(in_passing(5, &edges), Some(vec![0, 1, 2, 3, 0]));
    }

    #[test]
    fn a_level_that_rises_too_late_is_noticed() {
        assert_eq!(in_passing(3, &[(2, 1), (1, 0)]), None);
    }

    #[test]
    fn a_circle_has_no_levels() {
        assert_eq!(in_passing(1, &[(0, 0)]), None);
        assert_eq!(in_passing(2, &[(0, 1), (1, 0)]), None);
        assert_eq!(in_passing(3, &[(0, 1), (1, 2), (2, 0)]), None);
    }
}
