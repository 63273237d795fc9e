//! `backstay.metrics`: the binding of `rust/telemetry`, with prometheus_client's interface.

use backstay_telemetry as core;
use pyo3::PyClass;
use pyo3::exceptions::PyTypeError;
use pyo3::inspect::PyStaticExpr;
use pyo3::prelude::*;
use pyo3::type_hint_identifier;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::errors::Raise;

/// The buckets that prometheus_client has where none are given, in seconds.
const DEFAULT_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// One family as plain values: name, help, kind, label names, and each sample's suffix, label values, `le`
/// and value.
type Family = (String, String, &'static str, Vec<String>, Vec<Sample>);
type Sample = (&'static str, Vec<String>, Option<String>, f64);

/// The metric families of a program, kept in Rust.
#[pyclass(frozen, subclass, module = "backstay._core")]
pub(crate) struct MetricRegistry {
    core: core::Registry,
    /// By family: the children that `labels` made, by their values.
    children: Py<PyDict>,
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

/// A context manager or decorator made in Python: it runs around the caller's own Python code.
struct Helper<'py>(Bound<'py, PyAny>);

impl<'py> Helper<'py> {
    fn new(py: Python<'py>, name: &str, of: impl IntoPyObject<'py>) -> PyResult<Self> {
        py.import("backstay.metrics")?
            .getattr(name)?
            .call1((of,))
            .map(Self)
    }
}

impl<'py> IntoPyObject<'py> for Helper<'py> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = std::convert::Infallible;

    const OUTPUT_TYPE: PyStaticExpr = type_hint_identifier!("backstay.metrics", "Around");

    fn into_pyobject(self, _py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(self.0)
    }
}

/// What every metric is made of.
struct Definition<'py> {
    name: String,
    home: Bound<'py, MetricRegistry>,
    options: core::Options,
}

impl Definition<'_> {
    fn registry(&self) -> &core::Registry {
        &self.home.get().core
    }

    /// The children of the family, which exists by now.
    fn children(&self, cap: usize) -> PyResult<Children> {
        let py = self.home.py();
        let by_family = self.home.get().children.bind(py);
        let cache = if let Some(cache) = by_family.get_item(&self.name)? {
            cache.cast_into::<PyDict>()?
        } else {
            let cache = PyDict::new(py);
            by_family.set_item(&self.name, &cache)?;
            cache
        };
        Ok(Children {
            cache: cache.unbind(),
            cap,
        })
    }
}

/// The children that `labels` made, by their values: asking again makes no object and takes no lock.
struct Children {
    cache: Py<PyDict>,
    cap: usize,
}

impl Children {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            cache: self.cache.clone_ref(py),
            cap: self.cap,
        }
    }

    /// The child of these values, by `make` if it is new here.
    fn get<'py, T>(
        &self,
        values: &Bound<'py, PyTuple>,
        by_name: Option<&Bound<'py, PyDict>>,
        make: impl FnOnce() -> PyResult<T>,
    ) -> PyResult<Bound<'py, T>>
    where
        T: PyClass + Into<PyClassInitializer<T>>,
    {
        let py = values.py();
        let cache = self.cache.bind(py);
        if by_name.is_none()
            // What cannot be a key has never been one.
            && let Ok(Some(child)) = cache.get_item(values)
        {
            return Ok(child.cast_into::<T>()?);
        }
        let child = Bound::new(py, make()?)?;
        let plain = values
            .iter()
            .all(|value| value.is_exact_instance_of::<PyString>());
        if by_name.is_none() && plain && cache.len() < self.cap {
            cache.set_item(values, &child)?;
        }
        Ok(child)
    }

    fn forget(&self, py: Python<'_>) {
        self.cache.bind(py).clear();
    }
}

