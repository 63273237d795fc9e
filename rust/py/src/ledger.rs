//! `backstay.ledger`: the binding of `rust/ledger`.

use std::sync::Arc;

use backstay_ledger::{self as core, Amounts, Dimension, Pool};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::Raise;
use crate::shapes::{DimensionName, Size};

/// Thousandths, rounded up: nothing gets less than it asked for. The slack forgives binary fractions.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be in range"
)]
fn thousandths(value: f64, what: &str) -> PyResult<u64> {
    const SLACK: f64 = 1e-6;
    const MOST: f64 = 1e15;
    let exact = value * 1000.0;
    if (0.0..MOST).contains(&exact) {
        return Ok((exact - SLACK).ceil().max(0.0) as u64);
    }
    Err(PyValueError::new_err(format!(
        "{what} must be a number from 0 to 10**12, not {value}"
    )))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "below 2^53 for every machine there is"
)]
fn whole(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}

fn amounts(cpus: f64, memory: Option<Size>, storage: Option<Size>, gpus: f64) -> PyResult<Amounts> {
    let bytes = |size: Option<Size>| size.map_or(0, |Size(bytes)| bytes);
    Ok(Amounts {
        cpu_milli: thousandths(cpus, "cpus")?,
        memory: bytes(memory),
        storage: bytes(storage),
        gpu_milli: thousandths(gpus, "gpus")?,
    })
}

/// Read a size as people write it: `512M`, `1.5Gi`, powers of 1024 either way.
///
/// >>> parse_size("512Mi")
/// 536870912
#[pyfunction]
pub(crate) fn parse_size(text: Size) -> u64 {
    text.0
}

/// Write a number of bytes with the largest unit that keeps it exact.
///
/// >>> format_size(536870912)
/// '512Mi'
#[pyfunction]
pub(crate) fn format_size(size: u64) -> String {
    core::format_size(size)
}

/// An amount of every dimension. Compares by value.
#[pyclass(frozen, eq, hash, get_all, module = "backstay.ledger")]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Resources {
    /// CPUs; a thousandth is the smallest part.
    cpus: f64,
    /// Bytes of memory.
    memory: u64,
    /// Bytes of disk.
    storage: u64,
    /// GPUs; a thousandth is the smallest part.
    gpus: f64,
}

impl From<Amounts> for Resources {
    fn from(amounts: Amounts) -> Self {
        let Amounts {
            cpu_milli,
            memory,
            storage,
            gpu_milli,
        } = amounts;
        Self {
            cpus: whole(cpu_milli),
            memory,
            storage,
            gpus: whole(gpu_milli),
        }
    }
}

impl std::hash::Hash for Resources {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (
            self.cpus.to_bits(),
            self.memory,
            self.storage,
            self.gpus.to_bits(),
        )
            .hash(state);
    }
}

fn show(amounts: Amounts) -> String {
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
    fn __repr__(&self) -> PyResult<String> {
        let amounts = amounts(
            self.cpus,
            Some(Size(self.memory)),
            Some(Size(self.storage)),
            self.gpus,
        )?;
        Ok(format!("Resources({})", show(amounts)))
    }
}

/// What a pool has and what is taken of it, at one moment.
#[pyclass(frozen, eq, get_all, module = "backstay.ledger")]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    /// What is reserved.
    used: Resources,
    /// What is left.
    free: Resources,
    /// What may be reserved in all, over-commitment included.
    capacity: Resources,
    /// What is reserved beyond the capacity, after the pool has shrunk.
    excess: Resources,
}

impl From<core::Usage> for Usage {
    fn from(usage: core::Usage) -> Self {
        Self {
            used: usage.used.into(),
            free: usage.free().into(),
            capacity: usage.capacity.into(),
            excess: usage.excess().into(),
        }
    }
}

#[pymethods]
impl Usage {
    fn __repr__(&self) -> PyResult<String> {
        Ok(format!(
            "Usage(used={}, capacity={})",
            self.used.__repr__()?,
            self.capacity.__repr__()?
        ))
    }
}

/// One reservation. Give it back with `release()`, or use it in a `with` block.
///
/// Losing the object gives nothing back: a traceback or a cycle could keep it alive, or end it, at any time.
#[pyclass(frozen, module = "backstay.ledger")]
pub(crate) struct Lease(core::Lease);

