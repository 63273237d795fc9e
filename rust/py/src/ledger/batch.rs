//! Many small reservations of one holder, as packed bytes.

use backstay_ledger as core;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::inspect::PyStaticExpr;
use pyo3::prelude::*;
use pyo3::type_hint_identifier;
use pyo3::types::PyBytes;

use super::resources::{Resources, show};
use crate::errors::Raise;
use crate::with_block::with_block;

/// The bytes of anything that has them: of `bytes` in place, copied out of what others could change.
pub(crate) enum Packed<'py> {
    Bytes(Bound<'py, PyBytes>),
    Copied(Vec<u8>),
}

impl Packed<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Copied(bytes) => bytes,
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Packed<'py> {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_identifier!("typing_extensions", "Buffer");

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.to_owned()));
        }
        let py = object.py();
        if let Ok(buffer) = PyBuffer::<u8>::get(&object) {
            return buffer.to_vec(py).map(Self::Copied);
        }
        let numbers = PyBuffer::<u64>::get(&object).map_err(|_| {
            PyTypeError::new_err("packed data is bytes, or a buffer of bytes or of 64-bit numbers")
        })?;
        let numbers = numbers.to_vec(py)?;
        let bytes = numbers.into_iter().flat_map(u64::to_le_bytes);
        Ok(Self::Copied(bytes.collect()))
    }
}

/// Many small reservations of one holder, with no name and no object for each.
///
/// Requests go in packed, 32 bytes each (see `Resources`), and handles come out, 8 bytes each: zero where the
/// request did not fit. A handle is good once. What the batch holds in all shows in the ledger under its
/// holder's name. `close()` it, or use it in a `with` block: that gives everything back.
///
/// >>> ledger = Ledger(cpus=4)
/// >>> with ledger.batch("crawler") as batch:
/// ...     handles = batch.reserve(bytes(Resources(cpus=0.001)) * 5000)
/// ...     (len(batch), batch.resources.cpus)
/// ...     batch.release(handles[: 8 * 1000])
/// (4000, 4.0)
/// 1000
/// >>> ledger.holders()
/// {}
#[pyclass(frozen, module = "backstay.ledger")]
pub(crate) struct Batch(pub(crate) core::Batch);

#[pymethods]
impl Batch {
    /// Who owns it.
    #[getter]
    fn holder(&self) -> &str {
        self.0.holder()
    }

    /// What is held in all; None once it was closed.
    #[getter]
    fn resources(&self) -> Option<Resources> {
        self.0.amounts().map(Resources)
    }

    /// Reserve each of the packed requests that fits; a packed handle for each, zero for one that did not.
    ///
    /// Raises:
    ///     NotHeld: it was closed.
    fn reserve<'py>(
        &self,
        py: Python<'py>,
        requests: Packed<'py>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let requests = requests.as_slice();
        let handles = py.detach(|| {
            let mut handles = Vec::new();
            self.0.reserve(requests, &mut handles).map(|()| handles)
        });
        handles.or_raise().map(|handles| PyBytes::new(py, &handles))
    }

    /// Give back what the packed handles stand for. How many of them still held something.
    ///
    /// Raises:
    ///     NotHeld: it was closed.
    fn release(&self, py: Python<'_>, handles: Packed<'_>) -> PyResult<usize> {
        let handles = handles.as_slice();
        py.detach(|| self.0.release(handles)).or_raise()
    }

    /// Which of the packed handles still hold something: a bit for each, the lowest of the first byte first.
    fn held<'py>(&self, py: Python<'py>, handles: Packed<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bits = self.0.which_held(handles.as_slice()).or_raise()?;
        Ok(PyBytes::new(py, &bits))
    }

    /// Give everything back and end. False: that happened before.
    fn close(&self) -> bool {
        self.0.close()
    }

    fn __len__(&self) -> usize {
        self.0.held()
    }

    fn __repr__(&self) -> String {
        let holder = self.0.holder();
        match self.0.amounts() {
            Some(amounts) => format!("<Batch {holder:?} of {}: {}>", self.0.held(), show(amounts)),
            None => format!("<Batch {holder:?}, closed>"),
        }
    }
}

with_block!(Batch, |batch, _py| batch.close());
