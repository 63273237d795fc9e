//! `backstay.graph`: the binding of `rust/graph`.

mod ahead;
mod identities;
mod load;
mod state;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use backstay_graph::{Condition, GraphError, Node};
use pyo3::prelude::*;
use pyo3::sync::RwLockExt;
use pyo3::types::{PyDict, PyList, PyString};

use crate::errors::Raise;
use crate::shapes::{self, DependsOn, Durations, Indices, Names, Pairs, Several};
use state::{State, Strings};

/// Services and what they depend on.
///
/// Every answer is in names and deterministic: where the dependencies leave a choice, services stand in the
/// order they were named in. Safe to share between threads.
///
/// >>> graph = Graph.from_edges([("api", "db"), ("db", "disk"), ("web", "api")])
/// >>> graph.order()
/// ['disk', 'db', 'api', 'web']
/// >>> graph.impact("db")
/// ['api', 'web']
#[pyclass(frozen, module = "backstay.graph")]
pub(crate) struct Graph {
    /// Questions are asked side by side, and a change waits for them, both detached. No list, dict or tuple is
    /// made under the lock: that may collect garbage, and a finalizer may come back here.
    state: RwLock<State>,
}

impl Graph {
    fn new_of(state: State) -> Self {
        Self {
            state: RwLock::new(state),
        }
    }

    fn ask(&self, py: Python<'_>) -> RwLockReadGuard<'_, State> {
        let guard = self.state.read_py_attached(py);
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, py: Python<'_>) -> RwLockWriteGuard<'_, State> {
        let guard = self.state.write_py_attached(py);
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    /// The services that `find` finds from the one called `name`.
    fn from(
        &self,
        py: Python<'_>,
        name: &str,
        find: impl Fn(&backstay_graph::Graph, Node) -> Vec<Node> + Sync,
    ) -> Result<Strings, GraphError> {
        let state = self.ask(py);
        let graph = &state.graph;
        let node = graph.node(name)?;
        let found = py.detach(|| find(graph, node));
        Ok(state.in_order(py, found))
    }

    /// The neighbours that `find` finds of the service called `name`.
    fn conditions<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        find: impl Fn(&backstay_graph::Graph, Node) -> Vec<(Node, Condition)> + Sync,
    ) -> PyResult<Bound<'py, PyDict>> {
        let found: Vec<_> = {
            let state = self.ask(py);
            let graph = &state.graph;
            let node = graph.node(name).or_raise()?;
            let found = py.detach(|| find(graph, node));
            let named = |(node, condition)| (state.name(py, node), condition);
            found.into_iter().map(named).collect()
        };
        let conditions = PyDict::new(py);
        for (name, condition) in found {
            conditions.set_item(name, Condition::as_str(condition))?;
        }
        Ok(conditions)
    }
}

#[pymethods]
impl Graph {
    #[new]
    fn new() -> Self {
        Self::new_of(State::default())
    }

    /// A graph from pairs of a service and what it depends on.
    #[staticmethod]
    fn from_edges(edges: Pairs<'_>) -> PyResult<Self> {
        load::load(&edges.0).map(Self::new_of)
    }

    /// A graph from the names of services and a buffer of unsigned 32-bit numbers, as in `array("I")`: of
    /// every two, the first is the place of a service in `names`, the second that of what it depends on.
    #[staticmethod]
    fn from_indices(names: Several<'_>, pairs: Indices) -> PyResult<Self> {
        load::load_indices(&names.0, &pairs.0).map(Self::new_of)
    }

    /// Add a service and what it depends on: names, or a mapping of names to conditions
    /// (`service_started`, `service_healthy`, `service_completed_successfully`).
    #[pyo3(signature = (name, depends_on = None))]
    fn add(&self, name: &Bound<'_, PyString>, depends_on: Option<DependsOn<'_>>) -> PyResult<()> {
        let edges = depends_on.map(|DependsOn(edges)| edges).unwrap_or_default();
        self.change(name.py()).add_with(name, &edges)
    }

    /// Note that `service` depends on `on`; both are added where new.
    #[pyo3(signature = (service, on, condition = "service_healthy"))]
    fn depend(
        &self,
        service: &Bound<'_, PyString>,
        on: &Bound<'_, PyString>,
        condition: &str,
    ) -> PyResult<()> {
        let condition = shapes::condition(condition)?;
        let mut state = self.change(service.py());
        state.depend(service, on, condition)
    }

    /// Take a service out, with every dependency from and on it. False: it was not there.
    fn remove(&self, py: Python<'_>, name: &str) -> bool {
        self.change(py).remove(name)
    }

    /// Take one dependency out. False: it was not there.
    fn disconnect(&self, py: Python<'_>, service: &str, on: &str) -> bool {
        self.change(py).graph.disconnect(service, on)
    }

