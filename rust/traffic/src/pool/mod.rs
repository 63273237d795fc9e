//! The connections to one address: kept alive, capped, none set up on a warm call.
//!
//! A request takes an idle connection (the one used last, so that the rest can age) or opens one. When the answer's
//! body has been read the connection is idle again. A peer that closes an idle connection is noticed when it does,
//! and a request that met a connection on its end before a byte of it was sent goes out on another one. Whatever
//! was never sent comes back to the caller, who may have another address for it; that is why this is not the pool
//! of hyper-util, which keeps it.
//!
//! HTTP/2 has one connection for all requests.

mod reply;
mod send;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use thiserror::Error;

pub use reply::Reply;

/// How the address speaks HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// A request at a time on each connection.
    #[default]
    Http1,
    /// HTTP/2 without TLS, known beforehand.
    Http2,
}

/// The bounds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// How the address speaks.
    pub protocol: Protocol,
    /// Connections at a time; a request that finds them all in use is not sent.
    pub most: usize,
    /// Idle connections that are kept.
    pub most_idle: usize,
    /// How long one may be idle.
    pub idle_for: Duration,
    /// How long a connection may take to be set up.
    pub connect: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            protocol: Protocol::Http1,
            most: 4096,
            most_idle: 256,
            idle_for: Duration::from_secs(60),
            connect: Duration::from_secs(5),
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Error)]
pub enum Why {
    /// No connection could be set up.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    /// Setting one up took too long.
    #[error("connecting to {0} took too long")]
    ConnectTime(SocketAddr),
    /// As many connections are in use as may be.
    #[error("all {0} connections are in use")]
    Full(usize),
    /// The connection broke before an answer began.
    #[error("{}", describe(.0))]
    Broken(#[source] hyper::Error),
}

/// A request that has no answer; where no byte of it was sent, it is here again.
pub struct Failed<B> {
    /// Why.
    pub why: Why,
    /// The request, if it was never sent.
    pub unsent: Option<Box<Request<B>>>,
}

impl<B> fmt::Debug for Failed<B> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = self.unsent.is_none();
        write!(out, "{} (sent: {sent})", self.why)
    }
}

/// hyper's errors say what; their causes say why.
fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}

/// See the module.
pub struct Pool<B> {
    address: SocketAddr,
    config: PoolConfig,
    /// Idle connections, the one used last at the end. Held for one step.
    idle: Mutex<Vec<Idle<B>>>,
    /// The one HTTP/2 connection. Held to copy it.
    shared: Mutex<Option<http2::SendRequest<B>>>,
    /// One at a time sets the HTTP/2 connection up; the others wait for it.
    setting_up: tokio::sync::Mutex<()>,
    open: Arc<AtomicUsize>,
}

struct Idle<B> {
    connection: http1::SendRequest<B>,
    since: Instant,
}

impl<B> fmt::Debug for Pool<B> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "pool of {} to {}", self.open(), self.address)
    }
}

impl<B> Pool<B> {
    /// One without connections.
    pub fn new(address: SocketAddr, config: PoolConfig) -> Arc<Self> {
        Arc::new(Self {
            address,
            config,
            idle: Mutex::default(),
            shared: Mutex::default(),
            setting_up: tokio::sync::Mutex::default(),
            open: Arc::default(),
        })
    }

    /// Where it leads.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes out the connection used last, if one is alive. Closed and old ones go.
    fn take(&self) -> Option<http1::SendRequest<B>> {
        let mut idle = self.idle.lock();
        let last = loop {
            let last = idle.pop()?;
            if !last.connection.is_closed() {
                break last;
            }
        };
        if last.since.elapsed() > self.config.idle_for {
            // Those before it are older still.
            idle.clear();
            return None;
        }
        Some(last.connection)
    }

    fn give_back(&self, connection: http1::SendRequest<B>) {
        if connection.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.idle.lock();
        // The oldest are first: as many go as are due, or one where there is no room.
        let due = idle
            .iter()
            .take_while(|one| one.connection.is_closed() || now - one.since > self.config.idle_for)
            .count()
            .max((idle.len() + 1).saturating_sub(self.config.most_idle));
        let due = due.min(idle.len());
        idle.drain(..due);
        if self.config.most_idle > 0 {
            idle.push(Idle {
                connection,
                since: now,
            });
        }
    }
}

/// Counts one connection as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// A place below the cap.
    fn below(open: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let taken = open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < most).then_some(open + 1)
        });
        taken.is_ok().then(|| Self(Arc::clone(open)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
