//! `backstay.registry`: the binding of `rust/registry`.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ahash::RandomState;
use backstay_registry as core;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use rustix::event::{EventfdFlags, eventfd};

use crate::errors::Raise;

/// One running copy of a service, as the registry knows it. Never changes.
#[pyclass(frozen, eq, module = "backstay.registry")]
#[derive(PartialEq)]
pub(crate) struct Instance(Arc<core::Instance>);

#[pymethods]
impl Instance {
    /// The service it is a copy of.
    #[getter]
    fn service(&self) -> &str {
        &self.0.service
    }

    /// Its own name.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it listens, or None.
    #[getter]
    fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// What it can be found by.
    #[getter]
    fn labels(&self) -> BTreeMap<&str, &str> {
        self.0
            .labels
            .iter()
            .map(|(key, value)| (&**key, &**value))
            .collect()
    }

    fn __repr__(&self) -> String {
        let address = self
            .0
            .address
            .as_deref()
            .map(|at| format!(" at {at}"))
            .unwrap_or_default();
        format!("<Instance {} of {}{address}>", self.0.name, self.0.service)
    }
}

fn instances(all: &[Arc<core::Instance>]) -> Vec<Instance> {
    all.iter().cloned().map(Instance).collect()
}

/// One change of a registry.
#[pyclass(frozen, module = "backstay.registry")]
pub(crate) struct Change(core::Change);

#[pymethods]
impl Change {
    /// Counts changes from 1, without gaps.
    #[getter]
    fn revision(&self) -> u64 {
        self.0.revision
    }

    /// `registered`, `replaced` or `deregistered`.
    #[getter]
    fn what(&self) -> &'static str {
        self.0.what.as_str()
    }

    /// The instance: as it is now, or as it was last.
    #[getter]
    fn instance(&self) -> Instance {
        Instance(Arc::clone(&self.0.instance))
    }

    fn __repr__(&self) -> String {
        format!(
            "<Change {}: {} {}>",
            self.0.revision,
            self.0.instance.name,
            self.0.what.as_str()
        )
    }
}

/// Every instance at one revision. Later changes of the registry do not show.
#[pyclass(frozen, module = "backstay.registry")]
pub(crate) struct Snapshot(core::Snapshot);

#[pymethods]
impl Snapshot {
    /// The last change that it shows.
    #[getter]
    fn revision(&self) -> u64 {
        self.0.revision()
    }

    /// The instance of this name, or None.
    fn get(&self, name: &str) -> Option<Instance> {
        self.0.get(name).cloned().map(Instance)
    }

    /// Every instance, in no order that means anything.
    fn instances(&self) -> Vec<Instance> {
        self.0.iter().cloned().map(Instance).collect()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>()
            .is_ok_and(|name| self.0.get(name).is_some())
    }

    fn __repr__(&self) -> String {
        format!(
            "<Snapshot of {} instances at revision {}>",
            self.0.len(),
            self.0.revision()
        )
    }
}

/// Hears every change of a registry, in order, through a bounded queue.
#[pyclass(frozen, module = "backstay.registry")]
pub(crate) struct Watcher {
    watcher: core::Watcher,
    /// Readable while changes wait; made when first asked for.
    event: OnceLock<Arc<OwnedFd>>,
}

impl Watcher {
    fn new(watcher: core::Watcher) -> Self {
        Self {
            watcher,
            event: OnceLock::new(),
        }
    }

    fn settle(&self) {
        let Some(event) = self.event.get() else {
            return;
        };
        let _ = rustix::io::read(event.as_fd(), &mut [0; 8]);
        if !self.watcher.is_empty() {
            ring(event);
        }
    }
}