fn define<'py>(
    py: Python<'py>,
    name: &str,
    [namespace, subsystem, unit]: [&str; 3],
    registry: Option<&Bound<'py, MetricRegistry>>,
    cap: usize,
) -> PyResult<Definition<'py>> {
    let parts = [namespace, subsystem, name, unit];
    let name = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("_");
    let home = if let Some(registry) = registry {
        registry.clone()
    } else {
        py.import("backstay.metrics")?
            .getattr("REGISTRY")?
            .cast_into::<MetricRegistry>()?
    };
    Ok(Definition {
        name,
        home,
        options: core::Options { cap },
    })
}

fn text(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyString>> {
    value
        .cast_into::<PyString>()
        .or_else(|other| other.into_inner().str())
}

/// Find a series by values, or by names and values, and hand the values on.
fn with_values<T>(
    labels: &[Box<str>],
    values: &Bound<'_, PyTuple>,
    by_name: Option<&Bound<'_, PyDict>>,
    find: impl FnOnce(&[&str]) -> Result<T, core::MetricError>,
) -> PyResult<T> {
    let mut strings: Vec<Bound<'_, PyString>> = Vec::with_capacity(labels.len());
    if let Some(by_name) = by_name {
        if !values.is_empty() || by_name.len() != labels.len() {
            return Err(PyTypeError::new_err(format!(
                "the labels are {}",
                labels.join(", ")
            )));
        }
        for label in labels {
            let value = by_name.get_item(&**label)?;
            let value =
                value.ok_or_else(|| PyTypeError::new_err(format!("label `{label}` is missing")))?;
            strings.push(text(value)?);
        }
    } else {
        for value in values {
            strings.push(text(value)?);
        }
    }
    let values = strings
        .iter()
        .map(|text| text.to_str())
        .collect::<PyResult<Vec<_>>>()?;
    find(&values).or_raise()
}

fn series<'a, T>(series: Option<&'a T>, name: &str) -> PyResult<&'a T> {
    series
        .ok_or_else(|| PyTypeError::new_err(format!("`{name}` has labels: call labels(...) first")))
}

/// Adds up events of one kind.
///
/// >>> series = Registry()
/// >>> calls = Counter("calls_total", "Calls", ["tool"], registry=series)
/// >>> calls.labels("echo").inc()
/// >>> calls.labels(tool="echo").value
/// 1.0
#[pyclass(frozen, module = "backstay.metrics")]
pub(crate) struct Counter {
    family: core::CounterFamily,
    series: Option<core::Counter>,
    children: Children,
}

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
        let made = define(py, name, [namespace, subsystem, unit], registry, cap)?;
        let labels: Vec<&str> = labelnames.iter().map(String::as_str).collect();
        let family = made
            .registry()
            .counter_with(&made.name, documentation, &labels, made.options)
            .or_raise()?;
        let series = if labels.is_empty() {
            Some(family.try_with(&[]).or_raise()?)
        } else {
            None
        };
        let children = made.children(family.cap())?;
        Ok(Self {
            family,
            series,
            children,
        })
    }

    /// The series with these label values, made if new.
    #[pyo3(signature = (*labelvalues: "object", **labelkwargs: "object"))]
    fn labels<'py>(
        &self,
        labelvalues: &Bound<'py, PyTuple>,
        labelkwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        self.children.get(labelvalues, labelkwargs, || {
            let find = |values: &[&str]| self.family.try_with(values);
            let series = with_values(self.family.label_names(), labelvalues, labelkwargs, find)?;
            let (family, children) = (
                self.family.clone(),
                self.children.clone_ref(labelvalues.py()),
            );
            Ok(Self {
                family,
                series: Some(series),
                children,
            })
        })
    }

    /// Add `amount`, which is not negative.
    #[pyo3(signature = (amount = 1.0))]
    fn inc(&self, amount: f64) -> PyResult<()> {
        let series = series(self.series.as_ref(), self.family.name())?;
        if amount.is_nan() || amount < 0.0 {
            let (name, amount) = (self.family.name().to_owned(), amount.to_string());
            return Err(core::MetricError::Decrease { name, amount }).or_raise();
        }
        series.add(amount);
        Ok(())
    }

    /// The sum so far.
    #[getter]
    fn value(&self) -> PyResult<f64> {
        Ok(series(self.series.as_ref(), self.family.name())?.value())
    }

    /// Count the exceptions that leave a block or a function.
    fn count_exceptions<'py>(slf: &Bound<'py, Self>) -> PyResult<Helper<'py>> {
        Helper::new(slf.py(), "ExceptionCounter", slf)
    }

    /// Forget the series with these label values.
    #[pyo3(signature = (*labelvalues: "object"))]
    fn remove(&self, labelvalues: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.children.forget(labelvalues.py());
        with_values(self.family.label_names(), labelvalues, None, |values| {
            Ok(self.family.remove(values))
        })
    }

    /// Forget every series.
    fn clear(&self, py: Python<'_>) {
        self.children.forget(py);
        self.family.retain(|_| false);
    }

    fn __repr__(&self) -> String {
        show(
            "Counter",
            self.family.name(),
            self.series.as_ref().map(core::Counter::value),
        )
    }
}

