//! The lease of a port.

use backstay_ledger as core;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::socket::{Host, Socket};
use crate::attached::{Attached, Guard};
use crate::errors::Raise;
use crate::with_block::with_block;

/// One leased port. Give it back with `release()`, or use it in a `with` block.
#[pyclass(frozen, freelist = 64, module = "backstay.ledger")]
pub(crate) struct PortLease(Attached<core::PortLease>);

impl PortLease {
    pub(super) fn new(lease: core::PortLease) -> Self {
        Self(Attached::new(lease))
    }

    /// The handle, to have it renewed.
    #[inline]
    pub(super) fn handle(&self, py: Python<'_>) -> Guard<'_, core::PortLease> {
        self.0.lock(py)
    }
}

#[pymethods]
impl PortLease {
    /// The port's number.
    #[getter]
    fn port(&self, py: Python<'_>) -> u16 {
        self.0.lock(py).port()
    }

    /// Who leased it.
    #[getter]
    fn holder<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.0.lock(py).holder())
    }

    /// Whether it is still leased.
    #[getter]
    fn held(&self, py: Python<'_>) -> bool {
        self.0.lock(py).is_held()
    }

    /// Give it back. False: it was given back before.
    fn release(&self, py: Python<'_>) -> bool {
        self.0.lock(py).release()
    }

    /// Listen on the port: a socket for a service that takes one over (`pass_fds`, socket activation).
    ///
    /// Whoever has the socket has the port: hand it over or close it before giving the lease back.
    ///
    /// Raises:
    ///     NotHeld: it was given back.
    ///     PortHeld: a process outside the fleet listens there.
    ///     OSError: the system does not let us listen there.
    #[pyo3(signature = (*, host = Host::LOOPBACK))]
    fn listen(&self, py: Python<'_>, host: Host) -> PyResult<Socket> {
        let lease = self.0.lock(py).clone();
        let listener = py.detach(|| lease.listen(host.0));
        listener.or_raise().map(Socket)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let lease = self.0.lock(py);
        let state = if lease.is_held() { "" } else { ", given back" };
        format!("PortLease({}, {:?}{state})", lease.port(), lease.holder())
    }
}

with_block!(PortLease, |lease, py| lease.release(py));
