//! Calls: what goes to a server and what comes back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use thiserror::Error;

use super::closing::CloseReason;
use crate::envelope::{Envelope, Kind, Limits, Rewrite};
use crate::jsonrpc::{self, RpcError};
use crate::modern::meta::ModernMeta;
use crate::raw::RawJson;

/// The caller's name for a call. Unique among the calls in flight of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CallTag {
    /// The client session it belongs to. What a server asks in return goes there.
    pub session: u64,
    /// The call.
    pub call: u64,
}

/// One request to a server.
pub struct Call<'a> {
    /// What to send.
    pub message: Outgoing<'a>,
    /// Which call of which client session it is; none for calls of our own.
    pub tag: Option<CallTag>,
    /// How long it may take without a sign of progress; none means [`UpstreamConfig::call_timeout`](super::UpstreamConfig::call_timeout).
    pub timeout: Option<Duration>,
    /// Where its progress goes, if anybody listens.
    pub sink: Option<Arc<dyn CallSink>>,
    /// What a modern server is told besides; a legacy one is not. Boxed: most calls have none.
    pub modern: Option<Box<ModernCall>>,
}

/// What a call to a modern server says besides its message.
#[derive(Debug, Default)]
pub struct ModernCall {
    /// Whose call it is. Without it a client's message says that itself, and one of our own says that it is ours.
    pub meta: Option<ModernMeta>,
    /// The client's own `Mcp-Param-*` headers; where the tool's schema says what they are, that decides.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl<'a> Call<'a> {
    /// One of our own, with the upstream's usual patience.
    pub fn new(method: &'a str, params: Option<RawJson>) -> Self {
        Self {
            message: Outgoing::New { method, params },
            tag: None,
            timeout: None,
            sink: None,
            modern: None,
        }
    }
}

/// A request's content.
#[derive(Clone, Debug)]
pub enum Outgoing<'a> {
    /// One of our own.
    New {
        /// `tools/list`.
        method: &'a str,
        /// Its parameters.
        params: Option<RawJson>,
    },
    /// A client's, passed on: `id` and progress token become ours, `rewrite` replaces names, and every other
    /// byte stays.
    Forward {
        /// The client's request.
        envelope: &'a Envelope,
        /// What else to replace; `id` and `progress_token` in it are ignored.
        rewrite: &'a Rewrite<'a>,
    },
}

impl Outgoing<'_> {
    /// Its method.
    pub(super) fn method(&self) -> Cow<'_, str> {
        match self {
            Self::New { method, .. } => Cow::Borrowed(method),
            Self::Forward { envelope, .. } => envelope.method(),
        }
    }

    /// Its `params.uri`, as it goes to the server.
    pub(super) fn uri(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::New { params, .. } => params
                .as_ref()
                .and_then(|params| params.member("uri"))
                .and_then(|uri| uri.read::<String>().ok())
                .map(Cow::Owned),
            Self::Forward { envelope, rewrite } => {
                rewrite.uri.map(Cow::Borrowed).or_else(|| envelope.uri())
            }
        }
    }
}

/// Hears of a call before it ends. Called on the connection's own task, so it must not wait.
pub trait CallSink: Send + Sync {
    /// A `notifications/progress` of this call, with the client's own token in it again.
    fn progress(&self, notification: Envelope);

    /// How long ago the server last waited for its client, which it asked something; zero while it does, none if
    /// it never did. A call's time stands still meanwhile.
    fn asked(&self) -> Option<Duration> {
        None
    }

    /// The server ended its event stream before the answer, to be asked for the rest later (2025-11-25's
    /// polling). We come back for it; whoever waits for us may be let go meanwhile in the same way.
    fn paused(&self) {}
}

/// A server's answer to a call: its result or its error, every byte of it. Boxed, as it passes through many hands.
#[derive(Clone, Debug)]
pub struct Reply(pub(super) Box<Envelope>);

impl Reply {
    /// Reads an answer that was kept.
    pub fn parse(bytes: impl Into<Bytes>) -> Option<Self> {
        let message = Envelope::parse(bytes, Limits::default()).ok()?;
        matches!(message.kind(), Kind::Response | Kind::Error).then(|| Self(Box::new(message)))
    }

    /// One of our own: what a server of the other era would have answered.
    pub(super) fn made(result: &Result<RawJson, RpcError>) -> Option<Self> {
        let id = RawJson::number(0);
        let message = match result {
            Ok(result) => jsonrpc::response(&id, result),
            Err(error) => jsonrpc::error(Some(&id), error),
        };
        let message = Envelope::parse(message, Limits::default()).ok()?;
        Some(Self(Box::new(message)))
    }

