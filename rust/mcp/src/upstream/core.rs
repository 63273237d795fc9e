//! What all transports share: a message came in, whose is it?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};

use super::call::{CallError, CallTag, Reply};
use super::closing::{CloseReason, Printed, Unended};
use super::inbound::Inbound;
use super::info::ServerInfo;
use super::link::Link;
use super::pending::{Pending, Stray};
use super::serving::Serving;
use super::subscription::{Subscription, Told};
use crate::envelope::{Batch, Envelope, EnvelopeError, Kind, Limits, Rewrite, excerpt};
use crate::jsonrpc::{self, RpcError};
use crate::modern::meta::ModernMeta;
use crate::raw::RawJson;
use crate::version::{Era, Version};

/// The part of a connection that its tasks and callers share.
pub(super) struct Core {
    pub(super) instance: String,
    pub(super) limits: Limits,
    pub(super) pending: Pending,
    /// Wakes whoever looks after the time of calls. See [`super::watch`].
    pub(super) sooner: Arc<Notify>,
    pub(super) link: Link,
    pub(super) inbound: Arc<dyn Inbound>,
    /// Replaced only when an HTTP session is renewed; read for each call's version.
    pub(super) info: RwLock<Arc<ServerInfo>>,
    /// Whether `info` is a modern server's, for those who ask at every call.
    modern: AtomicBool,
    /// What our own requests to a modern server say of us.
    pub(super) own: ModernMeta,
    pub(super) subscription: Subscription,
    /// Whether somebody is finding out if the server's era is what it was. See [`super::doubt`].
    pub(super) doubted: AtomicBool,
    pub(super) serving: Serving,
    pub(super) tallies: Tallies,
    /// The first lines of stdout that were no messages.
    printed: Mutex<Printed>,
    /// Told of what a handshake cannot survive.
    pub(super) fault: Mutex<Option<oneshot::Sender<Fault>>>,
    /// Set when the handshake is done: before, the end of the connection is the handshake's to tell.
    pub(super) announced: AtomicBool,
}

/// What every transport's connection is told of the configuration.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) instance: String,
    pub(super) limits: Limits,
    pub(super) generation: u32,
    /// What our own requests to a modern server say of us.
    pub(super) own: ModernMeta,
}

/// What the handshake hears of before its answer comes, if that comes at all.
#[derive(Debug)]
pub(super) enum Fault {
    WrongId {
        expected: String,
        got: String,
    },
    /// An error that names no request: it could not read ours.
    Refused(RpcError),
    /// A message over the limit, which starts so.
    TooLarge(String),
    /// A line of more than so many bytes, before any message.
    Endless(usize, String),
    Garbage,
}

/// Running counts.
#[derive(Default)]
pub(super) struct Tallies {
    pub(super) former_generation: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) garbage: AtomicU64,
    pub(super) oversize: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// Garbage beyond this, before a handshake is done, is no banner any more.
const GARBAGE_LINES: u64 = 1000;
const SHOWN_LINES: usize = 5;

/// How long a modern server may take to open its stream before the connection counts as made without it.
const LISTENING: Duration = Duration::from_secs(2);

impl Core {
    pub(super) fn new(shared: Shared, link: Link, inbound: Arc<dyn Inbound>) -> Arc<Self> {
        Arc::new(Self {
            instance: shared.instance,
            limits: shared.limits,
            pending: Pending::new(shared.generation),
            sooner: Arc::default(),
            link,
            inbound,
            info: RwLock::new(Arc::new(ServerInfo::unknown())),
            modern: AtomicBool::new(false),
            own: shared.own,
            subscription: Subscription::default(),
            doubted: AtomicBool::new(false),
            serving: Serving::default(),
            tallies: Tallies::default(),
            printed: Mutex::default(),
            fault: Mutex::default(),
            announced: AtomicBool::new(false),
        })
    }

    /// Notes what the server says of itself now.
    pub(super) fn set_info(&self, info: Arc<ServerInfo>) {
        self.modern
            .store(info.era() == Era::Modern, Ordering::Release);
        *self.info.write() = info;
    }

    /// Whether the server is modern.
    pub(super) fn is_modern(&self) -> bool {
        self.modern.load(Ordering::Acquire)
    }

    /// The server is known: it may tell what happens on its own.
    pub(super) async fn start_listening(self: &Arc<Self>) {
        if self.is_modern() {
            self.subscription.start(self, LISTENING).await;
        } else {
            self.link.start_listening();
        }
    }