#[pymethods]
impl Lease {
    /// Who holds it.
    #[getter]
    fn holder(&self) -> &str {
        self.0.holder()
    }

    /// What is held; None once it was given back.
    #[getter]
    fn resources(&self) -> Option<Resources> {
        self.0.amounts().map(Resources::from)
    }

    /// Whether it is still held.
    #[getter]
    fn held(&self) -> bool {
        self.0.amounts().is_some()
    }

    /// Give it back. False: it was given back before.
    fn release(&self) -> bool {
        self.0.release()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception: "object"))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.0.release();
    }

    fn __repr__(&self) -> String {
        match self.0.amounts() {
            Some(amounts) => format!("Lease({:?}, {})", self.0.holder(), show(amounts)),
            None => format!("Lease({:?}, given back)", self.0.holder()),
        }
    }
}

/// Lends CPU, memory, storage and GPUs to named holders.
///
/// A reservation is all or nothing over every dimension, and exact to the thousandth of a CPU, the byte and
/// the thousandth of a GPU. Safe to share between threads.
///
/// >>> ledger = Ledger(cpus=4, memory="8Gi")
/// >>> with ledger.reserve("web.1", cpus=0.5, memory="512Mi"):
/// ...     ledger.usage().free
/// Resources(cpus=3.5, memory='7680Mi', storage='0', gpus=0)
/// >>> ledger.holders()
/// {}
#[pyclass(frozen, module = "backstay.ledger")]
pub(crate) struct Ledger(core::Ledger);

impl Ledger {
    fn pool(&self, name: Option<&str>) -> PyResult<Arc<Pool>> {
        match name {
            None => Ok(Arc::clone(self.0.machine())),
            Some(name) => self.0.pool(name).or_raise(),
        }
    }
}

#[pymethods]
impl Ledger {
    #[new]
    #[pyo3(signature = (*, cpus = 0.0, memory = None, storage = None, gpus = 0.0))]
    fn new(cpus: f64, memory: Option<Size>, storage: Option<Size>, gpus: f64) -> PyResult<Self> {
        Ok(Self(core::Ledger::new(amounts(
            cpus, memory, storage, gpus,
        )?)))
    }

    /// Reserve all of it for `holder`, or nothing.
    ///
    /// Raises:
    ///     DoesNotFit: there is too little left; says of what, and who holds it.
    ///     AlreadyHeld: the holder has a reservation in this pool.
    #[pyo3(signature = (holder, *, cpus = 0.0, memory = None, storage = None, gpus = 0.0, pool = None))]
    fn reserve(
        &self,
        holder: &str,
        cpus: f64,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: f64,
        pool: Option<&str>,
    ) -> PyResult<Lease> {
        let amounts = amounts(cpus, memory, storage, gpus)?;
        match pool {
            None => self.0.machine().reserve(holder, amounts),
            Some(pool) => self
                .0
                .pool(pool)
                .and_then(|pool| pool.reserve(holder, amounts)),
        }
        .or_raise()
        .map(Lease)
    }

    /// Reserve for every holder, or for none: `[("web.1", Resources(...)), ...]` as tuples of
    /// `(holder, cpus, memory, storage, gpus)`.
    ///
    /// Raises:
    ///     DoesNotFit: the sum does not fit.
    ///     AlreadyHeld: one of the holders has a reservation in this pool.
    #[pyo3(signature = (requests, *, pool = None))]
    fn reserve_all(
        &self,
        requests: Vec<(String, f64, Size, Size, f64)>,
        pool: Option<&str>,
    ) -> PyResult<Vec<Lease>> {
        let mut wanted = Vec::with_capacity(requests.len());
        for (holder, cpus, memory, storage, gpus) in requests {
            wanted.push((holder, amounts(cpus, Some(memory), Some(storage), gpus)?));
        }
        let wanted: Vec<(&str, Amounts)> = wanted
            .iter()
            .map(|(holder, want)| (holder.as_str(), *want))
            .collect();
        let leases = self.pool(pool)?.reserve_all(&wanted).or_raise()?;
        Ok(leases.into_iter().map(Lease).collect())
    }

