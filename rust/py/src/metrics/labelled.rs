//! What every class of metrics offers alike: its series by labels, forgetting them, saying how many did not fit.

use backstay_telemetry as core;
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;

use super::metric::Metric;

/// A class around a metric.
pub(super) trait Face:
    PyClass<Frozen = True> + Sync + Into<PyClassInitializer<Self>>
{
    type Series: core::Handle;

    fn metric(&self) -> &Metric<Self::Series, Self>;

    /// One of its series, in the same class.
    fn child(&self, metric: Metric<Self::Series, Self>) -> Self;
}

/// `labelled!(Class, what __repr__ shows of a series)`: the methods for a class that is a [`Face`].
macro_rules! labelled {
    ($class:ident, $shown:path) => {
        #[pymethods]
        impl $class {
            /// The series with these label values, made if new.
            #[pyo3(signature = (*labelvalues: "object", **labelkwargs: "object"))]
            fn labels<'py>(
                &self,
                labelvalues: &Bound<'py, pyo3::types::PyTuple>,
                labelkwargs: Option<&Bound<'py, pyo3::types::PyDict>>,
            ) -> PyResult<Bound<'py, Self>> {
                Metric::labels(self, labelvalues, labelkwargs)
            }

            /// Forget the series with these label values.
            #[pyo3(signature = (*labelvalues: "object"))]
            fn remove(&self, labelvalues: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<bool> {
                self.metric().remove(labelvalues)
            }

            /// Forget every series.
            fn clear(&self) {
                self.metric().clear();
            }

            /// How many look-ups found the family full and got its overflow series, whose labels all read `_other`.
            #[getter]
            fn overflowed(&self) -> u64 {
                self.metric().overflowed()
            }

            fn __repr__(&self) -> String {
                self.metric().show(stringify!($class), $shown)
            }
        }
    };
}
pub(super) use labelled;
