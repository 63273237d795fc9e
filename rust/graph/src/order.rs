//! Order: what to start first, and what may start together.

use crate::graph::Graph;
use crate::passing;
use crate::{GraphError, Node};

/// The level of what a circle keeps from starting, by being on one or by depending on one.
pub(crate) const STUCK: u32 = u32::MAX;

/// The level of each node.
#[derive(Debug, Clone)]
pub(crate) struct Sorted {
    /// One more than the highest of what the node depends on. Numbers without a service have a level of no
    /// meaning.
    pub(crate) levels: Vec<u32>,
    /// Whether no node is stuck.
    pub(crate) complete: bool,
}

/// The nodes in a line, by level, and within a level in the order they were named in.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    order: Vec<Node>,
    /// Where in `order` each level ends.
    level_ends: Vec<usize>,
}

impl Graph {
    /// The levels, kept up while the graph changes.
    pub(crate) fn sorted(&self) -> &Sorted {
        self.answers.sorted.get_or_init(|| {
            let told = self.noted().and_then(|noted| {
                passing::levels(self.bound(), noted.iter())
                    .or_else(|| passing::levels(self.bound(), noted.iter().rev()))
            });
            match told {
                Some(levels) => Sorted {
                    levels,
                    complete: true,
                },
                None => self.kahn(),
            }
        })
    }

    /// Kahn's sort.
    fn kahn(&self) -> Sorted {
        let mut waits = self.dependency_counts();
        let dependents = self.dependent_rows();
        let mut levels = vec![STUCK; self.bound()];
        let mut queue = Vec::with_capacity(self.len());
        queue.extend(self.nodes().filter(|node| waits[node.index()] == 0));
        let (mut done, mut level) = (0, 0);
        while done < queue.len() {
            let end = queue.len();
            for at in done..end {
                let node: Node = queue[at];
                levels[node.index()] = level;
                for link in dependents.row(node) {
                    let waits = &mut waits[link.node().index()];
                    *waits -= 1;
                    if *waits == 0 {
                        queue.push(link.node());
                    }
                }
            }
            (done, level) = (end, level + 1);
        }
        Sorted {
            levels,
            complete: queue.len() == self.len(),
        }
    }

    /// The nodes in a line, or the circle that makes it impossible.
    fn line(&self) -> Result<&Line, GraphError> {
        let sorted = self.sorted();
        if !sorted.complete {
            let path = self.first_cycle();
            let path = path.iter().chain(path.first());
            return Err(GraphError::Cycle {
                path: path.map(|&node| self.name(node).to_owned()).collect(),
            });
        }
        Ok(self
            .answers
            .line
            .get_or_init(|| Line::new(self, &sorted.levels)))
    }

    /// Every service, dependencies first. Reversed, it is the order to stop in.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], with a shortest one.
    pub fn order(&self) -> Result<&[Node], GraphError> {
        Ok(&self.line()?.order)
    }

    /// Every service, in groups that may start together once the groups before them are up.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], with a shortest one.
    pub fn levels(
        &self,
    ) -> Result<impl ExactSizeIterator<Item = &[Node]> + DoubleEndedIterator, GraphError> {
        let line = self.line()?;
        Ok((0..line.level_ends.len()).map(|level| {
            let start = level
                .checked_sub(1)
                .map_or(0, |under| line.level_ends[under]);
            &line.order[start..line.level_ends[level]]
        }))
    }

    /// These services, each once, dependencies first: what stands between them does not count, but what it
    /// implies does. Costs what the few cost, not what the graph would.
    ///
    /// # Errors
    /// [`GraphError::Cycle`], with a shortest one, wherever in the graph it is.
    pub fn order_among(&self, mut nodes: Vec<Node>) -> Result<Vec<Node>, GraphError> {
        let sorted = self.sorted();
        if !sorted.complete {
            self.line()?;
        }
        nodes.sort_unstable_by_key(|&node| (sorted.levels[node.index()], node));
        nodes.dedup();
        Ok(nodes)
    }
}

impl Line {
    /// Counting: a node's place is after all of lower levels, and of its own level after those named before.
    fn new(graph: &Graph, levels: &[u32]) -> Self {
        let mut level_ends = Vec::new();
        for node in graph.nodes() {
            let level = levels[node.index()] as usize;
            if level >= level_ends.len() {
                level_ends.resize(level + 1, 0);
            }
            level_ends[level] += 1;
        }
        let mut sum = 0;
        for end in &mut level_ends {
            sum += std::mem::replace(end, sum);
        }
        let mut order = vec![Node::new(0); sum];
        for node in graph.nodes() {
            let at = &mut level_ends[levels[node.index()] as usize];
            order[*at] = node;
            *at += 1;
        }
        Self { order, level_ends }
    }
}
