//! One copy of a published service: is it there, how busy is it, does it answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Instant;

use ahash::RandomState;
use backstay_traffic::pool::{Pool, PoolConfig, Protocol};
use backstay_traffic::{Breaker, BreakerConfig, Candidate, Open, Time};
use hyper::body::Incoming;

/// What is known of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// It has not said that it is there.
    #[default]
    Starting,
    /// Its probe succeeds, or it has none and runs.
    Ready,
    /// It fails its probe, ended, or is ending.
    Down,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: Arc<str>,
    pub(super) pool: Arc<Pool<Incoming>>,
    protocol: Protocol,
    id: u64,
    outstanding: AtomicUsize,
    health: AtomicU8,
    breaker: Breaker,
    /// Where the breaker's times count from.
    origin: Instant,
}

impl Instance {
    pub(super) fn new(name: &str, address: SocketAddr, protocol: Protocol) -> Self {
        let config = PoolConfig {
            protocol,
            ..PoolConfig::default()
        };
        Self {
            name: name.into(),
            pool: Pool::new(address, config),
            protocol,
            // The same name is the same choice in every daemon of the fleet.
            id: RandomState::with_seeds(1, 2, 3, 4).hash_one(name),
            outstanding: AtomicUsize::new(0),
            health: AtomicU8::new(Health::default() as u8),
            breaker: Breaker::new(BreakerConfig::default()),
            origin: Instant::now(),
        }
    }

    /// Whether it is still what a route names.
    pub(super) fn is_at(&self, address: SocketAddr, protocol: Protocol) -> bool {
        self.pool.address() == address && self.protocol == protocol
    }

    pub(super) fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Starting,
            1 => Health::Ready,
            _ => Health::Down,
        }
    }

    pub(super) fn as_candidate(&self) -> Candidate {
        Candidate {
            outstanding: self.outstanding.load(Ordering::Relaxed),
            ..Candidate::new(self.id)
        }
    }

    /// Whether its breaker lets a request through. Who is let through says what came of it.
    pub(super) fn check(&self) -> Result<(), Open> {
        self.breaker.check(self.now())
    }

    pub(super) fn succeeded(&self) {
        self.breaker.success(self.now());
    }

    /// True: its breaker has opened for that.
    pub(super) fn failed(&self) -> bool {
        self.breaker.failure(self.now())
    }

    fn now(&self) -> Time {
        Time::since(self.origin)
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// A request that an instance is busy with.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Instance>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
