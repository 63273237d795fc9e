//! Ports: which ports the fleet holds, and for whom.
//!
//! A port is leased, never taken. The lowest free port goes first, but a port that was just given back waits
//! in quarantine while others are free: clients of its former holder may still knock. The former holder
//! itself gets it back at once. The quarantine counts ports, not seconds, so no clock is read here.
//!
//! The pool knows only the fleet's own ports. A stranger on the machine may hold one: [`Ports::lease_bound`]
//! binds the port's socket itself, to be handed over to a service that can take one, and finds out that way;
//! [`Ports::lease_probed`] asks first, at some eighty times the price of a lease, and the answer can be old
//! when the service binds.

use std::fmt;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::PortError;
use crate::port_table::Table;

/// The ports one machine lends to its services. Cloning is cheap and gives another handle to the same pool.
#[derive(Clone)]
pub struct Ports(Arc<Shared>);

struct Shared {
    first: u16,
    last: u16,
    /// Guards some loads and stores and is never held across a wait or a probe: a plain lock is fastest.
    table: Mutex<Table>,
}

/// One leased port. It can be copied, and given back once.
#[derive(Clone, Debug)]
pub struct PortLease {
    ports: Ports,
    port: u16,
    stamp: u32,
    holder: Arc<str>,
}

/// A leased port as plain numbers, for who keeps the pool at hand: a lease without its two reference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldPort {
    port: u16,
    stamp: u32,
}

impl HeldPort {
    /// The port's number.
    pub fn port(self) -> u16 {
        self.port
    }
}

impl PortLease {
    /// The port's number.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who leased it.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Whether it is still leased.
    pub fn is_held(&self) -> bool {
        self.ports.0.table.lock().is_current(self.port, self.stamp)
    }

    /// Give it back. False: it was given back before, through this handle or by number.
    #[inline]
    pub fn release(&self) -> bool {
        self.give_back(true)
    }

    /// Listen on the port, for a service that takes its socket over. Whoever has the socket has the port, so
    /// hand it over, or close it, before giving the lease back.
    ///
    /// # Errors
    /// [`PortError::NotHeld`] once it was given back, [`PortError::Stranger`] when a process outside the fleet
    /// listens there, [`PortError::Bind`] for what else the system says.
    pub fn listen(&self, host: IpAddr) -> Result<TcpListener, PortError> {
        if !self.is_held() {
            return Err(PortError::NotHeld { port: self.port });
        }
        bind(host, self.port)
    }

    #[inline]
    fn give_back(&self, reusable: bool) -> bool {
        self.ports.end(self.port, self.stamp, reusable)
    }
}

/// Bind and listen.
fn bind(host: IpAddr, port: u16) -> Result<TcpListener, PortError> {
    TcpListener::bind((host, port)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => PortError::Stranger { port },
        _ => PortError::Bind {
            host,
            port,
            reason: error.to_string(),
        },
    })
}

impl Ports {
    /// The ports `first..=last`, all free.
    ///
    /// # Errors
    /// [`PortError::InvalidRange`] when that is no range, or begins at 0.
    pub fn new(first: u16, last: u16) -> Result<Self, PortError> {
        if first == 0 || first > last {
            return Err(PortError::InvalidRange { first, last });
        }
        Ok(Self(Arc::new(Shared {
            first,
            last,
            table: Mutex::new(Table::new(first, last)),
        })))
    }

    /// The range that is lent from.
    pub fn range(&self) -> RangeInclusive<u16> {
        self.0.first..=self.0.last
    }

    /// Lease a port: one that `holder` had before if such a one is free, else the lowest.
    ///
    /// # Errors
    /// [`PortError::Exhausted`] when all are held.
    #[inline]
    pub fn lease(&self, holder: &str) -> Result<PortLease, PortError> {
        let mut table = self.0.table.lock();
        match table.lease(holder) {
            Some(granted) => Ok(self.granted(granted)),
            None => Err(self.exhausted()),
        }
    }

