//! The children that `labels` made, so that asking again makes no object and takes no lock.

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// The children of one family, by their values.
pub(super) struct Children {
    pub(super) cache: Py<PyDict>,
    pub(super) cap: usize,
}

impl Children {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            cache: self.cache.clone_ref(py),
            cap: self.cap,
        }
    }

    /// The child of these values, by `make` if it is new here.
    pub(super) fn get<'py, T>(
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

    pub(super) fn forget(&self, py: Python<'_>) {
        self.cache.bind(py).clear();
    }
}
