//! `backstay.graph`: the binding of `rust/graph`.

use std::sync::Arc;

use backstay_graph::{self as core, Condition};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::errors::Raise;
use crate::shapes::{self, DependsOn, Durations, Names, Pairs};

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
    /// A question takes a reference to the graph as it is, so that no lock is held while Python objects are
    /// made; a change copies the graph only when such a question is still out.
    graph: Mutex<Arc<core::Graph>>,
}

impl Graph {
    fn now(&self) -> Arc<core::Graph> {
        Arc::clone(&self.graph.lock())
    }

    fn change<T>(&self, edit: impl FnOnce(&mut core::Graph) -> T) -> T {
        edit(Arc::make_mut(&mut self.graph.lock()))
    }
}

fn in_order<'py>(py: Python<'py>, names: Vec<&str>, reverse: bool) -> PyResult<Bound<'py, PyList>> {
    if reverse {
        PyList::new(py, names.into_iter().rev())
    } else {
        PyList::new(py, names)
    }
}

#[pymethods]
impl Graph {
    #[new]
    fn new() -> Self {
        Self {
            graph: Mutex::default(),
        }
    }

    /// A graph from pairs of a service and what it depends on.
    #[staticmethod]
    fn from_edges(edges: Pairs<'_>) -> PyResult<Self> {
        let edges = edges.0;
        let mut graph = core::Graph::new();
        graph.reserve(0, edges.len());
        for edge in &edges {
            let edge = edge.cast::<PyTuple>()?;
            if edge.len() != 2 {
                return Err(PyValueError::new_err(
                    "an edge is a pair: a service and what it depends on",
                ));
            }
            let (service, on) = (edge.get_borrowed_item(0)?, edge.get_borrowed_item(1)?);
            let (service, on) = (service.cast::<PyString>()?, on.cast::<PyString>()?);
            graph.depend(service.to_str()?, on.to_str()?, Condition::default());
        }
        Ok(Self {
            graph: Mutex::new(Arc::new(graph)),
        })
    }

    /// Add a service and what it depends on: names, or a mapping of names to conditions
    /// (`service_started`, `service_healthy`, `service_completed_successfully`).
    #[pyo3(signature = (name, depends_on = None))]
    fn add(&self, name: &str, depends_on: Option<DependsOn>) {
        let edges = depends_on.map(|DependsOn(edges)| edges).unwrap_or_default();
        self.change(|graph| {
            graph.add(name);
            for (on, condition) in &edges {
                graph.depend(name, on, *condition);
            }
        });
    }

    /// Note that `service` depends on `on`; both are added where new.
    #[pyo3(signature = (service, on, condition = "service_healthy"))]
    fn depend(&self, service: &str, on: &str, condition: &str) -> PyResult<()> {
        let condition = shapes::condition(condition)?;
        self.change(|graph| graph.depend(service, on, condition));
        Ok(())
    }

    /// Take a service out, with every dependency from and on it. False: it was not there.
    fn remove(&self, name: &str) -> bool {
        self.change(|graph| graph.remove(name))
    }

    /// Take one dependency out. False: it was not there.
    fn disconnect(&self, service: &str, on: &str) -> bool {
        self.change(|graph| graph.disconnect(service, on))
    }

