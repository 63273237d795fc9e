//! A graph, and the `str` of each service: answers hand out the very objects that came in.

use std::collections::HashMap;

use ahash::RandomState;
use backstay_graph::{self as core, Condition, Dependency, GraphError, Node};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors::Raise;

/// Names, still to be put into a list.
pub(super) type Strings = Vec<Py<PyString>>;
type Pair = (Py<PyString>, Py<PyString>);
type Edge = (Py<PyString>, Py<PyString>, &'static str);
type Seconds = HashMap<String, f64, RandomState>;

/// A graph with its names as Python objects.
#[derive(Default)]
pub(super) struct State {
    pub(super) graph: core::Graph,
    /// By number; `None` where a service was taken out. A `str` and no subclass: these have no reference of
    /// their own, so that no circle of references can lead through here.
    names: Vec<Option<Py<PyString>>>,
}

impl State {
    pub(super) fn add(&mut self, name: &Bound<'_, PyString>) -> PyResult<Node> {
        let text = name.to_str()?;
        let node = self.graph.add(text);
        if self.is_next(node) {
            self.keep(name.as_borrowed(), text);
        }
        Ok(node)
    }

    pub(super) fn add_with(
        &mut self,
        name: &Bound<'_, PyString>,
        depends_on: &[(Bound<'_, PyString>, Condition)],
    ) -> PyResult<()> {
        for (on, _) in depends_on {
            on.to_str()?;
        }
        self.add(name)?;
        for (on, condition) in depends_on {
            self.depend(name, on, *condition)?;
        }
        Ok(())
    }

    pub(super) fn depend(
        &mut self,
        service: &Bound<'_, PyString>,
        on: &Bound<'_, PyString>,
        condition: Condition,
    ) -> PyResult<()> {
        // Both texts first: a name that is no text leaves nothing behind.
        on.to_str()?;
        let (service, on) = (self.add(service)?, self.add(on)?);
        self.graph.link(service, on, condition);
        Ok(())
    }

    /// Whether this is the first service whose object is not kept.
    #[inline]
    pub(super) fn is_next(&self, node: Node) -> bool {
        node.index() == self.names.len()
    }

    /// Hold on to the object of the next service.
    pub(super) fn keep(&mut self, name: Borrowed<'_, '_, PyString>, text: &str) {
        let own = match name.cast_exact::<PyString>() {
            Ok(name) => name.to_owned(),
            Err(_) => PyString::new(name.py(), text),
        };
        self.names.push(Some(own.unbind()));
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(gone) = self.graph.remove(name) else {
            return false;
        };
        self.names[gone.index()] = None;
        if self.graph.bound() < self.names.len() {
            // The graph closed the holes among its numbers.
            self.names.retain(Option::is_some);
        }
        true
    }

    pub(super) fn name(&self, py: Python<'_>, node: Node) -> Py<PyString> {
        match self.names.get(node.index()) {
            Some(Some(name)) => name.clone_ref(py),
            _ => PyString::new(py, self.graph.name(node)).unbind(),
        }
    }

    /// Each service's name.
    pub(super) fn in_order(
        &self,
        py: Python<'_>,
        nodes: impl IntoIterator<Item = Node>,
    ) -> Strings {
        let nodes = nodes.into_iter();
        nodes.map(|node| self.name(py, node)).collect()
    }

    pub(super) fn order(&self, py: Python<'_>) -> Result<Strings, GraphError> {
        let order = py.detach(|| self.graph.order())?;
        Ok(self.in_order(py, order.iter().copied()))
    }

    pub(super) fn order_among(
        &self,
        py: Python<'_>,
        among: &[Bound<'_, PyString>],
    ) -> PyResult<Strings> {
        let mut nodes = Vec::with_capacity(among.len());
        for name in among {
            nodes.push(self.graph.node(name.to_str()?).or_raise()?);
        }
        let order = py.detach(|| self.graph.order_among(nodes)).or_raise()?;
        Ok(self.in_order(py, order))
    }

    pub(super) fn levels(&self, py: Python<'_>) -> Result<Vec<Strings>, GraphError> {
        let levels = py.detach(|| self.graph.levels())?;
        let named = |level: &[Node]| self.in_order(py, level.iter().copied());
        Ok(levels.map(named).collect())
    }

    pub(super) fn cycles(&self, py: Python<'_>) -> Vec<Strings> {
        let cycles = py.detach(|| self.graph.cycles());
        let named = |cycle: &Vec<Node>| self.in_order(py, cycle.iter().copied());
        cycles.iter().map(named).collect()
    }

    pub(super) fn critical_path(
        &self,
        py: Python<'_>,
        durations: &Seconds,
    ) -> Result<(f64, Strings), GraphError> {
        let mut seconds = vec![0.0; self.graph.bound()];
        for (name, &own) in durations {
            if let Ok(node) = self.graph.node(name) {
                seconds[node.index()] = own;
            }
        }
        let of = |node: Node| seconds[node.index()];
        let (total, path) = py.detach(|| self.graph.critical_path(of))?;
        Ok((total, self.in_order(py, path)))
    }

    pub(super) fn reduction(&self, py: Python<'_>) -> Result<Vec<Pair>, GraphError> {
        let pairs = py.detach(|| self.graph.reduction())?;
        let named = |(service, on)| (self.name(py, service), self.name(py, on));
        Ok(pairs.into_iter().map(named).collect())
    }

    pub(super) fn edges(&self, py: Python<'_>) -> Vec<Edge> {
        let edges: Vec<_> = py.detach(|| self.graph.edges().collect());
        let named = |edge: Dependency| {
            let (service, on) = (self.name(py, edge.service), self.name(py, edge.on));
            (service, on, edge.condition.as_str())
        };
        edges.into_iter().map(named).collect()
    }
}
