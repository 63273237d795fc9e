//! `backstay.ledger.Ports`: the binding of `rust/ledger/src/ports.rs`.

mod lease;
mod quick;
mod socket;

use backstay_ledger::{self as core, PortError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

pub(crate) use self::lease::PortLease;
pub(crate) use self::quick::quicken_all;
use self::socket::{Host, Socket};
use crate::attached::alone;
use crate::errors::Raise;
use crate::recent::{Missing, Recent};

/// Whether a server could listen on `port` of the loopback interface now.
#[pyfunction]
pub(crate) fn port_is_free(py: Python<'_>, port: u16) -> bool {
    py.detach(|| core::is_free(port))
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
pub(crate) struct Ports {
    core: core::Ports,
    /// The leases that were given lately, by their holders' names: one that its user has let go of, and that nobody
    /// else can see, is handed out again.
    recent: Recent<Py<PortLease>>,
}

impl Ports {
    /// Lease a port for a holder whose last lease is free to be used again.
    #[inline]
    fn renew<'py>(
        &self,
        holder: &Bound<'py, PyString>,
    ) -> Result<Result<Bound<'py, PortLease>, Box<PortError>>, Missing> {
        let py = holder.py();
        self.recent.find(std::slice::from_ref(holder), |lease| {
            alone(lease, py).then(|| {
                match self.core.renew(&mut lease.get().handle(py)) {
                    Ok(()) => Ok(lease.bind(py).clone()),
                    // Boxed, so that a lease need not make room for it.
                    Err(error) => Err(Box::new(error)),
                }
            })
        })
    }

    /// Lease the next port, and know the holder from then on.
    fn lease_next<'py>(&self, holder: &Bound<'py, PyString>) -> PyResult<Bound<'py, PortLease>> {
        self.renew(holder).map_or_else(
            |missing| {
                let lease = self.core.lease(holder.to_str()?).or_raise()?;
                let lease = Bound::new(holder.py(), PortLease::new(lease))?;
                let kept = lease.clone().unbind();
                self.recent
                    .put(&missing, std::slice::from_ref(holder), kept);
                Ok(lease)
            },
            Raise::or_raise,
        )
    }
}

#[pymethods]
impl Ports {
    #[new]
    fn new(first: u16, last: u16) -> PyResult<Self> {
        let core = core::Ports::new(first, last).or_raise()?;
        let recent = Recent::default();
        Ok(Self { core, recent })
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
    fn lease<'py>(
        &self,
        holder: Bound<'py, PyString>,
        port: Option<u16>,
        prefer: Option<u16>,
        probe: bool,
    ) -> PyResult<Bound<'py, PortLease>> {
        let (py, ports) = (holder.py(), &self.core);
        let name = holder.to_str()?;
        let leased = match (port, prefer, probe) {
            (None, None, false) => return self.lease_next(&holder),
            (Some(port), _, false) => ports.lease_fixed(name, port),
            (None, Some(port), false) => ports.lease_preferred(name, port),
            (None, None, true) => py.detach(|| ports.lease_probed(name, core::is_free)),
            (Some(port), _, true) => {
                py.detach(|| ports.lease_fixed_probed(name, port, core::is_free))
            }
            (None, Some(port), true) => py.detach(|| {
                let preferred = ports.lease_fixed_probed(name, port, core::is_free);
                preferred.or_else(|_| ports.lease_probed(name, core::is_free))
            }),
        };
        Bound::new(py, PortLease::new(leased.or_raise()?))
    }

    /// Lease `count` ports in a row, the lowest that are free and not in quarantine: all of them, or none.
    ///
    /// Raises:
    ///     PortsExhausted: there are not so many in a row.
    fn lease_run(&self, holder: &str, count: u16) -> PyResult<Vec<PortLease>> {
        let leases = self.core.lease_run(holder, count).or_raise()?;
        Ok(leases.into_iter().map(PortLease::new).collect())
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
        let bound = py.detach(|| self.core.lease_bound(holder, port, host.0));
        let (lease, listener) = bound.or_raise()?;
        Ok((PortLease::new(lease), Socket(listener)))
    }

    /// Give a port back by its number.
    ///
    /// Raises:
    ///     NotHeld: it is not leased.
    fn release(&self, port: u16) -> PyResult<()> {
        self.core.release(port).or_raise()
    }

    /// Who holds a port, or None.
    fn holder(&self, port: u16) -> Option<String> {
        self.core.holder(port).map(|holder| holder.to_string())
    }

    /// Every leased port and its holder, by number.
    #[pyo3(signature = () -> "dict[int, str]")]
    fn holders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let holders = PyDict::new(py);
        for (port, holder) in self.core.holders() {
            holders.set_item(port, &*holder)?;
        }
        Ok(holders)
    }

    /// The first port of the range.
    #[getter]
    fn first(&self) -> u16 {
        *self.core.range().start()
    }

    /// The last port of the range.
    #[getter]
    fn last(&self) -> u16 {
        *self.core.range().end()
    }

    /// How many ports of the range are not leased.
    #[getter]
    fn free(&self) -> usize {
        self.core.free()
    }

    fn __repr__(&self) -> String {
        let range = self.core.range();
        format!(
            "<Ports {}-{}, {} free>",
            range.start(),
            range.end(),
            self.core.free()
        )
    }
}