    /// Give back what `holder` holds, without its lease.
    ///
    /// Raises:
    ///     NotHeld: it holds nothing.
    #[pyo3(signature = (holder, *, pool = None))]
    fn release(&self, holder: &str, pool: Option<&str>) -> PyResult<()> {
        match pool {
            None => self.0.machine().release(holder),
            Some(pool) => self.0.pool(pool).and_then(|pool| pool.release(holder)),
        }
        .or_raise()
        .map(drop)
    }

    /// Whether it would fit now.
    #[pyo3(signature = (*, cpus = 0.0, memory = None, storage = None, gpus = 0.0, pool = None))]
    fn fits(
        &self,
        cpus: f64,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: f64,
        pool: Option<&str>,
    ) -> PyResult<bool> {
        Ok(self.pool(pool)?.fits(amounts(cpus, memory, storage, gpus)?))
    }

    /// What `holder` holds, or None.
    #[pyo3(signature = (holder, *, pool = None))]
    fn held(&self, holder: &str, pool: Option<&str>) -> PyResult<Option<Resources>> {
        Ok(self.pool(pool)?.held(holder).map(Resources::from))
    }

    /// What there is and what is taken, at one moment.
    #[pyo3(signature = (*, pool = None))]
    fn usage(&self, pool: Option<&str>) -> PyResult<Usage> {
        Ok(self.pool(pool)?.usage().into())
    }

    /// Every holder and what it holds, by name.
    #[pyo3(signature = (*, pool = None) -> "dict[str, Resources]")]
    fn holders<'py>(&self, py: Python<'py>, pool: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
        let pool = self.pool(pool)?;
        let holders = PyDict::new(py);
        for held in py.detach(|| pool.holders()) {
            holders.set_item(held.holder, Resources::from(held.amounts))?;
        }
        Ok(holders)
    }

    /// Add a pool beside the machine's own: another disk, another node.
    #[pyo3(signature = (name, *, cpus = 0.0, memory = None, storage = None, gpus = 0.0))]
    fn add_pool(
        &self,
        name: &str,
        cpus: f64,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: f64,
    ) -> PyResult<()> {
        self.0
            .add_pool(name, amounts(cpus, memory, storage, gpus)?)
            .or_raise()
            .map(drop)
    }

    /// The names of all pools; the first, `machine`, is the one used where none is named.
    fn pools(&self) -> Vec<String> {
        self.0.pools()
    }

    /// Change the capacity in use; what is not named stays. Nothing is taken away: `excess` of the answer
    /// says what is held beyond it, and nothing new is admitted until that is given back.
    #[pyo3(signature = (*, cpus = None, memory = None, storage = None, gpus = None, pool = None))]
    fn resize(
        &self,
        cpus: Option<f64>,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: Option<f64>,
        pool: Option<&str>,
    ) -> PyResult<Usage> {
        let pool = self.pool(pool)?;
        let mut capacity = pool.capacity();
        if let Some(cpus) = cpus {
            capacity.cpu_milli = thousandths(cpus, "cpus")?;
        }
        capacity.memory = memory.map_or(capacity.memory, |Size(bytes)| bytes);
        capacity.storage = storage.map_or(capacity.storage, |Size(bytes)| bytes);
        if let Some(gpus) = gpus {
            capacity.gpu_milli = thousandths(gpus, "gpus")?;
        }
        pool.resize(capacity).or_raise().map(Usage::from)
    }

    /// Lend `ratio` times what there is of a dimension (`cpus`, `memory`, `storage`, `gpus`).
    #[pyo3(signature = (dimension, ratio, *, pool = None))]
    fn over_commit(
        &self,
        dimension: DimensionName,
        ratio: f64,
        pool: Option<&str>,
    ) -> PyResult<Usage> {
        let ratio = thousandths(ratio, "ratio")?;
        self.pool(pool)?
            .over_commit(dimension.0, ratio)
            .or_raise()
            .map(Usage::from)
    }

    fn __repr__(&self) -> String {
        let usage = self.0.machine().usage();
        format!(
            "<Ledger free({}) of ({})>",
            show(usage.free()),
            show(usage.capacity)
        )
    }
}
