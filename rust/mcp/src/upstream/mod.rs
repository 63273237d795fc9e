//! One live connection to one instance of a server.
//!
//! [`Upstream::connect`] shakes hands (or takes over a former daemon's handshake), and from then on
//! many tasks call through one `Arc<Upstream>`: answers find their caller by id, progress finds its sink, and what
//! the server wants of us goes to [`Inbound`].
//!
//! Ids are ours: eight bits of the daemon's generation under a counter, so they stay small (servers exist that read
//! 32 bits) and an answer to a call of a daemon that has died since is recognised and dropped.

mod call;
mod closing;
mod config;
mod inbound;
mod info;

use std::sync::Arc;

pub use call::{Call, CallError, CallSink, CallTag, Outgoing, Reply};
pub use closing::{CloseReason, HandshakeError, Printed};
pub use config::{Endpoint, Pipes, Target, UpstreamConfig};
pub use inbound::Inbound;
pub use info::ServerInfo;

use crate::raw::RawJson;

/// One live connection to one instance of a server.
pub struct Upstream {
    info: Arc<ServerInfo>,
    instance: String,
}

/// What a connection counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers to calls of a former daemon.
    pub former_generation: u64,
    /// Answers to calls that had ended (timed out, cancelled, answered twice).
    pub late: u64,
    /// Answers to calls that nobody made.
    pub unknown: u64,
    /// Lines or events that are no MCP message.
    pub garbage: u64,
    /// Messages over the limit, thrown away.
    pub oversize: u64,
    /// Calls in flight now.
    pub in_flight: usize,
}

impl Upstream {
    /// Connects and shakes hands.
    pub async fn connect(
        config: UpstreamConfig,
        inbound: Arc<dyn Inbound>,
    ) -> Result<Arc<Self>, HandshakeError> {
        let _ = inbound;
        std::future::ready(()).await;
        Err(HandshakeError::BadTarget {
            instance: config.instance,
            reason: "not built yet".into(),
        })
    }

    /// What the server said of itself. It changes only when an HTTP server forgets the session ([`Inbound::renewed`]).
    pub fn info(&self) -> Arc<ServerInfo> {
        Arc::clone(&self.info)
    }

    /// Sends a request and waits for its answer. Dropping the future calls it off, and the server is told.
    pub async fn call(&self, call: Call<'_>) -> Result<Reply, CallError> {
        let _ = call;
        std::future::ready(()).await;
        Err(CallError::Closed {
            instance: self.instance.clone(),
            reason: CloseReason::Closed,
        })
    }

    /// Sends a notification, in order with what was sent before. It is dropped if the connection has ended.
    pub fn notify(&self, method: &str, params: Option<&RawJson>) {
        let _ = (method, params);
    }

    /// Calls off a call: the server is told, and [`Upstream::call`] returns [`CallError::Cancelled`] at once.
    pub fn cancel(&self, tag: CallTag, reason: Option<&str>) {
        let _ = (tag, reason);
    }

    /// Ends the connection: calls in flight end with an error. Over stdio this closes our copy of stdin and leaves the
    /// process alone; over HTTP the session is deleted.
    pub async fn close(&self) {
        std::future::ready(()).await;
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}
