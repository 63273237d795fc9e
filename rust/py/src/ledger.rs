//! `backstay.ledger`: the binding of `rust/ledger`.

mod batch;
mod known;
mod lease;
mod quick;
mod resources;

use std::sync::Arc;

use backstay_ledger::{self as core, Amounts, LedgerError, Pool};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

pub(crate) use self::batch::Batch;
use self::known::Known;
pub(crate) use self::lease::{Claim, Lease};
pub(crate) use self::quick::quicken_all;
pub(crate) use self::resources::{Resources, Usage};
use self::resources::{Thousandths, amounts, show};
use crate::errors::Raise;
use crate::shapes::{DimensionName, Size};

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
pub(crate) struct Ledger {
    core: core::Ledger,
    /// Of the machine's own pool.
    known: Known,
}

impl Ledger {
    /// Do something with the pool of this name, or with the machine's own.
    #[inline]
    fn with<T>(
        &self,
        pool: Option<&str>,
        act: impl FnOnce(&Arc<Pool>) -> Result<T, LedgerError>,
    ) -> PyResult<T> {
        match pool {
            None => act(self.core.machine()),
            Some(name) => self.core.pool(name).and_then(|pool| act(&pool)),
        }
        .or_raise()
    }

    /// Reserve of the machine's own pool, and know the holder from then on.
    fn reserve_known<'py>(
        &self,
        name: &Bound<'py, PyString>,
        want: Amounts,
    ) -> PyResult<Bound<'py, Lease>> {
        if let Ok(reserved) = self.known.reserve(name, want) {
            return reserved.or_raise();
        }
        let lease = match self.known.reserve_anew(name, want) {
            Ok(reserved) => reserved.or_raise()?,
            Err(missing) => {
                let holder = self.core.machine().holder(name.to_str()?);
                let lease = holder.reserve(want).or_raise()?;
                self.known.put(&missing, name, holder);
                lease
            }
        };
        let lease = Bound::new(name.py(), Lease::new(lease))?;
        self.known.remember(name, &lease);
        Ok(lease)
    }

    /// As [`reserve_known`](Self::reserve_known), without a lease.
    fn hold_known(&self, name: &Bound<'_, PyString>, want: Amounts) -> PyResult<()> {
        self.known.hold(name, want).map_or_else(
            |missing| {
                let holder = self.core.machine().holder(name.to_str()?);
                holder.hold(want).or_raise()?;
                self.known.put(&missing, name, holder);
                Ok(())
            },
            Raise::or_raise,
        )
    }
}

/// What is asked for: given whole, or one by one.
#[inline]
fn wanted(resources: Option<&Resources>, one_by_one: Amounts) -> PyResult<Amounts> {
    match resources {
        None => Ok(one_by_one),
        Some(resources) if one_by_one.is_zero() => Ok(resources.0),
        Some(_) => Err(PyTypeError::new_err(
            "give the resources whole or one by one, not both",
        )),
    }
}

#[pymethods]
impl Ledger {
    #[new]
    #[pyo3(signature = (*, cpus = None, memory = None, storage = None, gpus = None))]
    fn new(
        cpus: Option<Thousandths>,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: Option<Thousandths>,
    ) -> Self {
        Self {
            core: core::Ledger::new(amounts(cpus, memory, storage, gpus)),
            known: Known::default(),
        }
    }

