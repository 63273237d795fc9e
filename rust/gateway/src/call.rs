//! One request of a client on its way through the gateway, and where what belongs to it goes.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use backstay_mcp::modern::meta::ModernMeta;
use backstay_mcp::{CallSink, CallTag, Envelope, ModernCall, RawJson, Rewrite, Upstream, Version};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::log_level::LogLevel;
use crate::modern::rounds::Rounds;
use crate::session::{EventStream, Keep, Session};

/// See the module.
pub(crate) struct Call {
    pub(crate) session: Arc<Session>,
    /// The client's id of it, as it was spelled.
    pub(crate) id: RawJson,
    /// Its name upstream.
    pub(crate) tag: CallTag,
    /// Whether the client takes an event stream as the answer.
    streams: bool,
    /// The answer's stream, from the first message before the answer on.
    stream: OnceLock<Arc<EventStream>>,
    /// Woken when there is one.
    opened: AtomicWaker,
    /// The connection it went out on. Held for one copy or assignment.
    upstream: Mutex<Option<Arc<Upstream>>>,
    cancelled: AtomicBool,
    /// Woken when it is cancelled.
    cancel: AtomicWaker,
    /// What its server asks of the client. Held for one copy or assignment.
    asking: Mutex<Asking>,
    /// Only of a modern client's: the requests that it makes for this one call.
    rounds: Option<Box<Rounds>>,
}

/// How many questions to the client are open, and since when there are none.
#[derive(Clone, Copy, Debug, Default)]
struct Asking {
    open: usize,
    since: Option<Instant>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "call {:?} of {:?}", self.tag, self.session)
    }
}

impl Call {
    pub(crate) fn new(
        session: Arc<Session>,
        id: RawJson,
        tag: CallTag,
        streams: bool,
    ) -> Arc<Self> {
        Self::build(session, id, tag, streams, None)
    }

    /// A call of a modern client.
    pub(crate) fn modern(session: Arc<Session>, tag: CallTag, rounds: Rounds) -> Arc<Self> {
        let id = rounds.id();
        Self::build(session, id, tag, true, Some(Box::new(rounds)))
    }

