//! Handles to reservations: the lease and the claim.

use backstay_ledger as core;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::resources::{Resources, show};
use crate::attached::{Attached, Guard};
use crate::errors::Raise;
use crate::with_block::with_block;

/// One reservation. Give it back with `release()`, or use it in a `with` block.
///
/// Losing the object gives nothing back: a traceback or a cycle could keep it alive, or end it, at any time.
#[pyclass(frozen, freelist = 64, module = "backstay.ledger")]
pub(crate) struct Lease(Attached<core::Lease>);

impl Lease {
    pub(crate) fn new(lease: core::Lease) -> Self {
        Self(Attached::new(lease))
    }

    /// The handle, to have it renewed.
    #[inline]
    pub(super) fn handle(&self, py: Python<'_>) -> Guard<'_, core::Lease> {
        self.0.lock(py)
    }
}

#[pymethods]
impl Lease {
    /// Who holds it.
    #[getter]
    fn holder<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.0.lock(py).holder())
    }

    /// What is held; None once it was given back.
    #[getter]
    fn resources(&self, py: Python<'_>) -> Option<Resources> {
        self.0.lock(py).amounts().map(Resources)
    }

    /// Whether it is still held.
    #[getter]
    fn held(&self, py: Python<'_>) -> bool {
        self.0.lock(py).amounts().is_some()
    }

    /// Give it back. False: it was given back before.
    fn release(&self, py: Python<'_>) -> bool {
        self.0.lock(py).release()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let lease = self.0.lock(py);
        match lease.amounts() {
            Some(amounts) => format!("Lease({:?}, {})", lease.holder(), show(amounts)),
            None => format!("Lease({:?}, given back)", lease.holder()),
        }
    }
}

with_block!(Lease, |lease, py| lease.release(py));

/// What a holder wants, looked up once: `reserve()` and `release()` it as often as you like, or use it in a
/// `with` block, which reserves at its beginning.
///
/// The holder still has one reservation at a time, however it was made; a claim gives back only its own.
///
/// >>> ledger = Ledger(cpus=4, memory="8Gi")
/// >>> claim = ledger.claim("web.1", cpus=0.5, memory="512Mi")
/// >>> with claim:
/// ...     ledger.holders()
/// {'web.1': Resources(cpus=0.5, memory='512Mi', storage='0', gpus=0)}
/// >>> claim.held
/// False
#[pyclass(frozen, module = "backstay.ledger")]
pub(crate) struct Claim(pub(crate) core::Claim);

#[pymethods]
impl Claim {
    /// Who wants it.
    #[getter]
    fn holder(&self) -> &str {
        self.0.holder()
    }

    /// What is wanted.
    #[getter]
    fn resources(&self) -> Resources {
        Resources(self.0.amounts())
    }

    /// Whether it is held through this claim.
    #[getter]
    fn held(&self) -> bool {
        self.0.is_held()
    }

    /// Reserve it.
    ///
    /// Raises:
    ///     DoesNotFit: there is too little left; says of what, and who holds it.
    ///     AlreadyHeld: the holder has a reservation in this pool.
    fn reserve(&self) -> PyResult<()> {
        self.0.reserve().or_raise()
    }

    /// Reserve it if it fits and the holder has nothing yet; False if not.
    fn try_reserve(&self) -> bool {
        self.0.try_reserve()
    }

    /// Give it back. False: it was not held, or was given back by name.
    fn release(&self) -> bool {
        self.0.release()
    }

    fn __repr__(&self) -> String {
        let state = if self.0.is_held() { ", held" } else { "" };
        let (holder, amounts) = (self.0.holder(), show(self.0.amounts()));
        format!("<Claim {holder:?} {amounts}{state}>")
    }
}

with_block!(Claim, |claim| claim.reserve(), |claim, _py| claim.release());
