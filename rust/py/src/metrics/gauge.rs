//! Gauges: what goes both ways.

use backstay_telemetry as core;
use pyo3::prelude::*;

use super::helper::Helper;
use super::labelled::{Face, labelled};
use super::metric::{Definition, Metric};
use super::registry::MetricRegistry;

/// A value that goes up and down.
///
/// >>> load = Gauge("load", "Load", registry=Registry())
/// >>> load.set(3)
/// >>> load.dec()
/// >>> load.value
/// 2.0
#[pyclass(frozen, module = "backstay.metrics")]
pub(crate) struct Gauge {
    metric: Metric<core::Gauge, Self>,
    registry: core::Registry,
}

#[pymethods]
impl Gauge {
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
        let names = [name, namespace, subsystem, unit];
        let made = Definition::new(py, names, documentation, labelnames, registry, cap)?;
        Ok(Self {
            metric: made.register(core::Registry::gauge_with)?,
            registry: made.registry().clone(),
        })
    }

    /// Add `amount`.
    #[pyo3(signature = (amount = 1.0))]
    fn inc(&self, amount: f64) -> PyResult<()> {
        self.metric.series()?.add(amount);
        Ok(())
    }

    /// Take `amount` away.
    #[pyo3(signature = (amount = 1.0))]
    fn dec(&self, amount: f64) -> PyResult<()> {
        self.metric.series()?.add(-amount);
        Ok(())
    }

    /// Replace the value.
    fn set(&self, value: f64) -> PyResult<()> {
        self.metric.series()?.set(value);
        Ok(())
    }

    /// Set it to the time now, in seconds since 1970.
    fn set_to_current_time(&self) -> PyResult<()> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.set(now.map_or(0.0, |since| since.as_secs_f64()))
    }

    /// Have `function` called for the value before each exposition. What it raises is reported as unraisable.
    #[pyo3(signature = (function: "object"))]
    fn set_function(&self, function: Py<PyAny>) -> PyResult<()> {
        let gauge = self.metric.series()?.clone();
        self.registry.before_render(move || {
            Python::attach(
                |py| match function.call0(py).and_then(|value| value.extract(py)) {
                    Ok(value) => gauge.set(value),
                    Err(error) => error.write_unraisable(py, Some(function.bind(py))),
                },
            );
        });
        Ok(())
    }

    /// The value now.
    #[getter]
    fn value(&self) -> PyResult<f64> {
        Ok(self.metric.series()?.value())
    }

    /// Count how often a block or a function is being run.
    fn track_inprogress<'py>(slf: &Bound<'py, Self>) -> PyResult<Helper<'py>> {
        Helper::new(slf.py(), "InProgress", slf)
    }

    /// Set it to how long a block or a function took, in seconds.
    fn time<'py>(slf: &Bound<'py, Self>) -> PyResult<Helper<'py>> {
        Helper::new(slf.py(), "Timer", slf.getattr("set")?)
    }
}

impl Face for Gauge {
    type Series = core::Gauge;

    fn metric(&self) -> &Metric<core::Gauge, Self> {
        &self.metric
    }

    fn child(&self, metric: Metric<core::Gauge, Self>) -> Self {
        let registry = self.registry.clone();
        Self { metric, registry }
    }
}

labelled!(Gauge, core::Gauge::value);