    /// Every service, dependencies first; with `reverse`, the order to stop in; with `among`, only these.
    ///
    /// Raises:
    ///     CycleError: services depend on one another in a circle; `path` is a shortest such one.
    ///     UnknownService: one of `among` is no service.
    #[pyo3(signature = (*, reverse = false, among = None) -> "list[str]")]
    fn order<'py>(
        &self,
        py: Python<'py>,
        reverse: bool,
        among: Option<Several<'_>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let names = match among {
            Some(Several(among)) => self.ask(py).order_among(py, &among)?,
            None => self.ask(py).order(py).or_raise()?,
        };
        in_order(py, names, reverse)
    }

    /// Every service, in groups that may start together once the groups before them are up; with `reverse`,
    /// in groups that may stop together.
    ///
    /// Raises:
    ///     CycleError: services depend on one another in a circle; `path` is a shortest such one.
    #[pyo3(signature = (*, reverse = false) -> "list[list[str]]")]
    fn levels<'py>(&self, py: Python<'py>, reverse: bool) -> PyResult<Bound<'py, PyList>> {
        let mut levels = self.ask(py).levels(py).or_raise()?;
        if reverse {
            levels.reverse();
        }
        lists(py, levels, reverse)
    }

    /// For every group of services that wait for one another, one circle: a shortest one through the member
    /// that was named first. Each depends on the next, and the last on the first.
    #[pyo3(signature = () -> "list[list[str]]")]
    fn cycles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let cycles = self.ask(py).cycles(py);
        lists(py, cycles, false)
    }

    /// Every service that depends on `name`, directly or not: the nearest first, and equally near ones in the
    /// order they were named in.
    ///
    /// Raises:
    ///     UnknownService: there is no such service.
    #[pyo3(signature = (name) -> "list[str]")]
    fn impact<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyList>> {
        let found = self.from(py, name, backstay_graph::Graph::impact);
        in_order(py, found.or_raise()?, false)
    }

    /// Every service that `name` depends on, directly or not; in the same order.
    ///
    /// Raises:
    ///     UnknownService: there is no such service.
    #[pyo3(signature = (name) -> "list[str]")]
    fn requirements<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyList>> {
        let found = self.from(py, name, backstay_graph::Graph::requirements);
        in_order(py, found.or_raise()?, false)
    }

    /// What `name` depends on, and under which condition.
    #[pyo3(signature = (name) -> "dict[str, str]")]
    fn dependencies<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
        self.conditions(py, name, backstay_graph::Graph::dependencies)
    }

    /// What depends on `name`, and under which condition.
    #[pyo3(signature = (name) -> "dict[str, str]")]
    fn dependents<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
        self.conditions(py, name, backstay_graph::Graph::dependents)
    }

    /// The longest chain of services by the seconds each takes, dependencies first, and its length. Services
    /// that are not in `durations` take no time.
    ///
    /// Raises:
    ///     CycleError: services depend on one another in a circle.
    #[pyo3(signature = (durations) -> "tuple[float, list[str]]")]
    fn critical_path<'py>(
        &self,
        py: Python<'py>,
        durations: Durations,
    ) -> PyResult<(f64, Bound<'py, PyList>)> {
        let (total, path) = self.ask(py).critical_path(py, &durations.0).or_raise()?;
        Ok((total, in_order(py, path, false)?))
    }

    /// The dependencies that no other chain of dependencies implies, as pairs of service and dependency. For
    /// display: of at most 2,000 services.
    ///
    /// Raises:
    ///     CycleError: services depend on one another in a circle.
    ///     ValueError: there are more services.
    #[pyo3(signature = () -> "list[tuple[str, str]]")]
    fn reduction<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let pairs = self.ask(py).reduction(py).or_raise()?;
        PyList::new(py, pairs)
    }

    /// Every dependency: service, what it depends on, and the condition.
    #[pyo3(signature = () -> "list[tuple[str, str, str]]")]
    fn edges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let edges = self.ask(py).edges(py);
        PyList::new(py, edges)
    }

    /// Every service, in the order they were named in.
    #[pyo3(signature = () -> "list[str]")]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let names = {
            let state = self.ask(py);
            state.in_order(py, state.graph.nodes())
        };
        in_order(py, names, false)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.ask(py).graph.len()
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>()
            .is_ok_and(|text| self.ask(name.py()).graph.contains(text))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Names<'py>> {
        self.names(py)?.try_iter().map(Names)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = self.ask(py);
        let (services, dependencies) = (state.graph.len(), state.graph.edges().count());
        format!("<Graph of {services} services, {dependencies} dependencies>")
    }
}

fn in_order(py: Python<'_>, mut names: Strings, reverse: bool) -> PyResult<Bound<'_, PyList>> {
    if reverse {
        names.reverse();
    }
    PyList::new(py, names)
}

fn lists(py: Python<'_>, groups: Vec<Strings>, reverse: bool) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for group in groups {
        list.append(in_order(py, group, reverse)?)?;
    }
    Ok(list)
}
