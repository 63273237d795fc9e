//! The way messages take to a server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::transport::stdio::Outbox;

/// The way messages take to a server.
pub(super) enum Link {
    Stdio(Arc<Outbox>),
}

impl Link {
    /// Sends what wants no answer: a notification, or our answer to a request. It is dropped if it can't be sent:
    /// whoever waits for it hears of the reason elsewhere.
    pub(super) fn send(&self, message: &[u8], max_bytes: usize) {
        match self {
            Self::Stdio(outbox) => {
                let _ = outbox.push(max_bytes, |out| out.extend_from_slice(message));
            }
        }
    }

    /// Whether everything the server sends comes in one stream, so that a message does not tell its call by where it came.
    pub(super) fn is_one_stream(&self) -> bool {
        match self {
            Self::Stdio(_) => true,
        }
    }

    /// The session's id, where the transport has one.
    pub(super) fn session(&self) -> Option<String> {
        match self {
            Self::Stdio(_) => None,
        }
    }

    /// Waits until what was accepted is sent, if it can be sent in that time.
    pub(super) async fn farewell(&self, within: Duration) {
        match self {
            Self::Stdio(outbox) => drop(timeout(within, outbox.done()).await),
        }
    }

    /// Sends nothing more.
    pub(super) fn close(&self) {
        match self {
            Self::Stdio(outbox) => outbox.close(),
        }
    }
}