    /// Takes what a server sent: a message or, in 2025-03-26, a batch. `related` is the call whose response it came in.
    pub(super) fn receive(
        self: &Arc<Self>,
        bytes: Bytes,
        related: Option<u64>,
    ) -> Result<(), EnvelopeError> {
        let batches = self.info.read().version.is_some_and(Version::has_batches);
        if !batches {
            self.dispatch(&Envelope::parse(bytes, self.limits)?, related);
            return Ok(());
        }
        match Envelope::parse_batch(bytes, self.limits)? {
            Batch::One(message) => self.dispatch(&message, related),
            Batch::Many(messages) => {
                for message in messages {
                    match message {
                        Ok(message) => self.dispatch(&message, related),
                        Err(error) => self.garbage(format!("in a batch: {error}").as_bytes()),
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes what came in response to a call. Its answer is given back where it is all that came, so that nobody has to
    /// be woken for it; whatever else there is goes where it belongs.
    pub(super) fn receive_answer(
        self: &Arc<Self>,
        bytes: Bytes,
        id: u64,
    ) -> Result<Option<Result<Reply, CallError>>, EnvelopeError> {
        if self.info.read().version.is_some_and(Version::has_batches) {
            return self.receive(bytes, Some(id)).map(|()| None);
        }
        let message = Envelope::parse(bytes, self.limits)?;
        let answers = matches!(message.kind(), Kind::Response | Kind::Error)
            && Pending::is_of(message.id_bytes(), id)
            && self.pending.leave(id);
        if answers {
            return Ok(Some(self.reply_of(message)));
        }
        self.dispatch(&message, Some(id));
        Ok(None)
    }

    /// An answer as its caller gets it.
    fn reply_of(&self, message: Envelope) -> Result<Reply, CallError> {
        if message.result().is_none_or(|result| result.is_object()) {
            return Ok(Reply(Box::new(message)));
        }
        let shown = excerpt(
            message
                .result()
                .as_ref()
                .map_or(b"", |result| result.as_bytes()),
        );
        Err(CallError::BadResult {
            instance: self.instance.clone(),
            shown,
        })
    }

    fn dispatch(self: &Arc<Self>, message: &Envelope, related: Option<u64>) {
        match message.kind() {
            Kind::Response | Kind::Error => self.answered(message),
            Kind::Notification if self.is_modern() => self.told(message, related),
            Kind::Notification => self.notified(message, related),
            // A modern server asks in its results, and nothing may be answered to it.
            Kind::Request if self.is_modern() => self.garbage(message.bytes()),
            Kind::Request => self.asked(message, related),
        }
    }

    fn answered(&self, message: &Envelope) {
        let outcome = || self.reply_of(message.clone());
        let Err(stray) = self.pending.answer(message.id_bytes(), outcome) else {
            return;
        };
        let tally = match stray {
            Stray::FormerGeneration => &self.tallies.former_generation,
            Stray::Late => &self.tallies.late,
            Stray::Unknown => {
                self.report(match (message.id(), message.error()) {
                    (None, Some(error)) => Fault::Refused(RpcError::read(&error)),
                    (id, _) => {
                        let got = id.map_or_else(|| "null".to_owned(), |id| id.as_str().to_owned());
                        Fault::WrongId {
                            expected: self.pending.latest().to_string(),
                            got,
                        }
                    }
                });
                &self.tallies.unknown
            }
        };
        tally.fetch_add(1, Ordering::Relaxed);
    }

    fn notified(self: &Arc<Self>, message: &Envelope, related: Option<u64>) {
        match &*message.method() {
            "notifications/progress" => {
                let Some(token) = message.reported_token() else {
                    return self.garbage(message.bytes());
                };
                let Ok(listener) = self.pending.progress(token.as_bytes()) else {
                    self.tallies.late.fetch_add(1, Ordering::Relaxed);
                    return;
                };
                if let Some((sink, own)) = listener {
                    let restored = message.rewrite(&Rewrite {
                        reported_token: Some(&own),
                        ..Rewrite::default()
                    });
                    if let Ok(restored) = Envelope::parse(restored, self.limits) {
                        sink.progress(restored);
                    }
                }
            }
            "notifications/cancelled" => {
                if let Some(id) = message.request_id() {
                    self.serving.cancel(&id);
                }
            }
            _ => self
                .inbound
                .notification(message.clone(), self.related(related)),
        }
    }

    /// Takes a modern server's notification: of a call's, or of a stream that `subscriptions/listen` opened.
    fn told(self: &Arc<Self>, message: &Envelope, related: Option<u64>) {
        if message.method() == "notifications/cancelled" {
            // It ends a stream so, and may end nothing else.
            let stream = message
                .request_id()
                .and_then(|id| self.pending.of(id.as_bytes()).ok())
                .filter(|id| self.subscription.is_live(*id));
            if let Some(id) = stream {
                let ended = || Err(CallError::Cancelled);
                let _ = self.pending.answer(RawJson::number(id).as_bytes(), ended);
            }
            return;
        }
        let ours = |spelled: &[u8]| match self.pending.of(spelled) {
            Ok(id) => Some(id),
            Err((Stray::FormerGeneration, Some(id))) if self.subscription.dismiss(id) => {
                // A daemon that was killed left it open.
                self.send_cancelled(id, None);
                None
            }
            Err(_) => None,
        };
        match self.subscription.told(message, ours) {
            Told::Elsewhere => self.notified(message, related),
            Told::Ours(message) => self.notified(&message, related),
            Told::Opened => {}
            Told::Stale => {
                self.tallies.late.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes a notification that nobody sent: what happened while nobody listened.
    pub(super) fn hear(self: &Arc<Self>, message: Vec<u8>) {
        if let Ok(message) = Envelope::parse(message, self.limits) {
            self.notified(&message, None);
        }
    }

    fn asked(self: &Arc<Self>, message: &Envelope, related: Option<u64>) {
        let Some(id) = message.id() else {
            return;
        };
        if message.method() == "ping" {
            return self.reply(&id, Ok(RawJson::EMPTY_OBJECT));
        }
        let future = self
            .inbound
            .request(message.clone(), self.asked_of(related));
        let core = Arc::clone(self);
        let of = id.clone();
        let served = self.serving.start(&id, async move {
            let outcome = future.await;
            if core.serving.end(&of) {
                core.reply(&of, outcome);
            }
        });
        if let Err(refused) = served {
            self.reply(&id, Err(refused));
        }
    }

    /// The caller a message belongs to, where that is known.
    fn related(&self, of: Option<u64>) -> Option<CallTag> {
        of.map_or_else(
            || {
                self.pending
                    .only_session()
                    .filter(|_| self.link.is_one_stream())
            },
            |id| self.pending.tag(id),
        )
    }

    /// The caller who is asked. Servers ask on the stream of no call, too, while they work on one.
    fn asked_of(&self, of: Option<u64>) -> Option<CallTag> {
        self.related(of).or_else(|| self.pending.only_session())
    }

    /// Answers a request of the server's.
    pub(super) fn reply(&self, id: &RawJson, outcome: Result<RawJson, RpcError>) {
        let message = match outcome {
            Ok(result) => jsonrpc::response(id, &result),
            Err(error) => jsonrpc::error(Some(id), &error),
        };
        self.send(&message);
    }

    /// Sends what wants no answer. What cannot be sent is dropped and counted.
    pub(super) fn send(&self, message: &[u8]) {
        if !self.link.send(message, self.limits.max_bytes) {
            self.tallies.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts what is no message, and keeps the first of it for the diagnosis.
    pub(super) fn garbage(&self, bytes: &[u8]) {
        self.tallies.garbage.fetch_add(1, Ordering::Relaxed);
        let mut printed = self.printed.lock();
        printed.lines += 1;
        printed.unended = None;
        if printed.first.len() < SHOWN_LINES {
            printed.first.push(excerpt(bytes));
        }
        let lines = printed.lines;
        drop(printed);
        if lines > GARBAGE_LINES {
            self.report(Fault::Garbage);
        }
    }

    /// A line has begun whose end has not come yet; kept for the diagnosis.
    pub(super) fn unended(&self, begun: &[u8]) {
        self.printed.lock().unended = Some(Unended {
            bytes: begun.len(),
            shown: excerpt(begun),
        });
    }

    /// A line before the first message has gone on for more than `limit` bytes.
    pub(super) fn endless(&self, limit: usize, shown: String) {
        self.tallies.oversize.fetch_add(1, Ordering::Relaxed);
        self.report(Fault::Endless(limit, shown));
    }

    pub(super) fn printed(&self) -> Printed {
        self.printed.lock().clone()
    }

    /// A message over the limit has begun.
    pub(super) fn oversize(&self, shown: String) {
        self.tallies.oversize.fetch_add(1, Ordering::Relaxed);
        self.report(Fault::TooLarge(shown));
    }

    /// A message over the limit has ended: whose answer it was is told.
    pub(super) fn skipped(&self, id: Option<&RawJson>) {
        if let Some(id) = id {
            let error = || CallError::AnswerTooLarge {
                instance: self.instance.clone(),
                limit: self.limits.max_bytes,
            };
            let _ = self.pending.answer(id.as_bytes(), || Err(error()));
        }
    }

    fn report(&self, fault: Fault) {
        if let Some(handshake) = self.fault.lock().take() {
            let _ = handshake.send(fault);
        }
    }

    /// Ends the connection, once.
    pub(super) fn close(&self, reason: &CloseReason) {
        self.subscription.stop();
        self.link.close();
        if self.pending.close(&self.instance, reason) {
            self.serving.clear();
            if self.announced.load(Ordering::SeqCst) {
                self.inbound.closed(reason);
            }
        }
    }

    pub(super) fn closed_error(&self, reason: CloseReason, sent: bool) -> CallError {
        CallError::Closed {
            instance: self.instance.clone(),
            reason,
            sent,
        }
    }
}
