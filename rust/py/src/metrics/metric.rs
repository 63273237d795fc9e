//! What counters, gauges and histograms do alike: being defined, found by labels, forgotten, shown.

use std::sync::Arc;

use backstay_telemetry as core;
use pyo3::PyClass;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use smallvec::SmallVec;

use super::children::Children;
use super::labelled::Face;
use super::registry::MetricRegistry;
use crate::errors::Raise;

/// What every metric is made of.
pub(super) struct Definition<'py> {
    pub(super) name: String,
    documentation: String,
    labels: Vec<String>,
    home: Bound<'py, MetricRegistry>,
    options: core::Options,
}

impl<'py> Definition<'py> {
    pub(super) fn new(
        py: Python<'py>,
        [name, namespace, subsystem, unit]: [&str; 4],
        documentation: &str,
        labels: Vec<String>,
        registry: Option<&Bound<'py, MetricRegistry>>,
        cap: usize,
    ) -> PyResult<Self> {
        let parts = [namespace, subsystem, name, unit];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let home = if let Some(registry) = registry {
            registry.clone()
        } else {
            py.import("backstay.metrics")?
                .getattr("REGISTRY")?
                .cast_into::<MetricRegistry>()?
        };
        Ok(Self {
            name: parts.join("_"),
            documentation: documentation.to_owned(),
            labels,
            home,
            options: core::Options { cap },
        })
    }

    pub(super) fn registry(&self) -> &core::Registry {
        &self.home.get().core
    }

    /// Register it: `register` gets the registry, name, documentation, label names and options.
    pub(super) fn register<S: core::Handle, T: PyClass + Sync>(
        &self,
        register: impl FnOnce(
            &core::Registry,
            &str,
            &str,
            &[&str],
            core::Options,
        ) -> Result<core::Family<S>, core::MetricError>,
    ) -> PyResult<Metric<S, T>> {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let (name, help, options) = (&self.name, &self.documentation, self.options);
        let family = register(self.registry(), name, help, &labels, options).or_raise()?;
        let (series, children) = if labels.is_empty() {
            (Some(family.try_with(&[]).or_raise()?), None)
        } else {
            let children = Arc::default();
            self.home.get().holders.add(&children);
            (None, Some(children))
        };
        Ok(Metric {
            family,
            series,
            children,
        })
    }
}

/// A family, and one of its series where there are no labels or they are given; `T` is the class around it.
pub(super) struct Metric<S, T> {
    family: core::Family<S>,
    series: Option<S>,
    /// Only of the parent: a child that held its like would hold itself.
    children: Option<Arc<Children<T>>>,
}

impl<S: core::Handle, T: Face<Series = S>> Metric<S, T> {
    pub(super) fn name(&self) -> &str {
        self.family.name()
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.family.overflowed()
    }

    /// The series to write to.
    #[inline]
    pub(super) fn series(&self) -> PyResult<&S> {
        self.series.as_ref().ok_or_else(|| self.unlabelled())
    }

    #[cold]
    fn unlabelled(&self) -> PyErr {
        let name = self.name();
        PyTypeError::new_err(format!("`{name}` has labels: call labels(...) first"))
    }

    /// The child of these label values: the known one, or a new one.
    pub(super) fn labels<'py>(
        face: &T,
        values: &Bound<'py, PyTuple>,
        by_name: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, T>> {
        let (metric, py) = (face.metric(), values.py());
        if by_name.is_none()
            && let Some(child) = metric.near(values.iter_borrowed(), py)
        {
            return Ok(child);
        }
        let strings = metric.strings(values, by_name)?;
        let make = || {
            let child = face.child(Self {
                family: metric.family.clone(),
                series: Some(metric.family.try_with(&texts(&strings)?).or_raise()?),
                children: None,
            });
            Bound::new(py, child)
        };
        match &metric.children {
            Some(children) => children.get(&strings, py, Self::shown, make),
            None => make(),
        }
    }

    /// The child that these very objects asked for before.
    #[inline]
    pub(super) fn near<'a, 'py: 'a>(
        &self,
        values: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
        py: Python<'py>,
    ) -> Option<Bound<'py, T>> {
        self.children.as_ref()?.near(values, py, Self::shown)
    }

    /// Whether a child's series is still shown.
    #[inline]
    fn shown(child: &Py<T>) -> bool {
        let series = child.get().metric().series.as_ref();
        series.is_some_and(S::is_current)
    }

    /// Label values in the order of the labels, from values or from names and values.
    fn strings<'py>(
        &self,
        values: &Bound<'py, PyTuple>,
        by_name: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<SmallVec<[Bound<'py, PyString>; 4]>> {
        let Some(by_name) = by_name else {
            return values.iter().map(text).collect();
        };
        let labels = self.family.label_names();
        if !values.is_empty() || by_name.len() != labels.len() {
            let labels = labels.join(", ");
            return Err(PyTypeError::new_err(format!("the labels are {labels}")));
        }
        let value = |label: &str| {
            let missing = || PyTypeError::new_err(format!("label `{label}` is missing"));
            text(by_name.get_item(label)?.ok_or_else(missing)?)
        };
        labels.iter().map(|label| value(label)).collect()
    }

    pub(super) fn remove(&self, values: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let strings = self.strings(values, None)?;
        Ok(self.family.remove(&texts(&strings)?))
    }

    pub(super) fn clear(&self) {
        self.family.retain(|_| false);
    }

    /// For `__repr__`.
    pub(super) fn show(&self, kind: &str, value: impl FnOnce(&S) -> f64) -> String {
        let name = self.name();
        match self.series.as_ref().map(value) {
            Some(value) => format!("<{kind} {name} = {value}>"),
            None => format!("<{kind} {name}, by labels>"),
        }
    }
}

fn texts<'a>(strings: &'a [Bound<'_, PyString>]) -> PyResult<SmallVec<[&'a str; 4]>> {
    strings.iter().map(|string| string.to_str()).collect()
}

fn text(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyString>> {
    value
        .cast_into::<PyString>()
        .or_else(|other| other.into_inner().str())
}