/// A value that goes up and down.
///
/// >>> load = Gauge("load", "Load", registry=Registry())
/// >>> load.set(3)
/// >>> load.dec()
/// >>> load.value
/// 2.0
#[pyclass(frozen, module = "backstay.metrics")]
pub(crate) struct Gauge {
    family: core::GaugeFamily,
    series: Option<core::Gauge>,
    children: Children,
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
        let made = define(py, name, [namespace, subsystem, unit], registry, cap)?;
        let labels: Vec<&str> = labelnames.iter().map(String::as_str).collect();
        let family = made
            .registry()
            .gauge_with(&made.name, documentation, &labels, made.options)
            .or_raise()?;
        let series = if labels.is_empty() {
            Some(family.try_with(&[]).or_raise()?)
        } else {
            None
        };
        let children = made.children(family.cap())?;
        Ok(Self {
            family,
            series,
            children,
            registry: made.registry().clone(),
        })
    }

    /// The series with these label values, made if new.
    #[pyo3(signature = (*labelvalues: "object", **labelkwargs: "object"))]
    fn labels<'py>(
        &self,
        labelvalues: &Bound<'py, PyTuple>,
        labelkwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        self.children.get(labelvalues, labelkwargs, || {
            let find = |values: &[&str]| self.family.try_with(values);
            let series = with_values(self.family.label_names(), labelvalues, labelkwargs, find)?;
            let (family, children) = (
                self.family.clone(),
                self.children.clone_ref(labelvalues.py()),
            );
            Ok(Self {
                family,
                series: Some(series),
                children,
                registry: self.registry.clone(),
            })
        })
    }

    /// Add `amount`.
    #[pyo3(signature = (amount = 1.0))]
    fn inc(&self, amount: f64) -> PyResult<()> {
        series(self.series.as_ref(), self.family.name())?.add(amount);
        Ok(())
    }

    /// Take `amount` away.
    #[pyo3(signature = (amount = 1.0))]
    fn dec(&self, amount: f64) -> PyResult<()> {
        series(self.series.as_ref(), self.family.name())?.add(-amount);
        Ok(())
    }

    /// Replace the value.
    fn set(&self, value: f64) -> PyResult<()> {
        series(self.series.as_ref(), self.family.name())?.set(value);
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
        let gauge = series(self.series.as_ref(), self.family.name())?.clone();
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
        Ok(series(self.series.as_ref(), self.family.name())?.value())
    }

    /// Count how often a block or a function is being run.
    fn track_inprogress<'py>(slf: &Bound<'py, Self>) -> PyResult<Helper<'py>> {
        Helper::new(slf.py(), "InProgress", slf)
    }

    /// Set it to how long a block or a function took, in seconds.
    fn time<'py>(slf: &Bound<'py, Self>) -> PyResult<Helper<'py>> {
        Helper::new(slf.py(), "Timer", slf.getattr("set")?)
    }

    /// Forget the series with these label values.
    #[pyo3(signature = (*labelvalues: "object"))]
    fn remove(&self, labelvalues: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.children.forget(labelvalues.py());
        with_values(self.family.label_names(), labelvalues, None, |values| {
            Ok(self.family.remove(values))
        })
    }

    /// Forget every series.
    fn clear(&self, py: Python<'_>) {
        self.children.forget(py);
        self.family.retain(|_| false);
    }

    fn __repr__(&self) -> String {
        show(
            "Gauge",
            self.family.name(),
            self.series.as_ref().map(core::Gauge::value),
        )
    }
}