    fn build(
        session: Arc<Session>,
        id: RawJson,
        tag: CallTag,
        streams: bool,
        rounds: Option<Box<Rounds>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            session,
            id,
            tag,
            streams,
            stream: OnceLock::new(),
            opened: AtomicWaker::new(),
            upstream: Mutex::default(),
            cancelled: AtomicBool::new(false),
            cancel: AtomicWaker::new(),
            asking: Mutex::default(),
            rounds,
        })
    }

    /// The requests of a modern client for this call; none of a legacy client's.
    pub(crate) fn rounds(&self) -> Option<&Rounds> {
        self.rounds.as_deref()
    }

    /// Its server waits for the client as long as the guard lives, and the call's time with it.
    pub(crate) fn asks(self: &Arc<Self>) -> Asks {
        self.asking.lock().open += 1;
        Asks(Arc::clone(self))
    }

    /// Sends the client a message that belongs to this call: on the answer's stream, or, where the client
    /// takes none, on its GET stream.
    pub(crate) fn send(&self, message: &[u8], keep: Keep) {
        if let Some(rounds) = &self.rounds {
            rounds.send(message, keep);
        } else if self.streams {
            self.open().push(message, keep);
        } else {
            self.session.general().push(message, keep);
        }
    }

    /// Makes the answer a stream.
    pub(crate) fn open(&self) -> &Arc<EventStream> {
        let stream = self.stream.get_or_init(|| {
            let stream = self.session.open_stream(&self.id);
            // A client of this version comes back with the id of the last event it saw, so it gets one at once.
            if self.session.version >= Version::V2025_11_25 {
                stream.prime();
            }
            stream
        });
        self.opened.wake();
        stream
    }

    /// The answer's stream, if it has become one.
    pub(crate) fn stream(&self) -> Option<Arc<EventStream>> {
        self.stream.get().cloned()
    }

    /// Whether something of it has reached the client: progress, a log message, a question.
    pub(crate) fn has_begun(&self) -> bool {
        let streamed = match &self.rounds {
            Some(rounds) => rounds.is_resumed() || rounds.stream().is_some(),
            None => self.stream.get().is_some(),
        };
        streamed || self.asked().is_some()
    }

    /// Whether the client takes a stream.
    pub(crate) fn may_stream(&self) -> bool {
        self.streams
    }

    /// The answer's stream, once it has become one. One task may wait for it.
    pub(crate) fn poll_stream(&self, cx: &mut Context<'_>) -> Poll<Arc<EventStream>> {
        if self.stream.get().is_none() {
            self.opened.register(cx.waker());
        }
        // Looked at after registering, so that no opening is missed.
        self.stream().map_or(Poll::Pending, Poll::Ready)
    }

    /// What a modern server is told with this call: who asks and can do what, and which log messages it wants. A modern
    /// client says that itself.
    pub(crate) fn for_modern_server(&self, upstream: &Upstream) -> ModernCall {
        if let Some(rounds) = &self.rounds {
            return ModernCall {
                meta: None,
                headers: rounds.headers().to_vec(),
            };
        }
        let session = &self.session;
        // A legacy client that asked for no level gets what servers send unasked.
        let level = session.level().unwrap_or(LogLevel::Info);
        let logs = session.level().is_some() || upstream.info().capabilities.logging();
        ModernCall {
            meta: Some(ModernMeta::new(
                session.client.clone(),
                session.capabilities.raw().clone(),
                logs.then(|| level.as_str()),
            )),
            headers: Vec::new(),
        }
    }

    /// It goes out on this connection.
    pub(crate) fn sent_to(&self, upstream: &Arc<Upstream>) {
        *self.upstream.lock() = Some(Arc::clone(upstream));
    }

    /// The client called it off: the server is told, if it has it.
    pub(crate) fn call_off(&self, reason: Option<&str>) {
        let upstream = self.upstream.lock().clone();
        match upstream {
            Some(upstream) => upstream.cancel(self.tag, reason),
            None => self.cancel(),
        }
    }

    /// Ends it here.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.cancel.wake();
    }

    /// Whether the client called it off.
    pub(crate) fn is_called_off(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Waits until the client calls it off. One task may.
    pub(crate) async fn called_off(&self) {
        poll_fn(|cx| {
            if !self.is_called_off() {
                self.cancel.register(cx.waker());
            }
            if self.is_called_off() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// See [`Call::asks`].
#[derive(Debug)]
pub(crate) struct Asks(Arc<Call>);

impl Drop for Asks {
    fn drop(&mut self) {
        let mut asking = self.0.asking.lock();
        asking.open -= 1;
        asking.since = Some(Instant::now());
    }
}

impl CallSink for Call {
    fn progress(&self, notification: Envelope) {
        let Some(rounds) = &self.rounds else {
            return self.send(notification.bytes(), Keep::IfRoom);
        };
        // The request that waits now may go by another token than the one that began.
        let Some(token) = rounds.token() else { return };
        if notification.reported_token().as_ref() == Some(&token) {
            return rounds.send(notification.bytes(), Keep::IfRoom);
        }
        let restored = notification.rewrite(&Rewrite {
            reported_token: Some(&token),
            ..Rewrite::default()
        });
        rounds.send(&restored, Keep::IfRoom);
    }

    fn asked(&self) -> Option<Duration> {
        let asking = *self.asking.lock();
        match asking.open {
            0 => asking.since.map(|since| since.elapsed()),
            _ => Some(Duration::ZERO),
        }
    }

    fn paused(&self) {
        if self.rounds.is_none() && self.streams && self.session.version >= Version::V2025_11_25 {
            self.open().pause();
        }
    }
}
