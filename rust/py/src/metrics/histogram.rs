//! Histograms: how many observations were how large.

use backstay_telemetry as core;
use pyo3::prelude::*;

use super::buckets::Sorting;
use super::helper::Helper;
use super::labelled::{Face, labelled};
use super::metric::{Definition, Metric};
use super::registry::MetricRegistry;

/// The buckets that prometheus_client has where none are given, in seconds.
const DEFAULT_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Counts observations by size.
///
/// >>> seconds = Histogram("seconds", "Time", buckets=[0.1, 1], registry=Registry())
/// >>> with seconds.time():
/// ...     pass
/// >>> seconds.count
/// 1
#[pyclass(frozen, module = "backstay.metrics")]
pub(crate) struct Histogram(Metric<core::Histogram, Self>);

#[pymethods]
impl Histogram {
    #[new]
    #[pyo3(signature = (name, documentation, labelnames = Vec::new(), namespace = "", subsystem = "", unit = "", registry = None, *, buckets = None, cap = core::DEFAULT_SERIES_CAP))]
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
        buckets: Option<Sorting>,
        cap: usize,
    ) -> PyResult<Self> {
        let names = [name, namespace, subsystem, unit];
        let buckets = buckets.map_or_else(|| DEFAULT_BUCKETS.as_slice().into(), Sorting::buckets);
        Definition::new(py, names, documentation, labelnames, registry, cap)?
            .register(|home, name, help, labels, options| {
                home.histogram_with(name, help, labels, buckets, options)
            })
            .map(Self)
    }

    /// Record one observation.
    fn observe(&self, amount: f64) -> PyResult<()> {
        self.0.series()?.observe(amount);
        Ok(())
    }

    /// Observe how long a block or a function took, in seconds.
    fn time<'py>(slf: &Bound<'py, Self>) -> PyResult<Helper<'py>> {
        Helper::new(slf.py(), "Timer", slf.getattr("observe")?)
    }

    /// How many observations there were.
    #[getter]
    fn count(&self) -> PyResult<u64> {
        Ok(self.0.series()?.count())
    }

    /// The sum of all observations.
    #[getter]
    fn sum(&self) -> PyResult<f64> {
        Ok(self.0.series()?.sum())
    }

    /// An estimate of the `q`-th quantile from the buckets; None when nothing was observed.
    fn quantile(&self, q: f64) -> PyResult<Option<f64>> {
        Ok(self.0.series()?.quantile(q))
    }
}

impl Face for Histogram {
    type Series = core::Histogram;

    fn metric(&self) -> &Metric<core::Histogram, Self> {
        &self.0
    }

    fn child(&self, metric: Metric<core::Histogram, Self>) -> Self {
        Self(metric)
    }
}

labelled!(Histogram, core::Histogram::sum);
