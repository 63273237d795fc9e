//! `backstay.ledger.Ports`: the binding of `rust/ledger/src/ports.rs`.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::IntoRawFd;

use backstay_ledger as core;
use pyo3::exceptions::PyValueError;
use pyo3::inspect::PyStaticExpr;
use pyo3::prelude::*;
use pyo3::type_hint_identifier;
use pyo3::types::{IntoPyDict, PyDict};

use crate::errors::Raise;

/// An address to listen on, as text.
struct Host(IpAddr);

impl Host {
    /// Where a fleet listens unless told otherwise.
    const LOOPBACK: Self = Self(IpAddr::V4(Ipv4Addr::LOCALHOST));
}

impl<'py> FromPyObject<'_, 'py> for Host {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_identifier!("builtins", "str");

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let text: &str = object.extract()?;
        text.parse()
            .map(Self)
            .map_err(|_| PyValueError::new_err(format!("`{text}` is not an IP address")))
    }
}

/// A listener as Python knows it: `socket.socket`, which closes it.
struct Socket(TcpListener);

impl<'py> IntoPyObject<'py> for Socket {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    const OUTPUT_TYPE: PyStaticExpr = type_hint_identifier!("socket", "socket");

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let class = py.import("socket")?.getattr("socket")?;
        let fileno = [("fileno", self.0.into_raw_fd())].into_py_dict(py)?;
        class.call((), Some(&fileno))
    }
}

/// Whether a server could listen on `port` of the loopback interface now.
#[pyfunction]
pub(crate) fn port_is_free(py: Python<'_>, port: u16) -> bool {
    py.detach(|| core::is_free(port))
}

/// One leased port. Give it back with `release()`, or use it in a `with` block.
#[pyclass(frozen, freelist = 64, module = "backstay.ledger")]
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
        let listener = py.detach(|| self.0.listen(host.0));
        listener.or_raise().map(Socket)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (_kind: "object", _error: "object", _traceback: "object", /))]
    fn __exit__(
        &self,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
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

    /// Lease a port for `holder`: that very `port` if given, else the one it would `prefer` if that is free,
    /// else one it had before, else the lowest.
    ///
    /// A port named by number may lie outside the range. With `probe`, ports that a process outside the fleet
    /// listens on are passed over; that costs some microseconds, and `listen` is the surer way.
    ///
    /// Raises:
    ///     PortHeld: another lease, or with `probe` a stranger, holds the fixed port.
    ///     PortsExhausted: none is free.
    #[pyo3(signature = (holder, *, port = None, prefer = None, probe = false))]
    fn lease(
        &self,
        py: Python<'_>,
        holder: &str,
        port: Option<u16>,
        prefer: Option<u16>,
        probe: bool,
    ) -> PyResult<PortLease> {
        let ports = &self.0;
        match (port, prefer, probe) {
            (None, None, false) => ports.lease(holder),
            (Some(port), _, false) => ports.lease_fixed(holder, port),
            (None, Some(port), false) => ports.lease_preferred(holder, port),
            (None, None, true) => py.detach(|| ports.lease_probed(holder, core::is_free)),
            (Some(port), _, true) => {
                py.detach(|| ports.lease_fixed_probed(holder, port, core::is_free))
            }
            (None, Some(port), true) => py.detach(|| {
                let preferred = ports.lease_fixed_probed(holder, port, core::is_free);
                preferred.or_else(|_| ports.lease_probed(holder, core::is_free))
            }),
        }
        .or_raise()
        .map(PortLease)
    }

    /// Lease `count` ports in a row, the lowest that are free and not in quarantine: all of them, or none.
    ///
    /// Raises:
    ///     PortsExhausted: there are not so many in a row.
    fn lease_run(&self, holder: &str, count: u16) -> PyResult<Vec<PortLease>> {
        let leases = self.0.lease_run(holder, count).or_raise()?;
        Ok(leases.into_iter().map(PortLease).collect())
    }

    /// Lease a port together with a socket that listens on it, for a service that takes its socket over.
    ///
    /// That very `port` if given, else the first that is free for the fleet and on the machine. Nobody can
    /// come between.
    ///
    /// >>> lease, sock = Ports(30000, 32000).listen("web.1")
    /// >>> with lease, sock:
    /// ...     sock.getsockname()[1] == lease.port
    /// True
    ///
    /// Raises:
    ///     PortHeld: another lease or a stranger holds the fixed port.
    ///     PortsExhausted: none is free.
    ///     OSError: the system does not let us listen there.
    #[pyo3(signature = (holder, *, port = None, host = Host::LOOPBACK))]
    fn listen(
        &self,
        py: Python<'_>,
        holder: &str,
        port: Option<u16>,
        host: Host,
    ) -> PyResult<(PortLease, Socket)> {
        let bound = py.detach(|| self.0.lease_bound(holder, port, host.0));
        let (lease, listener) = bound.or_raise()?;
        Ok((PortLease(lease), Socket(listener)))
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
