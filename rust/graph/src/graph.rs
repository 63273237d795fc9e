//! The model: services by name, and what each depends on.

use std::sync::OnceLock;

use crate::csr::Csr;
use crate::names::Names;
use crate::order::Sorted;
use crate::{Condition, GraphError};

/// Services and what they depend on.
///
/// Answers are kept until the graph changes. Every answer is deterministic: where the dependencies leave a
/// choice, services stand in the order they were named in.
#[derive(Debug, Default, Clone)]
pub struct Graph {
    pub(crate) names: Names,
    /// From a service to what it depends on, in the order they were noted. They may stand twice: the strictest
    /// condition counts.
    edges: Vec<(u32, u32)>,
    /// The condition of each edge.
    conditions: Vec<Condition>,
    pub(crate) cache: Cache,
}

/// What was worked out since the last change.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    dependencies: OnceLock<Csr>,
    dependents: OnceLock<Csr>,
    /// Rows of edges instead of neighbours, for who wants their conditions.
    dependency_edges: OnceLock<Csr>,
    dependent_edges: OnceLock<Csr>,
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

/// Which end of an edge a question is about.
#[derive(Clone, Copy)]
enum Side {
    Dependencies,
    Dependents,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A graph from pairs of a service and what it depends on.
    pub fn from_edges<'a>(edges: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut graph = Self::new();
        let edges = edges.into_iter();
        graph.reserve(0, edges.size_hint().0);
        graph.extend(edges);
        graph
    }

    /// Add a service, unless it is there.
    pub fn add(&mut self, name: &str) {
        let before = self.names.bound();
        self.names.intern(name);
        if self.names.bound() > before {
            self.cache = Cache::default();
        }
    }

    /// Note that `service` depends on `on`; both are added where new.
    pub fn depend(&mut self, service: &str, on: &str, condition: Condition) {
        let edge = (self.names.intern(service), self.names.intern(on));
        self.edges.push(edge);
        self.conditions.push(condition);
        self.cache = Cache::default();
    }

    /// Take over many dependencies at once.
    pub fn extend<'a>(&mut self, edges: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (service, on) in edges {
            self.edges
                .push((self.names.intern(service), self.names.intern(on)));
        }
        self.conditions
            .resize(self.edges.len(), Condition::default());
        self.cache = Cache::default();
    }

    /// Make room for more services and dependencies.
    pub fn reserve(&mut self, services: usize, dependencies: usize) {
        self.names.reserve(services);
        self.edges.reserve(dependencies);
        self.conditions.reserve(dependencies);
    }

    /// Take a service out, with every dependency from and on it. False: it was not there.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(gone) = self.names.forget(name) else {
            return false;
        };
        self.retain(|(service, on)| service != gone && on != gone);
        self.cache = Cache::default();
        true
    }

    /// Take one dependency out. False: it was not there.
    pub fn disconnect(&mut self, service: &str, on: &str) -> bool {
        let (Some(service), Some(on)) = (self.names.number(service), self.names.number(on)) else {
            return false;
        };
        let found = self.retain(|edge| edge != (service, on));
        if found {
            self.cache = Cache::default();
        }
        found
    }

    /// Keep the edges that `keep` says; true if one went.
    fn retain(&mut self, keep: impl Fn((u32, u32)) -> bool) -> bool {
        let before = self.edges.len();
        let mut kept = self.edges.iter().map(|&edge| keep(edge));
        self.conditions.retain(|_| kept.next().unwrap_or(true));
        self.edges.retain(|&edge| keep(edge));
        self.edges.len() < before
    }

    pub(crate) fn node(&self, name: &str) -> Result<u32, GraphError> {
        self.names.number(name).ok_or_else(|| GraphError::Unknown {
            name: name.to_owned(),
        })
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no service.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a service of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.names.number(name).is_some()
    }

    /// Every service, in the order they were named in.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.numbers().map(|node| self.names.name(node))
    }

    /// Every dependency, by service in the order they were named in.
    pub fn edges(&self) -> Vec<Dependency<'_>> {
        let of = |node| {
            self.distinct(node, Side::Dependencies)
                .into_iter()
                .map(move |edge| (node, edge))
        };
        self.names
            .numbers()
            .flat_map(of)
            .map(|(service, (on, condition))| Dependency {
                service: self.name(service),
                on: self.name(on),
                condition,
            })
            .collect()
    }

    /// What `name` depends on, and under which condition.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn dependencies(&self, name: &str) -> Result<Vec<(&str, Condition)>, GraphError> {
        Ok(self.named(self.distinct(self.node(name)?, Side::Dependencies)))
    }

    /// What depends on `name`, and under which condition.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn dependents(&self, name: &str) -> Result<Vec<(&str, Condition)>, GraphError> {
        Ok(self.named(self.distinct(self.node(name)?, Side::Dependents)))
    }

    fn named(&self, found: Vec<(u32, Condition)>) -> Vec<(&str, Condition)> {
        found
            .into_iter()
            .map(|(node, condition)| (self.name(node), condition))
            .collect()
    }

    /// A node's neighbours in the order they were named in, each once, with the strictest condition.
    fn distinct(&self, node: u32, side: Side) -> Vec<(u32, Condition)> {
        let numbered = || (0u32..).zip(&self.edges);
        let rows = match side {
            Side::Dependencies => self.cache.dependency_edges.get_or_init(|| {
                Csr::new(
                    self.bound(),
                    numbered().map(|(edge, &(service, _))| (service, edge)),
                )
            }),
            Side::Dependents => self.cache.dependent_edges.get_or_init(|| {
                Csr::new(self.bound(), numbered().map(|(edge, &(_, on))| (on, edge)))
            }),
        };
        let far_end = |&edge: &u32| {
            let (service, on) = self.edges[edge as usize];
            let other = if matches!(side, Side::Dependencies) {
                on
            } else {
                service
            };
            (other, self.conditions[edge as usize])
        };
        let mut found: Vec<(u32, Condition)> = rows.row(node).iter().map(far_end).collect();
        found.sort_unstable_by_key(|&(node, condition)| (node, std::cmp::Reverse(condition)));
        found.dedup_by_key(|&mut (node, _)| node);
        found
    }

    /// One more than the largest node number.
    pub(crate) fn bound(&self) -> usize {
        self.names.bound()
    }

    pub(crate) fn name(&self, node: u32) -> &str {
        self.names.name(node)
    }

    /// What each node depends on.
    pub(crate) fn dependency_rows(&self) -> &Csr {
        self.cache
            .dependencies
            .get_or_init(|| Csr::new(self.bound(), self.edges.iter().copied()))
    }

    /// What depends on each node.
    pub(crate) fn dependent_rows(&self) -> &Csr {
        let turned = self.edges.iter().map(|&(service, on)| (on, service));
        self.cache
            .dependents
            .get_or_init(|| Csr::new(self.bound(), turned))
    }

    /// How many dependencies each node has, parallel ones each.
    pub(crate) fn dependency_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.bound()];
        for &(service, _) in &self.edges {
            counts[service as usize] += 1;
        }
        counts
    }
}
