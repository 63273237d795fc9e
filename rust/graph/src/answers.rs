//! What was worked out, and what a change leaves of it.
//!
//! A node's level is one more than the highest of what it depends on. From the levels follows the order, so an edge
//! that fits the levels changes nothing, and one that does not moves those nodes only whose level it changes:
//! they are followed upwards, lowest first, as Pearce and Kelly follow theirs. Unlike theirs, an order by level
//! does not depend on the history of the graph.
//!
//! What a change may cost has a bound that does not grow with the graph: where following takes longer, the
//! levels are dropped, and the next question sorts anew.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::OnceLock;

use crate::Node;
use crate::edges::Live;
use crate::order::{Line, STUCK, Sorted};

/// How many links one change may follow: some tens of microseconds.
const MOST_LINKS: usize = 4096;

/// Answers since the last change that touched them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answers {
    pub(crate) sorted: OnceLock<Sorted>,
    pub(crate) line: OnceLock<Line>,
    pub(crate) cycles: OnceLock<Vec<Vec<Node>>>,
}

/// The levels could not be kept up: a circle was closed, or too much would move.
#[derive(Clone, Copy)]
struct Lost;

/// Nodes to look at, by level, and how many links may still be followed.
struct Wave {
    next: BinaryHeap<Reverse<(u32, Node)>>,
    links: usize,
}

impl Answers {
    /// Services were added, without any dependency yet: there are `bound` numbers now.
    pub(crate) fn grow(&mut self, bound: usize) {
        if let Some(sorted) = self.sorted.get_mut()
            && sorted.levels.len() < bound
        {
            sorted.levels.resize(bound, 0);
            self.line.take();
        }
    }

    /// `service` came to depend on `on`.
    pub(crate) fn linked(&mut self, service: Node, on: Node, live: &Live) {
        let Some(sorted) = self.sorted.get_mut() else {
            return;
        };
        let levels = &mut sorted.levels;
        match (levels[service.index()], levels[on.index()]) {
            // It was on a circle or behind one, and still is. Circles may be more, larger, or shorter now.
            (STUCK, _) => drop(self.cycles.take()),
            (_, STUCK) => self.forget(),
            (level, under) if level > under => {}
            (_, under) => {
                let wave = Wave::new([(under + 1, service)]);
                let moved = wave.raise(levels, on, live);
                self.keep(moved);
            }
        }
    }

    /// Each of `services` came to depend on `on` no more.
    pub(crate) fn unlinked(&mut self, services: &[Node], on: Node, live: &Live) {
        let Some(sorted) = self.sorted.get_mut() else {
            return;
        };
        let levels = &mut sorted.levels;
        if levels[on.index()] == STUCK && !services.is_empty() {
            // It may have been the last thing that kept them from starting.
            self.forget();
            return;
        }
        // Who is stuck stays so: something else keeps it.
        let free = services
            .iter()
            .copied()
            .filter(|node| levels[node.index()] != STUCK);
        let wave = Wave::new(free.map(|node| (levels[node.index()], node)));
        let moved = wave.lower(levels, live);
        self.keep(moved);
    }

    /// A service left, after its dependencies.
    pub(crate) fn removed(&mut self, gone: Node) {
        if self
            .sorted
            .get()
            .is_some_and(|sorted| sorted.levels[gone.index()] == STUCK)
        {
            self.forget();
        }
        self.line.take();
    }

    fn keep(&mut self, moved: Result<bool, Lost>) {
        match moved {
            Err(Lost) => self.forget(),
            Ok(true) => drop(self.line.take()),
            Ok(false) => {}
        }
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Wave {
    fn new(start: impl IntoIterator<Item = (u32, Node)>) -> Self {
        Self {
            next: start.into_iter().map(Reverse).collect(),
            links: MOST_LINKS,
        }
    }

    fn follow(&mut self, links: usize) -> Result<(), Lost> {
        self.links = self.links.checked_sub(links + 1).ok_or(Lost)?;
        Ok(())
    }

    /// Raise what must stand higher, now that a dependency on `on` was added, and say whether something moved. A
    /// wave that comes around to `on` closed a circle.
    fn raise(mut self, levels: &mut [u32], on: Node, live: &Live) -> Result<bool, Lost> {
        let mut moved = false;
        while let Some(Reverse((level, node))) = self.next.pop() {
            if levels[node.index()] >= level {
                continue;
            }
            if node == on {
                return Err(Lost);
            }
            levels[node.index()] = level;
            moved = true;
            let dependents = live.dependents.row(node);
            self.follow(dependents.len())?;
            // A stuck one's level is above all others.
            let under = dependents.iter().map(|link| link.node());
            let under = under.filter(|dependent| levels[dependent.index()] <= level);
            self.next
                .extend(under.map(|dependent| Reverse((level + 1, dependent))));
        }
        Ok(moved)
    }

    /// Lower what may stand lower. Lowest first: what a node depends on has its level by then.
    fn lower(mut self, levels: &mut [u32], live: &Live) -> Result<bool, Lost> {
        let mut moved = false;
        while let Some(Reverse((level, node))) = self.next.pop() {
            let dependencies = live.dependencies.row(node);
            self.follow(dependencies.len())?;
            let above = dependencies
                .iter()
                .map(|link| levels[link.node().index()] + 1);
            let least = above.max().unwrap_or(0);
            if least == levels[node.index()] {
                continue;
            }
            levels[node.index()] = least;
            moved = true;
            let dependents = live.dependents.row(node);
            self.follow(dependents.len())?;
            let rested = dependents.iter().map(|link| link.node());
            let rested = rested.filter(|dependent| levels[dependent.index()] == level + 1);
            self.next
                .extend(rested.map(|dependent| Reverse((level + 1, dependent))));
        }
        Ok(moved)
    }
}