    /// [`lease`](Self::lease) for the holder of `lease`, and have that be the handle to it: what it was a handle to
    /// before is forgotten, not given back. With a lease of this pool it counts no reference.
    ///
    /// # Errors
    /// As `lease`; the handle is as it was.
    #[inline]
    pub fn renew(&self, lease: &mut PortLease) -> Result<(), PortError> {
        let granted = self
            .0
            .table
            .lock()
            .lease(&lease.holder)
            .map(|(port, stamp, _)| (port, stamp));
        let Some((port, stamp)) = granted else {
            return Err(self.exhausted());
        };
        (lease.port, lease.stamp) = (port, stamp);
        if !Arc::ptr_eq(&lease.ports.0, &self.0) {
            lease.ports = self.clone();
        }
        Ok(())
    }

    /// [`lease`](Self::lease) as plain numbers, to be given back by [`give_back`](Self::give_back).
    ///
    /// # Errors
    /// As `lease`.
    #[inline]
    pub fn hold(&self, holder: &str) -> Result<HeldPort, PortError> {
        match self.0.table.lock().lease(holder) {
            Some((port, stamp, _)) => Ok(HeldPort { port, stamp }),
            None => Err(self.exhausted()),
        }
    }

    /// Give back what [`hold`](Self::hold) gave. False: it was given back before.
    #[inline]
    pub fn give_back(&self, held: HeldPort) -> bool {
        self.end(held.port, held.stamp, true)
    }

    #[inline]
    fn end(&self, port: u16, stamp: u32, reusable: bool) -> bool {
        let mut table = self.0.table.lock();
        let current = table.is_current(port, stamp);
        if current {
            table.give_back(port, reusable);
        }
        current
    }

    /// Lease this very port, quarantine or not. It may lie outside the range: then only the fleet's own
    /// claims on it are kept apart.
    ///
    /// # Errors
    /// [`PortError::Held`] when another lease holds it.
    pub fn lease_fixed(&self, holder: &str, port: u16) -> Result<PortLease, PortError> {
        if port == 0 {
            return Err(PortError::InvalidRange { first: 0, last: 0 });
        }
        let mut table = self.0.table.lock();
        if table.is_held(port) {
            let holder = table.holder(port).map(ToString::to_string);
            let holder = holder.unwrap_or_default();
            return Err(PortError::Held { port, holder });
        }
        Ok(self.granted(table.lease_fixed(holder, port)))
    }

    /// [`lease`](Self::lease), but this very port if it is free.
    ///
    /// # Errors
    /// As `lease`.
    pub fn lease_preferred(&self, holder: &str, port: u16) -> Result<PortLease, PortError> {
        self.lease_fixed(holder, port)
            .or_else(|_| self.lease(holder))
    }

    /// Lease `count` ports in a row, the lowest that are free and not in quarantine; all of them, or none.
    ///
    /// # Errors
    /// [`PortError::NoRun`] when there are not so many in a row.
    pub fn lease_run(&self, holder: &str, count: u16) -> Result<Vec<PortLease>, PortError> {
        let mut table = self.0.table.lock();
        let none = || PortError::NoRun {
            count,
            first: self.0.first,
            last: self.0.last,
        };
        let first = table.run(usize::from(count)).ok_or_else(none)?;
        let run = first..=first + (count - 1);
        Ok(run
            .map(|port| self.granted(table.lease_fixed(holder, port)))
            .collect())
    }

    /// [`lease`](Self::lease) the first port for which `acquire` gets what it wants of the machine: a probe's
    /// yes, a socket. Ports that strangers use are tried last from now on.
    fn lease_where<T>(
        &self,
        holder: &str,
        acquire: impl Fn(u16) -> Result<T, PortError>,
    ) -> Result<(PortLease, T), PortError> {
        // Held until the end, so that no port is tried twice.
        let mut strangers = Vec::new();
        let found = loop {
            let lease = match self.lease(holder) {
                Ok(lease) => lease,
                Err(error) => break Err(error),
            };
            match acquire(lease.port) {
                Ok(acquired) => break Ok((lease, acquired)),
                Err(PortError::Stranger { .. }) => strangers.push(lease),
                Err(error) => {
                    lease.release();
                    break Err(error);
                }
            }
        };
        for stranger in strangers {
            stranger.give_back(false);
        }
        found
    }

