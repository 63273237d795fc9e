//! The registry: every family of a program, and the exposition of them all.

use backstay_telemetry as core;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// One family as plain values: name, help, kind, label names, and each sample's suffix, label values, `le`
/// and value.
type Family = (String, String, &'static str, Vec<String>, Vec<Sample>);
type Sample = (&'static str, Vec<String>, Option<String>, f64);

/// The metric families of a program, kept in Rust.
#[pyclass(frozen, subclass, module = "backstay._core")]
pub(crate) struct MetricRegistry {
    pub(super) core: core::Registry,
    /// By family: the children that `labels` made, by their values.
    pub(super) children: Py<PyDict>,
}

#[pymethods]
impl MetricRegistry {
    #[new]
    fn new(py: Python<'_>) -> Self {
        Self {
            core: core::Registry::new(),
            children: PyDict::new(py).unbind(),
        }
    }

    /// The exposition of every family: Prometheus' text format, or OpenMetrics.
    #[pyo3(signature = (*, openmetrics = false))]
    fn render<'py>(&self, py: Python<'py>, openmetrics: bool) -> PyResult<Bound<'py, PyBytes>> {
        let format = if openmetrics {
            core::Format::OpenMetrics
        } else {
            core::Format::Text
        };
        let exposition = py.detach(|| self.core.exposition(format));
        PyBytes::new_with(py, exposition.len(), |mut room| {
            for part in exposition.parts() {
                let (here, rest) = room.split_at_mut(part.len());
                here.copy_from_slice(part);
                room = rest;
            }
            Ok(())
        })
    }

    /// Every family as plain values: name, help, kind, label names, and each sample's suffix, label values,
    /// `le` and value.
    fn families(&self, py: Python<'_>) -> Vec<Family> {
        let plain = |family: core::FamilySamples| {
            let samples = family.samples.into_iter();
            let samples =
                samples.map(|sample| (sample.suffix, sample.labels, sample.le, sample.value));
            let kind = family.kind.as_str();
            (
                family.name,
                family.help,
                kind,
                family.label_names,
                samples.collect(),
            )
        };
        py.detach(|| self.core.collect().map(plain).collect())
    }

    /// Forget series that nobody holds and that did not change through `keep_for` calls of this. Returns how
    /// many went.
    fn sweep(&self, py: Python<'_>, keep_for: u32) -> PyResult<usize> {
        // What only we hold, nobody holds.
        for children in self.children.bind(py).values() {
            children.cast::<PyDict>()?.clear();
        }
        Ok(self.core.sweep(keep_for))
    }

    /// Forget a family. False: there was none of this name.
    fn unregister(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        let children = self.children.bind(py);
        let name = name.strip_suffix("_total").unwrap_or(name);
        if children.contains(name)? {
            children.del_item(name)?;
        }
        Ok(self.core.unregister(name))
    }
}
