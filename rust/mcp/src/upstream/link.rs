//! The way messages take to a server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::call::CallError;
use super::core::Core;
use super::info::ServerInfo;
use super::over_http::HttpLink;
use super::over_sse::SseLink;
use crate::jsonrpc;
use crate::transport::stdio::Outbox;
use crate::version::Era;

/// The way messages take to a server.
pub(super) enum Link {
    Stdio(Arc<Outbox>),
    Http(Arc<HttpLink>),
    Sse(Arc<SseLink>),
}

impl Link {
    /// Sends what wants no answer: a notification, or our answer to a request. False if it could not be
    /// taken: whoever waits for it hears of the reason elsewhere.
    pub(super) fn send(&self, message: &[u8], max_bytes: usize) -> bool {
        match self {
            Self::Stdio(outbox) => outbox
                .push(max_bytes, |out| out.extend_from_slice(message))
                .is_ok(),
            Self::Http(link) => link.enqueue(message),
            Self::Sse(link) => link.enqueue(message),
        }
    }

    /// Which era a server that nobody remembers is taken for first.
    ///
    /// Over pipes `initialize` comes first: some servers take `server/discover` for the client's choice of the era for
    /// as long as the process lives, and some never answer it and end. Over HTTP each request stands for itself, and
    /// the specification has the modern one come first. The transport of 2024-11-05 has sessions only.
    pub(super) fn usual_era(&self) -> Era {
        match self {
            Self::Stdio(_) | Self::Sse(_) => Era::Legacy,
            Self::Http(_) => Era::Modern,
        }
    }

    /// Whether there can be another era than the usual one.
    pub(super) fn has_eras(&self) -> bool {
        !matches!(self, Self::Sse(_))
    }

    /// Whether a request that is never answered spoils the connection for the next one.
    pub(super) fn is_process(&self) -> bool {
        matches!(self, Self::Stdio(_))
    }

    /// Ends a handshake: says `notifications/initialized`.
    pub(super) async fn greet(&self, core: &Core, info: &Arc<ServerInfo>) -> Result<(), CallError> {
        let message = jsonrpc::notification("notifications/initialized", None);
        if let Self::Http(link) = self {
            return link.greet(core, info, message).await;
        }
        core.send(&message);
        Ok(())
    }

    /// Whether everything the server sends comes in one stream, so that where a message came says nothing of its call.
    pub(super) fn is_one_stream(&self) -> bool {
        !matches!(self, Self::Http(_))
    }

    /// The id of the session that `initialize` opened, where the transport has sessions.
    pub(super) fn opened(&self) -> Option<String> {
        if let Self::Http(link) = self {
            link.opened()
        } else {
            None
        }
    }

    /// The handshake is done, or was done by a former daemon.
    pub(super) fn start_listening(&self) {
        if let Self::Http(link) = self {
            link.start_listening();
        }
    }

    /// Sends nothing more.
    pub(super) fn close(&self) {
        match self {
            Self::Stdio(outbox) => outbox.close(),
            Self::Http(link) => link.close(),
            Self::Sse(link) => link.close(),
        }
    }

    /// Waits until what was accepted is sent and the server knows that we go, if that can be had in that time.
    pub(super) async fn farewell(&self, core: &Core, within: Duration) {
        match self {
            Self::Stdio(outbox) => drop(timeout(within, outbox.done()).await),
            Self::Http(link) => link.farewell(core, within).await,
            Self::Sse(_) => {}
        }
    }
}
