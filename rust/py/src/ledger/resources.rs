//! Amounts of every dimension, as Python gives and gets them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use backstay_ledger::{self as core, Amounts, Dimension};
use pyo3::exceptions::PyValueError;
use pyo3::inspect::PyStaticExpr;
use pyo3::prelude::*;
use pyo3::type_hint_identifier;

use crate::shapes::Size;

/// Thousandths, given as a number of wholes; rounded up, for nothing gets less than it asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Thousandths(pub(crate) u64);

impl Thousandths {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "checked to be in range"
    )]
    fn new(value: f64) -> PyResult<Self> {
        /// Forgives binary fractions.
        const SLACK: f64 = 1e-6;
        const MOST: f64 = 1e15;
        let exact = value * 1000.0;
        if !(0.0..MOST).contains(&exact) {
            return Err(PyValueError::new_err(format!(
                "an amount is a number from 0 to 10**12, not {value}"
            )));
        }
        let whole = exact as u64;
        let more = exact - whole as f64 > SLACK;
        Ok(Self(whole + u64::from(more)))
    }
}

impl<'py> FromPyObject<'_, 'py> for Thousandths {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_identifier!("builtins", "float");

    #[inline]
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Self::new(object.extract()?)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "below 2^53 for every machine there is"
)]
fn whole(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}

/// Amounts given one by one; what is not given is none.
#[inline]
pub(crate) fn amounts(
    cpus: Option<Thousandths>,
    memory: Option<Size>,
    storage: Option<Size>,
    gpus: Option<Thousandths>,
) -> Amounts {
    let [cpu_milli, gpu_milli] = [cpus, gpus].map(|amount| amount.unwrap_or_default().0);
    let [memory, storage] = [memory, storage].map(|size| size.map_or(0, |Size(bytes)| bytes));
    Amounts {
        cpu_milli,
        memory,
        storage,
        gpu_milli,
    }
}

/// An amount of every dimension. Compares by value.
///
/// `bytes()` of it is the packed form that `Batch` reads: 32 bytes, four little-endian numbers:
/// thousandths of a CPU, bytes of memory, bytes of disk, thousandths of a GPU.
///
/// >>> want = Resources(cpus=0.5, memory="512Mi")
/// >>> want
/// Resources(cpus=0.5, memory='512Mi', storage='0', gpus=0)
/// >>> want.memory
/// 536870912
#[pyclass(frozen, eq, module = "backstay.ledger")]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Resources(pub(crate) Amounts);

pub(crate) fn show(amounts: Amounts) -> String {
    let parts = Dimension::ALL.map(|dimension| {
        let text = dimension.show(amounts.of(dimension));
        let quote = if matches!(dimension, Dimension::Memory | Dimension::Storage) {
            "'"
        } else {
            ""
        };
        format!("{dimension}={quote}{text}{quote}")
    });
    parts.join(", ")
}

#[pymethods]
impl Resources {
    #[new]
    #[pyo3(signature = (*, cpus = None, memory = None, storage = None, gpus = None))]
    fn new(
        cpus: Option<Thousandths>,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: Option<Thousandths>,
    ) -> Self {
        Self(amounts(cpus, memory, storage, gpus))
    }

    /// CPUs; a thousandth is the smallest part.
    #[getter]
    fn cpus(&self) -> f64 {
        whole(self.0.cpu_milli)
    }

    /// Bytes of memory.
    #[getter]
    fn memory(&self) -> u64 {
        self.0.memory
    }

    /// Bytes of disk.
    #[getter]
    fn storage(&self) -> u64 {
        self.0.storage
    }

    /// GPUs; a thousandth is the smallest part.
    #[getter]
    fn gpus(&self) -> f64 {
        whole(self.0.gpu_milli)
    }

    fn __bytes__(&self) -> [u8; core::RECORD] {
        core::record(self.0)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("Resources({})", show(self.0))
    }
}

/// What a pool has and what is taken of it, at one moment.
#[pyclass(frozen, eq, module = "backstay.ledger")]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Usage(pub(crate) core::Usage);

#[pymethods]
impl Usage {
    /// What is reserved.
    #[getter]
    fn used(&self) -> Resources {
        Resources(self.0.used)
    }

    /// What is left.
    #[getter]
    fn free(&self) -> Resources {
        Resources(self.0.free())
    }

    /// What may be reserved in all, over-commitment included.
    #[getter]
    fn capacity(&self) -> Resources {
        Resources(self.0.capacity)
    }

    /// What is reserved beyond the capacity, after the pool has shrunk.
    #[getter]
    fn excess(&self) -> Resources {
        Resources(self.0.excess())
    }

    fn __repr__(&self) -> String {
        format!(
            "Usage(used={}, capacity={})",
            self.used().__repr__(),
            self.capacity().__repr__()
        )
    }
}