    /// [`lease_fixed`](Self::lease_fixed), and what `acquire` gets of the machine for it.
    fn lease_fixed_where<T>(
        &self,
        holder: &str,
        port: u16,
        acquire: impl Fn(u16) -> Result<T, PortError>,
    ) -> Result<(PortLease, T), PortError> {
        let lease = self.lease_fixed(holder, port)?;
        match acquire(port) {
            Ok(acquired) => Ok((lease, acquired)),
            Err(error) => {
                lease.give_back(false);
                Err(error)
            }
        }
    }

    /// [`lease`](Self::lease) a port of which `free` says that no stranger uses it; see
    /// [`is_free`](crate::is_free). Those that strangers use are tried last from now on.
    ///
    /// # Errors
    /// [`PortError::Exhausted`] when every port is held or used by a stranger.
    pub fn lease_probed(
        &self,
        holder: &str,
        free: impl Fn(u16) -> bool,
    ) -> Result<PortLease, PortError> {
        self.lease_where(holder, probe(free))
            .map(|(lease, ())| lease)
    }

    /// [`lease_fixed`](Self::lease_fixed), unless a stranger uses the port.
    ///
    /// # Errors
    /// As `lease_fixed`, and [`PortError::Stranger`].
    pub fn lease_fixed_probed(
        &self,
        holder: &str,
        port: u16,
        free: impl Fn(u16) -> bool,
    ) -> Result<PortLease, PortError> {
        self.lease_fixed_where(holder, port, probe(free))
            .map(|(lease, ())| lease)
    }

    /// Lease a port together with a socket that listens on it: this very port, or whichever is free for the
    /// fleet and on the machine. Nobody can come between.
    ///
    /// # Errors
    /// As [`lease`](Self::lease) or [`lease_fixed`](Self::lease_fixed), and as [`PortLease::listen`].
    pub fn lease_bound(
        &self,
        holder: &str,
        port: Option<u16>,
        host: IpAddr,
    ) -> Result<(PortLease, TcpListener), PortError> {
        let acquire = |port| bind(host, port);
        match port {
            Some(port) => self.lease_fixed_where(holder, port, acquire),
            None => self.lease_where(holder, acquire),
        }
    }

    /// Give a port back by its number.
    ///
    /// # Errors
    /// [`PortError::NotHeld`].
    pub fn release(&self, port: u16) -> Result<(), PortError> {
        let mut table = self.0.table.lock();
        if !table.is_held(port) {
            return Err(PortError::NotHeld { port });
        }
        table.give_back(port, true);
        Ok(())
    }

    /// Who holds a port.
    pub fn holder(&self, port: u16) -> Option<Arc<str>> {
        self.0.table.lock().holder(port).map(Arc::clone)
    }

    /// Every held port and its holder, in order.
    pub fn holders(&self) -> Vec<(u16, Arc<str>)> {
        let table = self.0.table.lock();
        table
            .held()
            .filter_map(|port| Some((port, Arc::clone(table.holder(port)?))))
            .collect()
    }

    /// How many ports of the range are not held.
    pub fn free(&self) -> usize {
        self.0.table.lock().free()
    }

    /// How many holders are remembered, of ports held or given back.
    pub fn remembered(&self) -> usize {
        self.0.table.lock().known()
    }

    #[inline]
    fn granted(&self, (port, stamp, holder): (u16, u32, &Arc<str>)) -> PortLease {
        PortLease {
            ports: self.clone(),
            port,
            stamp,
            holder: Arc::clone(holder),
        }
    }

    #[cold]
    fn exhausted(&self) -> PortError {
        PortError::Exhausted {
            first: self.0.first,
            last: self.0.last,
        }
    }
}

/// A probe, as something to acquire.
fn probe(free: impl Fn(u16) -> bool) -> impl Fn(u16) -> Result<(), PortError> {
    move |port| {
        if free(port) {
            Ok(())
        } else {
            Err(PortError::Stranger { port })
        }
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ports({}-{})", self.0.first, self.0.last)
    }
}