    /// The same, in memory of its own: what it was read with is let go of, which may be a hundred times as large.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self(Box::new(self.0.alone()))
    }

    /// The result, or the server's error.
    pub fn outcome(&self) -> Result<RawJson, RawJson> {
        self.0
            .result()
            .ok_or_else(|| self.0.error().unwrap_or(RawJson::NULL))
    }

    /// Whether the server answered with an error.
    pub fn is_error(&self) -> bool {
        self.0.kind() == Kind::Error
    }

    /// The id as the server spelled it.
    pub(crate) fn id_bytes(&self) -> &[u8] {
        self.0.id_bytes()
    }

    /// The answer, every byte of it, under our id.
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }

    /// The answer with the client's id in the place of ours.
    pub fn with_id(&self, id: &RawJson) -> Bytes {
        self.0.rewrite(&Rewrite {
            id: Some(id),
            ..Rewrite::default()
        })
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    /// The connection has ended, or ended while the call was in flight.
    #[error("`{instance}` is gone: {reason}")]
    Closed {
        /// The instance.
        instance: String,
        /// Why.
        reason: CloseReason,
        /// Whether it may have seen the call.
        sent: bool,
    },
    /// Too much time went by without a sign of progress.
    #[error("`{instance}` did not answer within {after:?}")]
    TimedOut {
        /// The instance.
        instance: String,
        /// How long it had.
        after: Duration,
    },
    /// The caller called it off.
    #[error("the call was cancelled")]
    Cancelled,
    /// The message may not be sent: it is over a limit.
    #[error("the message to `{instance}` has {bytes} bytes, over the limit of {limit}")]
    TooLarge {
        /// The instance.
        instance: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The answer was over the limit and was thrown away.
    #[error("the answer of `{instance}` was over the limit of {limit} bytes")]
    AnswerTooLarge {
        /// The instance.
        instance: String,
        /// The limit.
        limit: usize,
    },
    /// The server reads slower than calls come: what waits for it is at its limit.
    #[error("`{instance}` does not read what is sent: {waiting} bytes wait")]
    Overloaded {
        /// The instance.
        instance: String,
        /// How much waits.
        waiting: usize,
    },
    /// The answer is not one the protocol allows: a result that is no object.
    #[error("`{instance}` answered with a result that is not an object: {shown}")]
    BadResult {
        /// The instance.
        instance: String,
        /// The start of it.
        shown: String,
    },
    /// The answer is of a kind that nobody here knows, or that no answer to this request may be.
    #[error(
        "`{instance}` answered with a result of the type `{kind}`, which no answer here can be"
    )]
    UnknownResult {
        /// The instance.
        instance: String,
        /// Its `resultType`.
        kind: String,
    },
    /// An HTTP server could not be reached, or broke off.
    #[error("`{instance}` cannot be reached: {reason}")]
    Unreachable {
        /// The instance.
        instance: String,
        /// Why.
        reason: String,
        /// Whether it may have seen the call.
        sent: bool,
    },
    /// An HTTP server answered with a status that is no answer to a call.
    #[error("`{instance}` answered {status}: {reason}")]
    Http {
        /// The instance.
        instance: String,
        /// The status code.
        status: u16,
        /// What that means and what it said.
        reason: String,
    },
    /// The response to a call ended without an answer in it.
    #[error("`{instance}` ended its response without an answer: {reason}")]
    NoAnswer {
        /// The instance.
        instance: String,
        /// What came instead.
        reason: String,
    },
}

impl CallError {
    /// As a client may be told it.
    pub fn to_rpc(&self) -> RpcError {
        let code = match self {
            Self::Closed { .. } | Self::Unreachable { .. } => jsonrpc::CONNECTION_CLOSED,
            Self::TimedOut { .. } => jsonrpc::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => jsonrpc::INVALID_REQUEST,
            _ => jsonrpc::INTERNAL_ERROR,
        };
        RpcError::new(code, self.to_string())
    }

    /// One word for the errors' metric.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::TimedOut { .. } => "timeout",
            Self::Cancelled => "cancelled",
            Self::TooLarge { .. } | Self::AnswerTooLarge { .. } => "too_large",
            Self::Overloaded { .. } => "overloaded",
            Self::BadResult { .. } | Self::NoAnswer { .. } | Self::UnknownResult { .. } => {
                "bad_answer"
            }
            Self::Unreachable { .. } => "unreachable",
            Self::Http { .. } => "http",
        }
    }

    /// Whether the server certainly never saw the call, so that it may be tried elsewhere.
    pub fn never_sent(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. }
                | Self::Overloaded { .. }
                | Self::Closed { sent: false, .. }
                | Self::Unreachable { sent: false, .. }
        )
    }
}
