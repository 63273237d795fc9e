//! `backstay.ledger.Ports`: the binding of `rust/ledger/src/ports.rs`.

use backstay_ledger as core;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::Raise;

/// Whether a server could listen on `port` of the loopback interface now.
#[pyfunction]
pub(crate) fn port_is_free(py: Python<'_>, port: u16) -> bool {
    py.detach(|| core::is_free(port))
}

/// One leased port. Give it back with `release()`, or use it in a `with` block.
#[pyclass(frozen, module = "backstay.ledger")]
pub(crate) struct PortLease(core::PortLease);

#[pymethods]
impl PortLease {
    /// The port's number.
    #[getter]
    fn port(&self) -> u16 {
        self.0.port()
    }

    /// Who leased it.
    #[getter]
    fn holder(&self) -> &str {
        self.0.holder()
    }

    /// Whether it is still leased.
    #[getter]
    fn held(&self) -> bool {
        self.0.is_held()
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
        let state = if self.0.is_held() { "" } else { ", given back" };
        format!("PortLease({}, {:?}{state})", self.0.port(), self.0.holder())
    }
}

/// Lends the ports of a range to named holders, the lowest first.
///
/// A port that was just given back waits while others are free, unless its former holder asks. Safe to share
/// between threads.
///
/// >>> ports = Ports(30000, 32000)
/// >>> lease = ports.lease("web.1")
/// >>> lease.port
/// 30000
/// >>> lease.release()
/// True
/// >>> ports.lease("db.1").port, ports.lease("web.1").port
/// (30001, 30000)
#[pyclass(frozen, module = "backstay.ledger")]
pub(crate) struct Ports(core::Ports);

#[pymethods]
impl Ports {
    #[new]
    fn new(first: u16, last: u16) -> PyResult<Self> {
        core::Ports::new(first, last).or_raise().map(Self)
    }

    /// Lease a port for `holder`: that very `port` if given, else one it had before, else the lowest.
    ///
    /// A fixed port may lie outside the range. With `probe`, ports that a process outside the fleet listens
    /// on are passed over; that costs some microseconds.
    ///
    /// Raises:
    ///     PortHeld: another lease, or with `probe` a stranger, holds the fixed port.
    ///     PortsExhausted: none is free.
    #[pyo3(signature = (holder, *, port = None, probe = false))]
    fn lease(
        &self,
        py: Python<'_>,
        holder: &str,
        port: Option<u16>,
        probe: bool,
    ) -> PyResult<PortLease> {
        match (port, probe) {
            (None, false) => self.0.lease(holder),
            (Some(port), false) => self.0.lease_fixed(holder, port),
            (None, true) => py.detach(|| self.0.lease_probed(holder, core::is_free)),
            (Some(port), true) => {
                py.detach(|| self.0.lease_fixed_probed(holder, port, core::is_free))
            }
        }
        .or_raise()
        .map(PortLease)
    }

    /// Give a port back by its number.
    ///
    /// Raises:
    ///     NotHeld: it is not leased.
    fn release(&self, port: u16) -> PyResult<()> {
        self.0.release(port).or_raise()
    }

    /// Who holds a port, or None.
    fn holder(&self, port: u16) -> Option<String> {
        self.0.holder(port).map(|holder| holder.to_string())
    }

    /// Every leased port and its holder, by number.
    #[pyo3(signature = () -> "dict[int, str]")]
    fn holders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let holders = PyDict::new(py);
        for (port, holder) in self.0.holders() {
            holders.set_item(port, &*holder)?;
        }
        Ok(holders)
    }

    /// The first port of the range.
    #[getter]
    fn first(&self) -> u16 {
        *self.0.range().start()
    }

    /// The last port of the range.
    #[getter]
    fn last(&self) -> u16 {
        *self.0.range().end()
    }

    /// How many ports of the range are not leased.
    #[getter]
    fn free(&self) -> usize {
        self.0.free()
    }

    fn __repr__(&self) -> String {
        let range = self.0.range();
        format!(
            "<Ports {}-{}, {} free>",
            range.start(),
            range.end(),
            self.0.free()
        )
    }
}
