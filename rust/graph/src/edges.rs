//! Who depends on whom, in numbers.
//!
//! Edges have two lives. While a graph is filled, they are only noted, one after another: nothing is faster, and
//! the first question lays them out in rows. The first change after a question brings them alive: from then on
//! rows in both directions are all there is, and a change costs what the rows at hand are long.

use std::sync::OnceLock;

use crate::Node;
use crate::node::Link;
use crate::rows::Rows;

/// Every dependency of a graph.
#[derive(Debug, Default, Clone)]
pub(crate) struct Edges {
    /// From a service to what it depends on, as they were noted. They may stand twice: the strictest condition
    /// counts. Empty once the edges are alive.
    noted: Vec<(Node, Link)>,
    dependencies: OnceLock<Rows>,
    dependents: OnceLock<Rows>,
    live: Option<Box<Live>>,
}

/// The same edges twice, from both ends.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) dependencies: Rows,
    pub(crate) dependents: Rows,
}

impl Edges {
    pub(crate) fn reserve(&mut self, edges: usize) {
        self.noted.reserve(edges);
    }

    /// Where edges may still be noted: nothing was laid out that would have to follow.
    pub(crate) fn notes(&mut self) -> Option<&mut Vec<(Node, Link)>> {
        let laid_out = self.live.is_some()
            || self.dependencies.get().is_some()
            || self.dependents.get().is_some();
        (!laid_out).then_some(&mut self.noted)
    }

    /// The edges in the order they were noted in, as long as there is one.
    pub(crate) fn noted(&self) -> Option<&[(Node, Link)]> {
        self.live.is_none().then_some(&*self.noted)
    }

    /// What each node depends on.
    pub(crate) fn dependencies(&self, nodes: usize) -> &Rows {
        match &self.live {
            Some(live) => &live.dependencies,
            None => self
                .dependencies
                .get_or_init(|| Rows::new(nodes, self.noted.iter().copied())),
        }
    }

    /// What depends on each node.
    pub(crate) fn dependents(&self, nodes: usize) -> &Rows {
        match &self.live {
            Some(live) => &live.dependents,
            None => self.dependents.get_or_init(|| {
                let turn = |&(service, on): &(Node, Link)| (on.node(), on.towards(service));
                Rows::new(nodes, self.noted.iter().map(turn))
            }),
        }
    }

    /// How many dependencies each node has, parallel ones each.
    pub(crate) fn dependency_counts(&self, nodes: usize) -> Vec<u32> {
        let mut counts = vec![0; nodes];
        if let Some(live) = &self.live {
            for (count, node) in counts.iter_mut().zip((0..nodes).map(Node::new)) {
                *count = u32::try_from(live.dependencies.row(node).len()).unwrap_or(u32::MAX);
            }
        }
        for (service, _) in &self.noted {
            counts[service.index()] += 1;
        }
        counts
    }

    /// The edges as they change.
    pub(crate) fn live(&mut self, nodes: usize) -> &mut Live {
        if self.live.is_none() {
            self.dependencies(nodes);
            self.dependents(nodes);
            self.noted = Vec::new();
        }
        let (dependencies, dependents) = (&mut self.dependencies, &mut self.dependents);
        self.live.get_or_insert_with(|| {
            Box::new(Live {
                dependencies: dependencies.take().unwrap_or_default(),
                dependents: dependents.take().unwrap_or_default(),
            })
        })
    }
}

impl Live {
    /// Note that `service` depends on what `link` says. False: it did before, and now at least as strictly.
    pub(crate) fn link(&mut self, service: Node, link: Link) -> bool {
        let back = link.towards(service);
        let row = self.dependencies.row(service);
        match row.iter().filter(|known| known.node() == link.node()).max() {
            None => {
                self.dependencies.loosen().push(service, link);
                self.dependents.loosen().push(link.node(), back);
                return true;
            }
            Some(&known) if known < link => {
                self.dependencies.loosen().tighten(service, link);
                self.dependents.loosen().tighten(link.node(), back);
            }
            Some(_) => {}
        }
        false
    }

    /// Forget that `service` depends on `on`. False: it did not.
    pub(crate) fn unlink(&mut self, service: Node, on: Node) -> bool {
        let row = self.dependencies.row(service);
        let found = row.iter().any(|link| link.node() == on);
        if found {
            self.dependencies.loosen().take(service, on);
            self.dependents.loosen().take(on, service);
        }
        found
    }

    /// Forget every dependency from and on `gone`, and say who depended on it.
    pub(crate) fn isolate(&mut self, gone: Node) -> Vec<Link> {
        for link in self.dependencies.loosen().take_all(gone) {
            self.dependents.loosen().take(link.node(), gone);
        }
        let dependents = self.dependents.loosen().take_all(gone);
        for link in &dependents {
            self.dependencies.loosen().take(link.node(), gone);
        }
        dependents
    }
}