    /// Reserve all of it for `holder`, or nothing: `Resources`, or their parts one by one.
    ///
    /// Raises:
    ///     DoesNotFit: there is too little left; says of what, and who holds it.
    ///     AlreadyHeld: the holder has a reservation in this pool.
    #[pyo3(signature = (holder, resources = None, *, cpus = None, memory = None, storage = None, gpus = None, pool = None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of an amount by keyword"
    )]
    fn reserve<'py>(
        &self,
        holder: Bound<'py, PyString>,
        resources: Option<&Resources>,
        cpus: Option<Thousandths>,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: Option<Thousandths>,
        pool: Option<&str>,
    ) -> PyResult<Bound<'py, Lease>> {
        let want = wanted(resources, amounts(cpus, memory, storage, gpus))?;
        if pool.is_none() {
            return self.reserve_known(&holder, want);
        }
        let name = holder.to_str()?;
        let lease = self.with(pool, |pool| pool.reserve(name, want))?;
        Bound::new(holder.py(), Lease::new(lease))
    }

    /// Reserve as `reserve` does, with no lease: to be given back with `release(holder)`.
    ///
    /// Raises:
    ///     DoesNotFit: there is too little left; says of what, and who holds it.
    ///     AlreadyHeld: the holder has a reservation in this pool.
    #[pyo3(signature = (holder, resources, *, pool = None))]
    fn hold(
        &self,
        holder: Bound<'_, PyString>,
        resources: &Resources,
        pool: Option<&str>,
    ) -> PyResult<()> {
        if pool.is_none() {
            return self.hold_known(&holder, resources.0);
        }
        let name = holder.to_str()?;
        self.with(pool, |pool| pool.hold(name, resources.0))
    }

    /// Look a holder and what it wants up once, to reserve and give back often. Reserves nothing yet.
    #[pyo3(signature = (holder, resources = None, *, cpus = None, memory = None, storage = None, gpus = None, pool = None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of an amount by keyword"
    )]
    fn claim(
        &self,
        holder: &str,
        resources: Option<&Resources>,
        cpus: Option<Thousandths>,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: Option<Thousandths>,
        pool: Option<&str>,
    ) -> PyResult<Claim> {
        let want = wanted(resources, amounts(cpus, memory, storage, gpus))?;
        self.with(pool, |pool| Ok(pool.claim(holder, want)))
            .map(Claim)
    }

    /// A holder of many small reservations without names of their own, as packed bytes.
    ///
    /// Raises:
    ///     AlreadyHeld: the holder has a reservation in this pool.
    #[pyo3(signature = (holder, *, pool = None))]
    fn batch(&self, holder: &str, pool: Option<&str>) -> PyResult<Batch> {
        self.with(pool, |pool| pool.batch(holder)).map(Batch)
    }

    /// Reserve for every holder, or for none: tuples of `(holder, cpus, memory, storage, gpus)`.
    ///
    /// Raises:
    ///     DoesNotFit: the sum does not fit.
    ///     AlreadyHeld: one of the holders has a reservation in this pool.
    #[pyo3(signature = (requests, *, pool = None))]
    fn reserve_all(
        &self,
        requests: Vec<(String, Thousandths, Size, Size, Thousandths)>,
        pool: Option<&str>,
    ) -> PyResult<Vec<Lease>> {
        let wanted: Vec<(&str, Amounts)> = requests
            .iter()
            .map(|(holder, cpus, memory, storage, gpus)| {
                let want = amounts(Some(*cpus), Some(*memory), Some(*storage), Some(*gpus));
                (holder.as_str(), want)
            })
            .collect();
        let leases = self.with(pool, |pool| pool.reserve_all(&wanted))?;
        Ok(leases.into_iter().map(Lease::new).collect())
    }

    /// Give back what `holder` holds, without its lease.
    ///
    /// Raises:
    ///     NotHeld: it holds nothing.
    #[pyo3(signature = (holder, *, pool = None))]
    fn release(&self, holder: &str, pool: Option<&str>) -> PyResult<()> {
        self.with(pool, |pool| pool.release(holder))
    }

    /// Whether it would fit now.
    #[pyo3(signature = (resources = None, *, cpus = None, memory = None, storage = None, gpus = None, pool = None))]
    fn fits(
        &self,
        resources: Option<&Resources>,
        cpus: Option<Thousandths>,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: Option<Thousandths>,
        pool: Option<&str>,
    ) -> PyResult<bool> {
        let want = wanted(resources, amounts(cpus, memory, storage, gpus))?;
        self.with(pool, |pool| Ok(pool.fits(want)))
    }

    /// What `holder` holds, or None.
    #[pyo3(signature = (holder, *, pool = None))]
    fn held(&self, holder: &str, pool: Option<&str>) -> PyResult<Option<Resources>> {
        self.with(pool, |pool| Ok(pool.held(holder).map(Resources)))
    }

    /// What there is and what is taken, at one moment.
    #[pyo3(signature = (*, pool = None))]
    fn usage(&self, pool: Option<&str>) -> PyResult<Usage> {
        self.with(pool, |pool| Ok(Usage(pool.usage())))
    }

    /// Every holder and what it holds, by name; `fleet/web.1` is `web.1` in the pool `fleet` within this one.
    #[pyo3(signature = (*, pool = None) -> "dict[str, Resources]")]
    fn holders<'py>(&self, py: Python<'py>, pool: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
        let held = self.with(pool, |pool| Ok(py.detach(|| pool.holders())))?;
        let holders = PyDict::new(py);
        for held in held {
            holders.set_item(held.holder, Resources(held.amounts))?;
        }
        Ok(holders)
    }

    /// Add a pool: beside the machine's own (another disk, another node), or `within` another as a quota.
    ///
    /// What is reserved of a quota is reserved of the pool around it too, all or nothing. Quotas nest.
    /// What is not named is none, and in a quota without a limit of its own.
    #[pyo3(signature = (name, *, cpus = None, memory = None, storage = None, gpus = None, within = None))]
    fn add_pool(
        &self,
        name: &str,
        cpus: Option<Thousandths>,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: Option<Thousandths>,
        within: Option<&str>,
    ) -> PyResult<()> {
        let capacity = [
            cpus.map(|cpus| cpus.0),
            memory.map(|size| size.0),
            storage.map(|size| size.0),
            gpus.map(|gpus| gpus.0),
        ];
        let added = if let Some(outer) = within {
            self.core.add_quota(name, outer, capacity)
        } else {
            let capacity = capacity.map(Option::unwrap_or_default);
            self.core.add_pool(name, Amounts::from_array(capacity))
        };
        added.or_raise().map(drop)
    }

    /// Take a pool away that nobody holds anything of.
    ///
    /// Raises:
    ///     ValueError: it is in use, or there is none.
    fn remove_pool(&self, name: &str) -> PyResult<()> {
        self.core.remove_pool(name).or_raise()
    }

    /// The names of all pools; the first, `machine`, is the one used where none is named.
    fn pools(&self) -> Vec<String> {
        self.core.pools()
    }

    /// Change the capacity in use; what is not named stays. Nothing is taken away: `excess` of the answer
    /// says what is held beyond it, and nothing new is admitted until that is given back.
    #[pyo3(signature = (*, cpus = None, memory = None, storage = None, gpus = None, pool = None))]
    fn resize(
        &self,
        cpus: Option<Thousandths>,
        memory: Option<Size>,
        storage: Option<Size>,
        gpus: Option<Thousandths>,
        pool: Option<&str>,
    ) -> PyResult<Usage> {
        self.with(pool, |pool| {
            pool.resize_with(|capacity| Amounts {
                cpu_milli: cpus.map_or(capacity.cpu_milli, |cpus| cpus.0),
                memory: memory.map_or(capacity.memory, |size| size.0),
                storage: storage.map_or(capacity.storage, |size| size.0),
                gpu_milli: gpus.map_or(capacity.gpu_milli, |gpus| gpus.0),
            })
        })
        .map(Usage)
    }

    /// Lend `ratio` times what there is of a dimension (`cpus`, `memory`, `storage`, `gpus`).
    #[pyo3(signature = (dimension, ratio, *, pool = None))]
    fn over_commit(
        &self,
        dimension: DimensionName,
        ratio: Thousandths,
        pool: Option<&str>,
    ) -> PyResult<Usage> {
        self.with(pool, |pool| pool.over_commit(dimension.0, ratio.0))
            .map(Usage)
    }

    fn __repr__(&self) -> String {
        let usage = self.core.machine().usage();
        format!(
            "<Ledger free({}) of ({})>",
            show(usage.free()),
            show(usage.capacity)
        )
    }
}
