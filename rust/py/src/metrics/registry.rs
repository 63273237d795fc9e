//! The registry: every family of a program, and the exposition of them all.

use backstay_telemetry as core;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::children::Holders;

/// One family as plain values: name, help, kind, label names, and each sample's suffix, label values, `le`
/// and value.
type Family = (String, String, &'static str, Vec<String>, Vec<Sample>);
type Sample = (&'static str, Vec<String>, Option<String>, f64);

/// The metric families of a program, kept in Rust.
#[pyclass(frozen, subclass, module = "backstay._core")]
pub(crate) struct MetricRegistry {
    pub(super) core: core::Registry,
    pub(super) holders: Holders,
}

#[pymethods]
impl MetricRegistry {
    #[new]
    fn new() -> Self {
        Self {
            core: core::Registry::new(),
            holders: Holders::default(),
        }
    }

    /// The exposition of every family: Prometheus' text format, or OpenMetrics.
    #[pyo3(signature = (*, openmetrics = false))]
    fn render<'py>(&self, py: Python<'py>, openmetrics: bool) -> Bound<'py, PyBytes> {
        let format = if openmetrics {
            core::Format::OpenMetrics
        } else {
            core::Format::Text
        };
        let exposition = py.detach(|| self.core.exposition(format));
        // One copy, where it lies in one piece; room that is zeroed first would be written twice.
        match exposition.whole() {
            Some(bytes) => PyBytes::new(py, bytes),
            None => PyBytes::new(py, &exposition.parts().collect::<Vec<_>>().concat()),
        }
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
    fn sweep(&self, py: Python<'_>, keep_for: u32) -> usize {
        self.holders.let_go(py);
        py.detach(|| self.core.sweep(keep_for))
    }

    /// Forget a family. False: there was none of this name.
    fn unregister(&self, name: &str) -> bool {
        self.core.unregister(name)
    }
}
