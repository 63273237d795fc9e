//! Ports: which ports the fleet holds, and for whom.
//!
//! A port is leased, never taken. The lowest free port goes first, but a port that was just given back waits
//! in quarantine while others are free: clients of its former holder may still knock. The former holder
//! itself gets it back at once. The quarantine counts ports, not seconds, so no clock is read here.
//!
//! The pool knows only the fleet's own ports. A stranger on the machine may hold one: [`Ports::lease_probed`]
//! asks first, at some eighty times the price.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;

use crate::bitmap::Bitmap;
use crate::error::PortError;

/// At most this many ports wait in quarantine, and at most a quarter of the range.
const QUARANTINE: usize = 256;
/// How many of its former ports a holder can have back.
const REMEMBERED: usize = 16;

/// The ports one machine lends to its services. Cloning is cheap and gives another handle to the same pool.
#[derive(Clone)]
pub struct Ports {
    first: u16,
    last: u16,
    /// Guards some loads and stores and is never held across a wait or a probe: a plain lock is fastest.
    state: Arc<Mutex<State>>,
}

/// One leased port. It can be copied, and given back once.
#[derive(Clone, Debug)]
pub struct PortLease {
    ports: Ports,
    port: u16,
    stamp: u32,
    holder: Arc<str>,
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
        self.ports.state.lock().is_current(self.port, self.stamp)
    }

    /// Give it back. False: it was given back before, through this handle or by number.
    pub fn release(&self) -> bool {
        let mut state = self.ports.state.lock();
        let current = state.is_current(self.port, self.stamp);
        if current {
            state.give_back(self.port, true);
        }
        current
    }
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
        let count = usize::from(last - first) + 1;
        let mut ready = Bitmap::default();
        for port in first..=last {
            ready.insert(port);
        }
        let state = State {
            first,
            ready,
            held: Bitmap::default(),
            quarantine: VecDeque::new(),
            most_quarantined: QUARANTINE.min(count / 4),
            range: vec![Port::default(); count],
            outside: HashMap::default(),
            former: HashMap::default(),
        };
        Ok(Self {
            first,
            last,
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// The range that is lent from.
    pub fn range(&self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// Lease a port: one that `holder` had before if such a one is free, else the lowest.
    ///
    /// # Errors
    /// [`PortError::Exhausted`] when all are held.
    pub fn lease(&self, holder: &str) -> Result<PortLease, PortError> {
        let mut state = self.state.lock();
        let port = state.pick(holder).ok_or_else(|| self.exhausted())?;
        Ok(self.grant(&mut state, holder, port))
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
        let mut state = self.state.lock();
        if state.held.contains(port) {
            let holder = state
                .port(port)
                .holder
                .as_deref()
                .unwrap_or_default()
                .to_owned();
            return Err(PortError::Held { port, holder });
        }
        Ok(self.grant(&mut state, holder, port))
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
        // Held until the end, so that no port is tried twice.
        let mut strangers = Vec::new();
        let found = loop {
            match self.lease(holder) {
                Ok(lease) if free(lease.port) => break Ok(lease),
                Ok(lease) => strangers.push(lease.port),
                Err(error) => break Err(error),
            }
        };
        let mut state = self.state.lock();
        for port in strangers {
            state.give_back(port, false);
        }
        found
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
        let lease = self.lease_fixed(holder, port)?;
        if free(port) {
            return Ok(lease);
        }
        self.state.lock().give_back(port, false);
        Err(PortError::Stranger { port })
    }

    /// Give a port back by its number.
    ///
    /// # Errors
    /// [`PortError::NotHeld`].
    pub fn release(&self, port: u16) -> Result<(), PortError> {
        let mut state = self.state.lock();
        if !state.held.contains(port) {
            return Err(PortError::NotHeld { port });
        }
        state.give_back(port, true);
        Ok(())
    }

    /// Who holds a port.
    pub fn holder(&self, port: u16) -> Option<Arc<str>> {
        let mut state = self.state.lock();
        if state.held.contains(port) {
            state.port(port).holder.clone()
        } else {
            None
        }
    }

    /// Every held port and its holder, in order.
    pub fn holders(&self) -> Vec<(u16, Arc<str>)> {
        let mut state = self.state.lock();
        let held: Vec<u16> = state.held.iter().collect();
        held.into_iter()
            .filter_map(|port| Some((port, state.port(port).holder.clone()?)))
            .collect()
    }

    /// How many ports of the range are not held.
    pub fn free(&self) -> usize {
        let state = self.state.lock();
        let held = state
            .held
            .iter()
            .filter(|port| self.range().contains(port))
            .count();
        state.range.len() - held
    }

    /// How many former holders are remembered.
    pub fn remembered(&self) -> usize {
        self.state.lock().former.len()
    }

    fn grant(&self, state: &mut State, holder: &str, port: u16) -> PortLease {
        let (holder, stamp) = state.take(holder, port);
        PortLease {
            ports: self.clone(),
            port,
            stamp,
            holder,
        }
    }

    fn exhausted(&self) -> PortError {
        PortError::Exhausted {
            first: self.first,
            last: self.last,
        }
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ports({}-{})", self.first, self.last)
    }
}

struct State {
    first: u16,
    held: Bitmap,
    /// Ports of the range that are neither held nor in quarantine.
    ready: Bitmap,
    /// Ports just given back, oldest first, with the stamp they had then. An entry is void once its port has
    /// another.
    quarantine: VecDeque<(u16, u32)>,
    most_quarantined: usize,
    range: Vec<Port>,
    /// Fixed ports outside the range, while held.
    outside: HashMap<u16, Port, RandomState>,
    /// Free ports by the name of who held them last, newest last.
    former: HashMap<Arc<str>, Vec<u16>, RandomState>,
}

#[derive(Default, Clone)]
struct Port {
    /// Who holds it, or held it last.
    holder: Option<Arc<str>>,
    /// Changes with each lease and each return, so that a handle to an old lease gives nothing back.
    stamp: u32,
}

impl State {
    fn in_range(&self, port: u16) -> bool {
        port >= self.first && usize::from(port - self.first) < self.range.len()
    }

    fn port(&mut self, port: u16) -> &mut Port {
        if self.in_range(port) {
            &mut self.range[usize::from(port - self.first)]
        } else {
            self.outside.entry(port).or_default()
        }
    }

    fn is_current(&mut self, port: u16, stamp: u32) -> bool {
        self.held.contains(port) && self.port(port).stamp == stamp
    }

    /// A free port of the range for `holder`.
    fn pick(&mut self, holder: &str) -> Option<u16> {
        if let Some(port) = self.former.get_mut(holder).and_then(Vec::pop) {
            return Some(port);
        }
        if let Some(port) = self.ready.lowest() {
            return Some(port);
        }
        // Nothing else is left: the port that waited longest.
        while let Some((port, stamp)) = self.quarantine.pop_front() {
            if self.port(port).stamp == stamp {
                return Some(port);
            }
        }
        None
    }

    /// Note a free port as held.
    fn take(&mut self, holder: &str, port: u16) -> (Arc<str>, u32) {
        self.held.insert(port);
        self.ready.remove(port);
        let known = self.port(port);
        known.stamp = known.stamp.wrapping_add(1);
        let stamp = known.stamp;
        if let Some(last) = known.holder.take() {
            if *last == *holder {
                known.holder = Some(Arc::clone(&last));
                self.forget(&last, port);
                return (last, stamp);
            }
            self.forget(&last, port);
        }
        let name: Arc<str> = holder.into();
        self.port(port).holder = Some(Arc::clone(&name));
        (name, stamp)
    }

    /// Take a port off its last holder's list. The list stays, for its next port.
    fn forget(&mut self, last: &Arc<str>, port: u16) {
        if let Some(ports) = self.former.get_mut(last)
            && !ports.is_empty()
        {
            ports.retain(|&other| other != port);
        }
    }

    /// Forget the holders of old, once they are more than could have a port.
    fn prune(&mut self) {
        if self.former.len() > 2 * self.range.len() + 64 {
            self.former.retain(|_, ports| !ports.is_empty());
        }
    }

    /// Note a held port as free; `reusable`: its holder may have it back.
    fn give_back(&mut self, port: u16, reusable: bool) {
        self.held.remove(port);
        if !self.in_range(port) {
            self.outside.remove(&port);
            return;
        }
        let known = self.port(port);
        known.stamp = known.stamp.wrapping_add(1);
        let stamp = known.stamp;
        if let Some(holder) = known.holder.take().filter(|_| reusable) {
            known.holder = Some(Arc::clone(&holder));
            if !self.former.contains_key(&holder) {
                self.prune();
            }
            let ports = self.former.entry(holder).or_default();
            if ports.len() == REMEMBERED {
                ports.remove(0);
            }
            ports.push(port);
        }
        while let Some(&(port, stamp)) = self.quarantine.back() {
            if self.port(port).stamp == stamp {
                break;
            }
            self.quarantine.pop_back();
        }
        self.quarantine.push_back((port, stamp));
        while self.quarantine.len() > self.most_quarantined {
            let Some((port, stamp)) = self.quarantine.pop_front() else {
                break;
            };
            if self.port(port).stamp == stamp {
                self.ready.insert(port);
            }
        }
    }
}
