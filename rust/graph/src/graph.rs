//! The model: services by name, and what each depends on.

use crate::answers::Answers;
use crate::edges::Edges;
use crate::names::Names;
use crate::node::Link;
use crate::rows::Rows;
use crate::{Condition, GraphError, Node};

/// With more holes than this among the numbers, and than services, these are numbered anew.
const HOLES: usize = 1024;

/// How many names, two an edge, are looked up side by side.
const ABREAST: usize = 64;

/// Not many services have more dependencies than this; where all do, room is made for some that never come.
const DEPENDENCIES: usize = 4;

const UNKNOWN: &str = "a number that no service of this graph has";

/// Services and what they depend on.
///
/// Every answer follows from the services and dependencies alone, not from how they came about: where they leave
/// a choice, services stand in the order they were named in. Answers are kept, and a change takes from them
/// what it changed.
#[derive(Debug, Default, Clone)]
pub struct Graph {
    pub(crate) names: Names,
    edges: Edges,
    pub(crate) answers: Answers,
}

/// One dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// Who depends.
    pub service: Node,
    /// On whom.
    pub on: Node,
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
        let edges = edges.into_iter();
        let mut graph = Self::new();
        graph.reserve(edges.size_hint().0);
        let (mut names, mut nodes) = (Vec::with_capacity(ABREAST), Vec::new());
        for (service, on) in edges {
            names.extend([service, on]);
            if names.len() == ABREAST {
                graph.depend_by_name(&names, &mut nodes);
                names.clear();
            }
        }
        graph.depend_by_name(&names, &mut nodes);
        graph
    }

    /// Note the dependencies of each two names; `nodes` is room for their numbers.
    fn depend_by_name(&mut self, names: &[&str], nodes: &mut Vec<Node>) {
        nodes.clear();
        self.add_all(names, nodes);
        self.depend_all(nodes.chunks_exact(2).map(|pair| (pair[0], pair[1])));
    }

    /// Make room for more dependencies, and for the services that so many are mostly between.
    pub fn reserve(&mut self, dependencies: usize) {
        self.edges.reserve(dependencies);
        self.names.reserve(dependencies / DEPENDENCIES);
    }

    /// Add a service, unless it is there.
    #[inline]
    pub fn add(&mut self, name: &str) -> Node {
        let bound = self.bound();
        let node = self.names.intern(name);
        if node.index() == bound {
            self.answers.grow(bound + 1);
        }
        node
    }

    /// Add many services in turn, unless they are there, and append their numbers to `nodes`. Much faster than
    /// one by one.
    pub fn add_all(&mut self, names: &[&str], nodes: &mut Vec<Node>) {
        self.names.intern_all(names, nodes);
        self.answers.grow(self.bound());
    }

    /// Note that `service` depends on `on`; both are added where new.
    pub fn depend(&mut self, service: &str, on: &str, condition: Condition) {
        let (service, on) = (self.add(service), self.add(on));
        self.link(service, on, condition);
    }

    /// Note that `service` depends on `on`.
    ///
    /// # Panics
    /// If a number is not of this graph.
    pub fn link(&mut self, service: Node, on: Node, condition: Condition) {
        assert!(service.max(on).index() < self.bound(), "{UNKNOWN}");
        self.note(service, Link::new(on, condition));
    }

    /// Note many dependencies: of each pair, the first depends on the second.
    ///
    /// # Panics
    /// If a number is not of this graph.
    pub fn depend_all(&mut self, pairs: impl IntoIterator<Item = (Node, Node)>) {
        let bound = self.bound();
        let edges = pairs.into_iter().map(|(service, on)| {
            assert!(service.max(on).index() < bound, "{UNKNOWN}");
            (service, Link::new(on, Condition::default()))
        });
        match self.notes() {
            Some(notes) => notes.extend(edges),
            None => edges.for_each(|(service, link)| self.note(service, link)),
        }
    }

    /// Where edges may still be noted, because no answer would have to follow.
    fn notes(&mut self) -> Option<&mut Vec<(Node, Link)>> {
        let asked = self.answers.sorted.get().is_some();
        self.edges.notes().filter(|_| !asked)
    }

    fn note(&mut self, service: Node, link: Link) {
        if let Some(notes) = self.notes() {
            notes.push((service, link));
            return;
        }
        let live = self.edges.live(self.names.bound());
        if live.link(service, link) {
            self.answers.linked(service, link.node(), live);
        }
    }

    /// Take one dependency out. False: it was not there.
    pub fn disconnect(&mut self, service: &str, on: &str) -> bool {
        let (Some(service), Some(on)) = (self.names.node(service), self.names.node(on)) else {
            return false;
        };
        let live = self.edges.live(self.names.bound());
        let found = live.unlink(service, on);
        if found {
            self.answers.unlinked(&[service], on, live);
        }
        found
    }

    /// Take a service out, with every dependency from and on it. `None`: it was not there.
    ///
    /// [`Graph::bound`] may become less by it: then all services have new numbers, in the same order.
    pub fn remove(&mut self, name: &str) -> Option<Node> {
        let gone = self.names.forget(name)?;
        let live = self.edges.live(self.names.bound());
        let dependents: Vec<Node> = live.isolate(gone).into_iter().map(Link::node).collect();
        self.answers.unlinked(&dependents, gone, live);
        self.answers.removed(gone);
        if self.bound() - self.len() > HOLES.max(self.len()) {
            self.renumber();
        }
        Some(gone)
    }

    /// Number all services anew, without holes. The next question lays them out again.
    fn renumber(&mut self) {
        let mut fresh = Self::new();
        let mut numbers = vec![None; self.bound()];
        for node in self.nodes() {
            numbers[node.index()] = Some(fresh.add(self.name(node)));
        }
        for (service, link) in self.dependency_rows().links(self.bound()) {
            if let (Some(service), Some(on)) =
                (numbers[service.index()], numbers[link.node().index()])
            {
                fresh.note(service, link.towards(on));
            }
        }
        *self = fresh;
    }

    /// The service of a name.
    ///
    /// # Errors
    /// [`GraphError::Unknown`].
    pub fn node(&self, name: &str) -> Result<Node, GraphError> {
        self.names.node(name).ok_or_else(|| GraphError::Unknown {
            name: name.to_owned(),
        })
    }

    /// The service of a number, if there is one.
    pub fn at(&self, index: usize) -> Option<Node> {
        self.names.at(index)
    }

    /// The name of a service.
    pub fn name(&self, node: Node) -> &str {
        self.names.name(node)
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no service.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the largest number of a service.
    pub fn bound(&self) -> usize {
        self.names.bound()
    }

    /// Whether there is a service of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.names.node(name).is_some()
    }

    /// Every service, in the order they were named in.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.names.nodes()
    }

    /// Every dependency, by service in the order they were named in.
    pub fn edges(&self) -> impl Iterator<Item = Dependency> + '_ {
        self.nodes().flat_map(|service| {
            let edge = move |(on, condition)| Dependency {
                service,
                on,
                condition,
            };
            distinct(self.dependency_rows(), service)
                .into_iter()
                .map(edge)
        })
    }

    /// What `node` depends on, in the order they were named in, and under which condition.
    pub fn dependencies(&self, node: Node) -> Vec<(Node, Condition)> {
        distinct(self.dependency_rows(), node)
    }

    /// What depends on `node`, in the order they were named in, and under which condition.
    pub fn dependents(&self, node: Node) -> Vec<(Node, Condition)> {
        distinct(self.dependent_rows(), node)
    }

    /// What each node depends on.
    pub(crate) fn dependency_rows(&self) -> &Rows {
        self.edges.dependencies(self.bound())
    }

    /// What depends on each node.
    pub(crate) fn dependent_rows(&self) -> &Rows {
        self.edges.dependents(self.bound())
    }

    /// The dependencies in the order they were noted in, as long as there is one.
    pub(crate) fn noted(&self) -> Option<&[(Node, Link)]> {
        self.edges.noted()
    }

    /// How many dependencies each node has, parallel ones each.
    pub(crate) fn dependency_counts(&self) -> Vec<u32> {
        self.edges.dependency_counts(self.bound())
    }
}

/// A node's neighbours in the order they were named in, each once, with the strictest condition.
fn distinct(rows: &Rows, node: Node) -> Vec<(Node, Condition)> {
    let mut links = rows.row(node).to_vec();
    links.sort_unstable_by(|a, b| b.cmp(a));
    links.dedup_by_key(|link| link.node());
    links
        .into_iter()
        .rev()
        .map(|link| (link.node(), link.condition()))
        .collect()
}
