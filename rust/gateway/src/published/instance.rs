//! One copy of a published service: is it there, how busy is it, how did its requests go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use backstay_traffic::pool::{Pool, PoolConfig, Protocol};
use backstay_traffic::{Candidate, Time, warmth};
use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;

use crate::traffic::{Health, Traffic, key_of, now};

/// Whether an instance can get requests, as the keeper says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has not said that it is there.
    #[default]
    Starting,
    /// Its probe succeeds, or it has none and runs.
    Ready,
    /// It fails its probe, ended, or is ending.
    Down,
}

/// A request's body on its way to an instance: the client's own, or none where it is asked again.
pub(crate) type Asked = Either<Incoming, Empty<Bytes>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: Arc<str>,
    pub(super) pool: Arc<Pool<Asked>>,
    pub(super) health: Health,
    protocol: Protocol,
    id: u64,
    outstanding: AtomicUsize,
    presence: AtomicU8,
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
            health: Health::default(),
            protocol,
            id: key_of(name),
            outstanding: AtomicUsize::new(0),
            presence: AtomicU8::new(Presence::default() as u8),
        }
    }

    /// Whether it is still what a route names.
    pub(super) fn is_at(&self, address: SocketAddr, protocol: Protocol) -> bool {
        self.pool.address() == address && self.protocol == protocol
    }

    /// True where it was ejected, and begins anew.
    pub(super) fn set_presence(&self, presence: Presence) -> bool {
        let before = self.presence.swap(presence as u8, Ordering::Relaxed);
        presence == Presence::Ready && before != presence as u8 && self.health.begins(now())
    }

    pub(super) fn presence(&self) -> Presence {
        match self.presence.load(Ordering::Relaxed) {
            0 => Presence::Starting,
            1 => Presence::Ready,
            _ => Presence::Down,
        }
    }

    pub(super) fn as_candidate(&self, traffic: &Traffic, now: Time) -> Candidate {
        Candidate {
            outstanding: self.outstanding.load(Ordering::Relaxed),
            warmth: warmth(self.health.since(), now, traffic.slow_start()),
            ejected: self.health.ejection.is_out(now),
            ..Candidate::new(self.id)
        }
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
