//! What the registry answers with: instances, changes, snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstay_registry as core;
use pyo3::prelude::*;

/// One running copy of a service, as the registry knows it. Never changes.
#[pyclass(frozen, eq, module = "backstay.registry")]
#[derive(PartialEq)]
pub(crate) struct Instance(pub(super) Arc<core::Instance>);

#[pymethods]
impl Instance {
    /// The service it is a copy of.
    #[getter]
    fn service(&self) -> &str {
        self.0.service()
    }

    /// Its own name.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// Where it listens, or None.
    #[getter]
    fn address(&self) -> Option<&str> {
        self.0.address()
    }

    /// What it can be found by.
    #[getter]
    fn labels(&self) -> BTreeMap<&str, &str> {
        self.0
            .labels()
            .iter()
            .map(|(key, value)| (&**key, &**value))
            .collect()
    }

    fn __repr__(&self) -> String {
        let address = self
            .0
            .address()
            .map(|at| format!(" at {at}"))
            .unwrap_or_default();
        format!(
            "<Instance {} of {}{address}>",
            self.0.name(),
            self.0.service()
        )
    }
}

/// One change of a registry.
#[pyclass(frozen, module = "backstay.registry")]
pub(crate) struct Change(pub(super) core::Change);

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
            self.0.instance.name(),
            self.0.what.as_str()
        )
    }
}

/// Every instance at one revision. Later changes of the registry do not show.
#[pyclass(frozen, module = "backstay.registry")]
pub(crate) struct Snapshot(pub(super) core::Snapshot);

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