    /// Every service, dependencies first; with `reverse`, the order to stop in.
    ///
    /// Raises:
    ///     CycleError: services depend on one another in a circle; `path` is a shortest such one.
    #[pyo3(signature = (*, reverse = false) -> "list[str]")]
    fn order<'py>(&self, py: Python<'py>, reverse: bool) -> PyResult<Bound<'py, PyList>> {
        let graph = self.now();
        in_order(py, py.detach(|| graph.order()).or_raise()?, reverse)
    }

    /// Every service, in groups that may start together once the groups before them are up; with `reverse`,
    /// in groups that may stop together.
    ///
    /// Raises:
    ///     CycleError: services depend on one another in a circle; `path` is a shortest such one.
    #[pyo3(signature = (*, reverse = false) -> "list[list[str]]")]
    fn levels<'py>(&self, py: Python<'py>, reverse: bool) -> PyResult<Bound<'py, PyList>> {
        let graph = self.now();
        let mut levels = py.detach(|| graph.levels()).or_raise()?;
        if reverse {
            levels.reverse();
        }
        let levels: Vec<_> = levels
            .into_iter()
            .map(|level| in_order(py, level, reverse))
            .collect::<PyResult<_>>()?;
        PyList::new(py, levels)
    }

    /// For every group of services that wait for one another, one circle: a shortest one through the member
    /// that was named first. Each depends on the next, and the last on the first.
    #[pyo3(signature = () -> "list[list[str]]")]
    fn cycles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let graph = self.now();
        let cycles: Vec<_> = py
            .detach(|| graph.cycles())
            .into_iter()
            .map(|names| PyList::new(py, names))
            .collect::<PyResult<_>>()?;
        PyList::new(py, cycles)
    }

    /// Every service that depends on `name`, directly or not, the nearest first.
    ///
    /// Raises:
    ///     UnknownService: there is no such service.
    #[pyo3(signature = (name) -> "list[str]")]
    fn impact<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyList>> {
        let graph = self.now();
        in_order(py, py.detach(|| graph.impact(name)).or_raise()?, false)
    }

    /// Every service that `name` depends on, directly or not, the nearest first.
    ///
    /// Raises:
    ///     UnknownService: there is no such service.
    #[pyo3(signature = (name) -> "list[str]")]
    fn requirements<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyList>> {
        let graph = self.now();
        in_order(
            py,
            py.detach(|| graph.requirements(name)).or_raise()?,
            false,
        )
    }

    /// What `name` depends on, and under which condition.
    #[pyo3(signature = (name) -> "dict[str, str]")]
    fn dependencies<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
        conditions(py, &self.now().dependencies(name).or_raise()?)
    }

    /// What depends on `name`, and under which condition.
    #[pyo3(signature = (name) -> "dict[str, str]")]
    fn dependents<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
        conditions(py, &self.now().dependents(name).or_raise()?)
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
        let graph = self.now();
        let Durations(seconds) = durations;
        let of = |name: &str| seconds.get(name).copied().unwrap_or(0.0);
        let (total, path) = py.detach(|| graph.critical_path(of)).or_raise()?;
        Ok((total, in_order(py, path, false)?))
    }

    /// The dependencies that no other chain of dependencies implies, as pairs of service and dependency.
    ///
    /// Raises:
    ///     CycleError: services depend on one another in a circle.
    #[pyo3(signature = () -> "list[tuple[str, str]]")]
    fn reduction<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let graph = self.now();
        PyList::new(py, py.detach(|| graph.reduction()).or_raise()?)
    }

    /// Every dependency: service, what it depends on, and the condition.
    #[pyo3(signature = () -> "list[tuple[str, str, str]]")]
    fn edges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let graph = self.now();
        let edges = graph.edges();
        PyList::new(
            py,
            edges
                .iter()
                .map(|edge| (edge.service, edge.on, edge.condition.as_str())),
        )
    }

    /// Every service, in the order they were named in.
    #[pyo3(signature = () -> "list[str]")]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let graph = self.now();
        in_order(py, graph.names().collect(), false)
    }

    fn __len__(&self) -> usize {
        self.now().len()
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>()
            .is_ok_and(|name| self.now().contains(name))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Names<'py>> {
        self.names(py)?.try_iter().map(Names)
    }

    fn __repr__(&self) -> String {
        let graph = self.now();
        format!(
            "<Graph of {} services, {} dependencies>",
            graph.len(),
            graph.edges().len()
        )
    }
}

fn conditions<'py>(py: Python<'py>, edges: &[(&str, Condition)]) -> PyResult<Bound<'py, PyDict>> {
    let conditions = PyDict::new(py);
    for (name, condition) in edges {
        conditions.set_item(name, condition.as_str())?;
    }
    Ok(conditions)
}
