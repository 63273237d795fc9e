//! What counters, gauges and histograms do alike: being defined, found by labels, forgotten, shown.

use backstay_telemetry as core;
use pyo3::PyClass;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::children::Children;
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
    pub(super) fn register<S>(
        &self,
        register: impl FnOnce(
            &core::Registry,
            &str,
            &str,
            &[&str],
            core::Options,
        ) -> Result<core::Family<S>, core::MetricError>,
    ) -> PyResult<Metric<S>>
    where
        S: From<core::Place>,
    {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let (name, help, options) = (&self.name, &self.documentation, self.options);
        let family = register(self.registry(), name, help, &labels, options).or_raise()?;
        let series = if labels.is_empty() {
            Some(family.try_with(&[]).or_raise()?)
        } else {
            None
        };
        let children = self.children(family.cap())?;
        Ok(Metric {
            family,
            series,
            children,
        })
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

/// A family, and one of its series where there are no labels or they are given.
pub(super) struct Metric<S> {
    family: core::Family<S>,
    series: Option<S>,
    children: Children,
}

impl<S: From<core::Place>> Metric<S> {
    pub(super) fn name(&self) -> &str {
        self.family.name()
    }

    /// The series to write to.
    pub(super) fn series(&self) -> PyResult<&S> {
        self.series.as_ref().ok_or_else(|| {
            let name = self.name();
            PyTypeError::new_err(format!("`{name}` has labels: call labels(...) first"))
        })
    }

    /// The child of these label values: the known one, or what `wrap` makes of it.
    pub(super) fn labels<'py, T>(
        &self,
        values: &Bound<'py, PyTuple>,
        by_name: Option<&Bound<'py, PyDict>>,
        wrap: impl FnOnce(Self) -> T,
    ) -> PyResult<Bound<'py, T>>
    where
        T: PyClass + Into<PyClassInitializer<T>>,
    {
        self.children.get(values, by_name, || {
            let find = |values: &[&str]| self.family.try_with(values);
            let series = with_values(self.family.label_names(), values, by_name, find)?;
            Ok(wrap(Self {
                family: self.family.clone(),
                series: Some(series),
                children: self.children.clone_ref(values.py()),
            }))
        })
    }

    pub(super) fn remove(&self, values: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.children.forget(values.py());
        with_values(self.family.label_names(), values, None, |values| {
            Ok(self.family.remove(values))
        })
    }

    pub(super) fn clear(&self, py: Python<'_>) {
        self.children.forget(py);
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