fn ring(event: &OwnedFd) {
    // Fails only when the counter is full: then it is readable already.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

fn change(next: Option<Result<core::Change, core::Lagged>>) -> PyResult<Option<Change>> {
    next.transpose().or_raise().map(|change| change.map(Change))
}

#[pymethods]
impl Watcher {
    /// The next change, or None when there is none within `timeout` seconds; at once without one.
    ///
    /// Raises:
    ///     WatchLagged: changes were dropped because the queue was full: take a new snapshot.
    #[pyo3(signature = (timeout = None))]
    fn get(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Change>> {
        let Some(timeout) = timeout.filter(|&seconds| seconds != 0.0) else {
            let next = self.watcher.try_next();
            self.settle();
            return change(next);
        };
        let timeout = Duration::try_from_secs_f64(timeout);
        let mut timeout = timeout.map_err(|error| PyValueError::new_err(error.to_string()))?;
        loop {
            // In short waits, so that Ctrl-C is heard.
            let wait = timeout.min(Duration::from_millis(200));
            let next = py.detach(|| self.watcher.next(wait));
            timeout -= wait;
            if next.is_some() || timeout.is_zero() {
                self.settle();
                return change(next);
            }
            py.check_signals()?;
        }
    }

    /// A file descriptor that is readable while changes wait.
    fn fileno(&self) -> PyResult<i32> {
        if self.event.get().is_none() {
            let event = Arc::new(
                eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                    .map_err(std::io::Error::from)?,
            );
            let bell = Arc::clone(self.event.get_or_init(|| event));
            self.watcher.on_change(move || ring(&bell));
            self.settle();
        }
        let event = self
            .event
            .get()
            .ok_or_else(|| PyValueError::new_err("no event"))?;
        Ok(event.as_raw_fd())
    }

    /// How many changes wait.
    fn __len__(&self) -> usize {
        self.watcher.len()
    }

    fn __repr__(&self) -> String {
        format!("<Watcher, {} changes wait>", self.watcher.len())
    }
}

/// Which instances of which service there are. Safe to share between threads.
///
/// >>> registry = Registry()
/// >>> registry.register("web", "web.1", address="127.0.0.1:30001", labels={"zone": "a"})
/// 1
/// >>> registry.lookup("web")
/// [<Instance web.1 of web at 127.0.0.1:30001>]
/// >>> registry.with_label("zone", "b")
/// []
#[pyclass(frozen, module = "backstay.registry")]
pub(crate) struct Registry(core::Registry);

#[pymethods]
impl Registry {
    #[new]
    fn new() -> Self {
        Self(core::Registry::new())
    }

    /// Register an instance, or replace what is registered under its name. Returns the revision.
    ///
    /// Raises:
    ///     AlreadyHeld: another service has an instance of this name.
    #[pyo3(signature = (service, name, *, address = None, labels = None))]
    fn register(
        &self,
        service: &str,
        name: &str,
        address: Option<&str>,
        labels: Option<HashMap<String, String, RandomState>>,
    ) -> PyResult<u64> {
        let labels = labels
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let address = address.map(Into::into);
        let instance = core::Instance {
            service: service.into(),
            name: name.into(),
            address,
            labels,
        };
        self.0.register(instance).or_raise()
    }

    /// Take an instance out. False: it was not there.
    fn deregister(&self, name: &str) -> bool {
        self.0.deregister(name).is_some()
    }

    /// Say which tools a service offers; what it offered before is forgotten.
    ///
    /// Raises:
    ///     UnknownService: no instance of it is registered.
    fn set_tools(&self, service: &str, tools: Vec<String>) -> PyResult<()> {
        self.0
            .set_tools(service, tools.iter().map(String::as_str))
            .or_raise()
    }

    /// The instances of a service.
    fn lookup(&self, service: &str) -> Vec<Instance> {
        instances(&self.0.lookup(service))
    }

    /// The instance of this name, or None.
    fn get(&self, name: &str) -> Option<Instance> {
        self.0.get(name).map(Instance)
    }

    /// The instances that bear this label.
    fn with_label(&self, key: &str, value: &str) -> Vec<Instance> {
        instances(&self.0.with_label(key, value))
    }

    /// The services that offer a tool of this name.
    #[pyo3(signature = (tool) -> "list[str]")]
    fn with_tool<'py>(&self, py: Python<'py>, tool: &str) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.with_tool(tool).iter().map(|name| &**name))
    }

    /// The names of all services, sorted.
    #[pyo3(signature = () -> "list[str]")]
    fn services<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.services().iter().map(|name| &**name))
    }

    /// Everything as it is now. Costs the same however many instances there are.
    fn snapshot(&self) -> Snapshot {
        Snapshot(self.0.snapshot())
    }

    /// Hear every change from now on, of one service or of all. At most `queue` changes wait.
    #[pyo3(signature = (service = None, *, queue = core::DEFAULT_QUEUE))]
    fn watch(&self, service: Option<&str>, queue: usize) -> Watcher {
        Watcher::new(self.0.watch(service, queue))
    }

    /// A snapshot, and a watcher of every change after it: nothing is lost between the two.
    #[pyo3(signature = (service = None, *, queue = core::DEFAULT_QUEUE))]
    fn snapshot_and_watch(&self, service: Option<&str>, queue: usize) -> (Snapshot, Watcher) {
        let (snapshot, watcher) = self.0.snapshot_and_watch(service, queue);
        (Snapshot(snapshot), Watcher::new(watcher))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>()
            .is_ok_and(|name| self.0.get(name).is_some())
    }

    fn __repr__(&self) -> String {
        format!("<Registry of {} instances>", self.0.len())
    }
}
