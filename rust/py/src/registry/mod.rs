//! `backstay.registry`: the binding of `rust/registry`.

mod records;
mod watcher;

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use backstay_registry as core;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::errors::Raise;
use crate::recent::Recent;

pub(crate) use records::{Change, Instance, Snapshot};
pub(crate) use watcher::Watcher;

/// Which instances of which service there are. Safe to share between threads.
///
/// >>> registry = Registry()
/// >>> registry.register("web", "web.1", address="127.0.0.1:30001", labels={"zone": "a"})
/// 1
/// >>> registry.lookup("web")
/// (<Instance web.1 of web at 127.0.0.1:30001>,)
/// >>> registry.with_label("zone", "b")
/// ()
#[pyclass(frozen, module = "backstay.registry")]
pub(crate) struct Registry {
    core: core::Registry,
    /// What was asked for lately, and the objects that were answered with.
    services: Recent<Answer<Arc<core::Instance>>>,
    labels: Recent<Answer<Arc<core::Instance>>>,
    tools: Recent<Answer<Arc<str>>>,
    names: Recent<Py<Instance>>,
}

/// A view, and the tuple made of it.
type Answer<T> = (core::View<T>, Py<PyTuple>);

/// The tuple that answers `asked`: the known one while its view is current, else one made of what `look` finds.
fn answer<'py, T, U: IntoPyObject<'py>>(
    recent: &Recent<Answer<T>>,
    asked: &[Bound<'py, PyString>],
    look: impl FnOnce() -> PyResult<core::View<T>>,
    face: fn(&T) -> U,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = asked[0].py();
    let known = |(view, tuple): &Answer<T>| view.is_current().then(|| tuple.bind(py).clone());
    recent.find(asked, known).or_else(|missing| {
        let view = look()?;
        let tuple = PyTuple::new(py, view.iter().map(face).collect::<Vec<_>>())?;
        if view.is_current() {
            recent.put(&missing, asked, (view, tuple.clone().unbind()));
        }
        Ok(tuple)
    })
}

fn instance(found: &Arc<core::Instance>) -> Instance {
    Instance(Arc::clone(found))
}

#[pymethods]
impl Registry {
    #[new]
    #[pyo3(signature = (*, limit = core::DEFAULT_LIMIT))]
    fn new(limit: usize) -> Self {
        Self {
            core: core::Registry::with_limit(limit),
            services: Recent::default(),
            labels: Recent::default(),
            tools: Recent::default(),
            names: Recent::default(),
        }
    }

    /// Register an instance, or replace what is registered under its name. Returns the revision.
    ///
    /// Raises:
    ///     AlreadyHeld: another service has an instance of this name.
    ///     RegistryFull: there are as many instances as there may be.
    #[pyo3(signature = (service, name, *, address = None, labels = None))]
    fn register(
        &self,
        service: &str,
        name: &str,
        address: Option<&str>,
        labels: Option<HashMap<String, String, RandomState>>,
    ) -> PyResult<u64> {
        let labels = labels.into_iter().flatten();
        let instance = core::Instance::new(service, name, address, labels);
        self.core.register(instance).or_raise()
    }

    /// Take an instance out. False: it was not there.
    fn deregister(&self, name: &str) -> bool {
        self.core.deregister(name).is_some()
    }

    /// Say which tools a service offers; what it offered before is forgotten.
    ///
    /// Raises:
    ///     UnknownService: no instance of it is registered.
    fn set_tools(&self, service: &str, tools: Vec<String>) -> PyResult<()> {
        self.core
            .set_tools(service, tools.iter().map(String::as_str))
            .or_raise()
    }

    /// The instances of a service. The same tuple again until they change.
    #[pyo3(signature = (service) -> "tuple[Instance, ...]")]
    fn lookup<'py>(&self, service: Bound<'py, PyString>) -> PyResult<Bound<'py, PyTuple>> {
        let asked = [service];
        let look = || Ok(self.core.lookup(asked[0].to_str()?));
        answer(&self.services, &asked, look, instance)
    }

    /// The instance of this name, or None.
    fn get<'py>(&self, name: Bound<'py, PyString>) -> PyResult<Option<Bound<'py, Instance>>> {
        let (py, asked) = (name.py(), [name]);
        let known = |found: &Py<Instance>| {
            let current = found.get().0.is_current();
            current.then(|| found.bind(py).clone())
        };
        self.names.find(&asked, known).map(Some).or_else(|missing| {
            let Some(found) = self.core.get(asked[0].to_str()?) else {
                return Ok(None);
            };
            let found = Bound::new(py, Instance(found))?;
            self.names.put(&missing, &asked, found.clone().unbind());
            Ok(Some(found))
        })
    }

    /// The instances that bear this label. The same tuple again until they change.
    #[pyo3(signature = (key, value) -> "tuple[Instance, ...]")]
    fn with_label<'py>(
        &self,
        key: Bound<'py, PyString>,
        value: Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let asked = [key, value];
        let look = || Ok(self.core.with_label(asked[0].to_str()?, asked[1].to_str()?));
        answer(&self.labels, &asked, look, instance)
    }

    /// The services that offer a tool of this name, in the order they said so. The same tuple again until
    /// they change.
    #[pyo3(signature = (tool) -> "tuple[str, ...]")]
    fn with_tool<'py>(&self, tool: Bound<'py, PyString>) -> PyResult<Bound<'py, PyTuple>> {
        let asked = [tool];
        let look = || Ok(self.core.with_tool(asked[0].to_str()?));
        answer(&self.tools, &asked, look, ToString::to_string)
    }

    /// The names of all services, sorted.
    #[pyo3(signature = () -> "list[str]")]
    fn services<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.core.services().iter().map(|name| &**name))
    }

    /// Everything as it is now. Costs the same however many instances there are.
    fn snapshot(&self) -> Snapshot {
        Snapshot(self.core.snapshot())
    }

    /// Hear every change from now on, of one service or of all. At most `queue` changes wait.
    #[pyo3(signature = (service = None, *, queue = core::DEFAULT_QUEUE))]
    fn watch(&self, service: Option<&str>, queue: usize) -> Watcher {
        Watcher::new(self.core.watch(service, queue))
    }

    /// A snapshot, and a watcher of every change after it: nothing is lost between the two.
    #[pyo3(signature = (service = None, *, queue = core::DEFAULT_QUEUE))]
    fn snapshot_and_watch(&self, service: Option<&str>, queue: usize) -> (Snapshot, Watcher) {
        let (snapshot, watcher) = self.core.snapshot_and_watch(service, queue);
        (Snapshot(snapshot), Watcher::new(watcher))
    }

    fn __len__(&self) -> usize {
        self.core.len()
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>()
            .is_ok_and(|name| self.core.get(name).is_some())
    }

    fn __repr__(&self) -> String {
        format!("<Registry of {} instances>", self.core.len())
    }
}
