//! Buckets as Python gives them.

use backstay_telemetry as core;
use pyo3::prelude::*;

/// Buckets that are a fixed part of their own size, from `low` to `high`; quantiles are right within `error`.
///
/// Each power of two is a line of the exposition; what lies between is for `quantile`.
///
/// >>> seconds = Histogram("seconds", "Time", buckets=LogLinear(1e-6, 3600, error=0.01), registry=Registry())
/// >>> for i in range(1, 1001):
/// ...     seconds.observe(i / 1000)
/// >>> round(seconds.quantile(0.99), 2)
/// 0.99
#[pyclass(frozen, module = "backstay.metrics")]
pub(crate) struct LogLinear {
    low: f64,
    high: f64,
    error: f64,
}

#[pymethods]
impl LogLinear {
    #[new]
    #[pyo3(signature = (low, high, *, error = 0.05))]
    fn new(low: f64, high: f64, error: f64) -> Self {
        Self { low, high, error }
    }

    fn __repr__(&self) -> String {
        let Self { low, high, error } = self;
        format!("LogLinear({low}, {high}, error={error})")
    }
}

/// How a histogram is to sort: by bounds, or finely.
#[derive(FromPyObject)]
pub(super) enum Sorting {
    Fine(Py<LogLinear>),
    Bounds(Vec<f64>),
}

impl Sorting {
    pub(super) fn buckets(self) -> core::Buckets {
        match self {
            Self::Fine(fine) => {
                let LogLinear { low, high, error } = *fine.get();
                core::LogLinear::new(low, high, error).into()
            }
            Self::Bounds(bounds) => bounds.as_slice().into(),
        }
    }
}

/// `count` bounds from `start`, each `factor` times the one before.
#[pyfunction]
pub(crate) fn exponential(start: f64, factor: f64, count: usize) -> Vec<f64> {
    core::exponential(start, factor, count)
}

/// `count` bounds from `start`, each `step` above the one before.
#[pyfunction]
pub(crate) fn linear(start: f64, step: f64, count: usize) -> Vec<f64> {
    core::linear(start, step, count)
}