/// Counts observations by size.
///
/// >>> seconds = Histogram("seconds", "Time", buckets=[0.1, 1], registry=Registry())
/// >>> with seconds.time():
/// ...     pass
/// >>> seconds.count
/// 1
#[pyclass(frozen, module = "backstay.metrics")]
pub(crate) struct Histogram {
    family: core::HistogramFamily,
    series: Option<core::Histogram>,
    children: Children,
}

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
        buckets: Option<Vec<f64>>,
        cap: usize,
    ) -> PyResult<Self> {
        let made = define(py, name, [namespace, subsystem, unit], registry, cap)?;
        let labels: Vec<&str> = labelnames.iter().map(String::as_str).collect();
        let buckets = buckets.unwrap_or_else(|| DEFAULT_BUCKETS.into());
        let family = made
            .registry()
            .histogram_with(&made.name, documentation, &labels, &buckets, made.options)
            .or_raise()?;
        let series = if labels.is_empty() {
            Some(family.try_with(&[]).or_raise()?)
        } else {
            None
        };
        let children = made.children(family.cap())?;
        Ok(Self {
            family,
            series,
            children,
        })
    }

    /// The series with these label values, made if new.
    #[pyo3(signature = (*labelvalues: "object", **labelkwargs: "object"))]
    fn labels<'py>(
        &self,
        labelvalues: &Bound<'py, PyTuple>,
        labelkwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        self.children.get(labelvalues, labelkwargs, || {
            let find = |values: &[&str]| self.family.try_with(values);
            let series = with_values(self.family.label_names(), labelvalues, labelkwargs, find)?;
            let (family, children) = (
                self.family.clone(),
                self.children.clone_ref(labelvalues.py()),
            );
            Ok(Self {
                family,
                series: Some(series),
                children,
            })
        })
    }

    /// Record one observation.
    fn observe(&self, amount: f64) -> PyResult<()> {
        series(self.series.as_ref(), self.family.name())?.observe(amount);
        Ok(())
    }

    /// Observe how long a block or a function took, in seconds.
    fn time<'py>(slf: &Bound<'py, Self>) -> PyResult<Helper<'py>> {
        Helper::new(slf.py(), "Timer", slf.getattr("observe")?)
    }

    /// How many observations there were.
    #[getter]
    fn count(&self) -> PyResult<u64> {
        Ok(series(self.series.as_ref(), self.family.name())?.count())
    }

    /// The sum of all observations.
    #[getter]
    fn sum(&self) -> PyResult<f64> {
        Ok(series(self.series.as_ref(), self.family.name())?.sum())
    }

    /// An estimate of the `q`-th quantile from the buckets; None when nothing was observed.
    fn quantile(&self, q: f64) -> PyResult<Option<f64>> {
        Ok(series(self.series.as_ref(), self.family.name())?.quantile(q))
    }

    /// Forget the series with these label values.
    #[pyo3(signature = (*labelvalues: "object"))]
    fn remove(&self, labelvalues: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.children.forget(labelvalues.py());
        with_values(self.family.label_names(), labelvalues, None, |values| {
            Ok(self.family.remove(values))
        })
    }

    /// Forget every series.
    fn clear(&self, py: Python<'_>) {
        self.children.forget(py);
        self.family.retain(|_| false);
    }

    fn __repr__(&self) -> String {
        show(
            "Histogram",
            self.family.name(),
            self.series.as_ref().map(core::Histogram::sum),
        )
    }
}

fn show(kind: &str, name: &str, value: Option<f64>) -> String {
    match value {
        Some(value) => format!("<{kind} {name} = {value}>"),
        None => format!("<{kind} {name}, by labels>"),
    }
}
