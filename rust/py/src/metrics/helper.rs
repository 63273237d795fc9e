//! Context managers and decorators around the caller's own code.

use pyo3::inspect::PyStaticExpr;
use pyo3::prelude::*;
use pyo3::type_hint_identifier;

/// A context manager or decorator made in Python: it runs around the caller's own Python code.
pub(super) struct Helper<'py>(Bound<'py, PyAny>);

impl<'py> Helper<'py> {
    pub(super) fn new(py: Python<'py>, name: &str, of: impl IntoPyObject<'py>) -> PyResult<Self> {
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
