//! Counters: what only goes up.

use backstay_telemetry as core;
use pyo3::prelude::*;

use super::helper::Helper;
use super::labelled::{Face, labelled};
use super::metric::{Definition, Metric};
use super::registry::MetricRegistry;
use crate::errors::Raise;

/// Adds up events of one kind.
///
/// >>> series = Registry()
/// >>> calls = Counter("calls_total", "Calls", ["tool"], registry=series)
/// >>> calls.labels("echo").inc()
/// >>> calls.labels(tool="echo").value
/// 1.0
#[pyclass(frozen, module = "backstay.metrics")]
pub(crate) struct Counter(Metric<core::Counter, Self>);

#[pymethods]
impl Counter {
    #[new]
    #[pyo3(signature = (name, documentation, labelnames = Vec::new(), namespace = "", subsystem = "", unit = "", registry = None, *, cap = core::DEFAULT_SERIES_CAP))]
    #[expect(clippy::too_many_arguments, reason = "the interface that users know")]
    fn new(
        py: Python<'_>,
        name: &str,
        documentation: &str,
        labelnames: Vec<String>,
        namespace: &str,
        subsystem: &str,
        unit: &str,
        registry: Option<&Bound<'_, MetricRegistry>>,
        cap: usize,
    ) -> PyResult<Self> {
        let name = name.strip_suffix("_total").unwrap_or(name);
        let names = [name, namespace, subsystem, unit];
        Definition::new(py, names, documentation, labelnames, registry, cap)?
            .register(core::Registry::counter_with)
            .map(Self)
    }

    /// Add `amount`, which is not negative.
    #[pyo3(signature = (amount = 1.0))]
    fn inc(&self, amount: f64) -> PyResult<()> {
        let series = self.0.series()?;
        if amount.is_nan() || amount < 0.0 {
            let (name, amount) = (self.0.name().to_owned(), amount.to_string());
            return Err(core::MetricError::Decrease { name, amount }).or_raise();
        }
        series.add(amount);
        Ok(())
    }

    /// The sum so far.
    #[getter]
    fn value(&self) -> PyResult<f64> {
        Ok(self.0.series()?.value())
    }

    /// Count the exceptions that leave a block or a function.
    fn count_exceptions<'py>(slf: &Bound<'py, Self>) -> PyResult<Helper<'py>> {
        Helper::new(slf.py(), "ExceptionCounter", slf)
    }
}

impl Face for Counter {
    type Series = core::Counter;

    fn metric(&self) -> &Metric<core::Counter, Self> {
        &self.0
    }

    fn child(&self, metric: Metric<core::Counter, Self>) -> Self {
        Self(metric)
    }
}

labelled!(Counter, core::Counter::value);
