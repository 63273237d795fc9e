//! The model: services by name, and what each depends on.

use std::sync::OnceLock;

use ahash::RandomState;
use hashbrown::HashTable;
use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::{EdgeRef, IntoEdgeReferences, NodeIndexable};

use crate::csr::Csr;
use crate::order::Sorted;
use crate::{Condition, GraphError};

/// Services and what they depend on.
///
/// Answers are kept until the graph changes. Every answer is deterministic: where the dependencies leave a
/// choice, services stand in the order they were named in.
#[derive(Debug, Default, Clone)]
pub struct Graph {
    /// An edge goes from a service to what it depends on. Edges may be parallel; the strictest counts.
    pub(crate) model: StableDiGraph<Box<str>, Condition, u32>,
    by_name: HashTable<NodeIndex>,
    hasher: RandomState,
    pub(crate) cache: Cache,
}

/// What was worked out since the last change.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    dependencies: OnceLock<Csr>,
    dependents: OnceLock<Csr>,
    pub(crate) sorted: OnceLock<Sorted>,
}

impl Clone for Cache {
    /// A copied graph is about to change, so nothing is worth copying.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// One dependency, in names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency<'a> {
    /// Who depends.
    pub service: &'a str,
    /// On whom.
    pub on: &'a str,
    /// What it waits for.
    pub condition: Condition,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A graph from pairs of a service and what it depends on.
    pub fn from_edges<'a>(edges: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut graph = Self::new();
        for (service, on) in edges {
            graph.depend(service, on, Condition::default());
        }
        graph
    }

    /// Add a service, unless it is there.
    pub fn add(&mut self, name: &str) {
        self.intern(name);
    }

    /// Note that `service` depends on `on`; both are added where new.
    pub fn depend(&mut self, service: &str, on: &str, condition: Condition) {
        let (service, on) = (self.intern(service), self.intern(on));
        self.connect(service, on, condition);
    }

    /// The number of a name, for [`connect`](Self::connect): stable until the service is removed.
    pub fn intern(&mut self, name: &str) -> NodeIndex {
        let hash = self.hasher.hash_one(name);
        if let Some(&found) = self.by_name.find(hash, |&node| *self.model[node] == *name) {
            return found;
        }
        self.cache = Cache::default();
        let node = self.model.add_node(name.into());
        let (model, hasher) = (&self.model, &self.hasher);
        self.by_name
            .insert_unique(hash, node, |&node| hasher.hash_one(&*model[node]));
        node
    }

    /// [`depend`](Self::depend) for names interned before.
    pub fn connect(&mut self, service: NodeIndex, on: NodeIndex, condition: Condition) {
        self.cache = Cache::default();
        self.model.add_edge(service, on, condition);
    }

    /// Make room for more services and dependencies.
    pub fn reserve(&mut self, services: usize, dependencies: usize) {
        let (nodes, edges) = (
            self.model.node_count() + services,
            self.model.edge_count() + dependencies,
        );
        let mut roomy = StableDiGraph::with_capacity(nodes, edges);
        if self.model.node_count() == 0 {
            std::mem::swap(&mut self.model, &mut roomy);
        }
        let (model, hasher) = (&self.model, &self.hasher);
        self.by_name
            .reserve(services, |&node| hasher.hash_one(&*model[node]));
    }

    /// Take a service out, with every dependency from and on it. False: it was not there.
    pub fn remove(&mut self, name: &str) -> bool {
        let hash = self.hasher.hash_one(name);
        let Ok(entry) = self
            .by_name
            .find_entry(hash, |&node| *self.model[node] == *name)
        else {
            return false;
        };
        let (node, _) = entry.remove();
        self.model.remove_node(node);
        self.cache = Cache::default();
        true
    }

    /// Take one dependency out. False: it was not there.
    pub fn disconnect(&mut self, service: &str, on: &str) -> bool {
        let (Ok(service), Ok(on)) = (self.node(service), self.node(on)) else {
            return false;
        };
        let mut found = false;
        while let Some(edge) = self.model.find_edge(service, on) {
            self.model.remove_edge(edge);
            found = true;
        }
        if found {
            self.cache = Cache::default();
        }
        found
    }

    pub(crate) fn node(&self, name: &str) -> Result<NodeIndex, GraphError> {
        let hash = self.hasher.hash_one(name);
        let found = self
            .by_name
            .find(hash, |&node| *self.model[node] == *name)
            .copied();
        found.ok_or_else(|| GraphError::Unknown {
            name: name.to_owned(),
        })
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.model.node_count()
    }

    /// Whether there is no service.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a service of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.node(name).is_ok()
    }

    /// Every service, in the order they were named in.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.model.node_indices().map(|node| &*self.model[node])
    }

    /// Every dependency, by service in the order they were named in.
    pub fn edges(&self) -> Vec<Dependency<'_>> {
        let of = |node| {
            self.distinct(node, Direction::Outgoing)
                .into_iter()
                .map(move |edge| (node, edge))
        };
        let all = self.model.node_indices().flat_map(of);
        all.map(|(service, (on, condition))| Dependency {
            service: &self.model[service],
            on: &self.model[on],
            condition,
        })
        .collect()
    }

    /// What `name` depends on, and under which condition.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn dependencies(&self, name: &str) -> Result<Vec<(&str, Condition)>, GraphError> {
        let found = self.distinct(self.node(name)?, Direction::Outgoing);
        Ok(found
            .into_iter()
            .map(|(node, condition)| (&*self.model[node], condition))
            .collect())
    }

    /// What depends on `name`, and under which condition.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn dependents(&self, name: &str) -> Result<Vec<(&str, Condition)>, GraphError> {
        let found = self.distinct(self.node(name)?, Direction::Incoming);
        Ok(found
            .into_iter()
            .map(|(node, condition)| (&*self.model[node], condition))
            .collect())
    }

    /// A node's neighbours, parallel edges as one with the strictest condition, in order of age.
    fn distinct(&self, node: NodeIndex, direction: Direction) -> Vec<(NodeIndex, Condition)> {
        let mut found: Vec<(NodeIndex, Condition)> = self
            .model
            .edges_directed(node, direction)
            .map(|edge| {
                let other = if direction == Direction::Outgoing {
                    edge.target()
                } else {
                    edge.source()
                };
                (other, *edge.weight())
            })
            .collect();
        found.sort_unstable_by_key(|&(node, condition)| (node, std::cmp::Reverse(condition)));
        found.dedup_by_key(|&mut (node, _)| node);
        found
    }

    /// One more than the largest node number.
    pub(crate) fn bound(&self) -> usize {
        self.model.node_bound()
    }

    pub(crate) fn name(&self, node: u32) -> &str {
        &self.model[NodeIndex::new(node as usize)]
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> {
        self.model.node_indices().map(number)
    }

    /// What each node depends on.
    pub(crate) fn dependency_rows(&self) -> &Csr {
        self.cache.dependencies.get_or_init(|| {
            let edges = self.model.edge_references();
            Csr::new(
                self.bound(),
                edges.map(|edge| (number(edge.source()), number(edge.target()))),
            )
        })
    }

    /// What depends on each node.
    pub(crate) fn dependent_rows(&self) -> &Csr {
        self.cache.dependents.get_or_init(|| {
            let edges = self.model.edge_references();
            Csr::new(
                self.bound(),
                edges.map(|edge| (number(edge.target()), number(edge.source()))),
            )
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the model counts nodes in u32"
)]
pub(crate) fn number(node: NodeIndex) -> u32 {
    node.index() as u32
}
