//! One request, from its sending to its answer, its time-out or its being called off.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use tokio::time::Instant;

use super::call::{CallError, CallSink, CallTag, ModernCall, Outgoing, Reply};
use super::closing::CloseReason;
use super::core::Core;
use super::handshake::DISCOVER;
use super::link::Link;
use super::pending::Entered;
use super::watch;
use crate::envelope::{Edit, Rewrite};
use crate::jsonrpc;
use crate::modern::meta::ModernMeta;
use crate::raw::RawJson;
use crate::transport::stdio::Refused;

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a sign of progress.
    pub(super) silence: Duration,
    /// At all.
    pub(super) total: Duration,
}

impl Patience {
    /// When it ends for a call that began and was heard of last then; none where it never does.
    pub(super) fn end(self, begun: Instant, heard: Instant) -> Option<Instant> {
        let ends = [
            heard.checked_add(self.silence),
            begun.checked_add(self.total),
        ];
        ends.into_iter().flatten().min()
    }

    /// Which of the two was too long.
    pub(super) fn exceeded(self, heard: Instant, now: Instant) -> Duration {
        if now.duration_since(heard) >= self.silence {
            self.silence
        } else {
            self.total
        }
    }
}

/// What a transport comes to that had to do something for an answer: perhaps the answer itself.
pub(super) type Driven = Result<Option<Reply>, CallError>;

/// A request that is not in flight any more, however it ended, must not stay in the table; and if
/// the server still works on it, it is told that nobody waits.
struct InFlight<'a> {
    core: &'a Core,
    id: u64,
    /// What to tell the server; none where it knows nothing of the call, or must not hear of it.
    farewell: Option<&'static str>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.core.pending.leave(self.id)
            && let Some(reason) = self.farewell
        {
            self.core.send_cancelled(self.id, Some(reason));
        }
    }
}

impl Core {
    /// Sends a request of our own and waits for its answer.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        message: &Outgoing<'_>,
        patience: Patience,
    ) -> Result<Reply, CallError> {
        let entered = self.enter(message, None, None, patience)?;
        self.carry(entered, message, None).await
    }

    /// Gives a request its id. It is to be [carried](Core::carry) at once.
    pub(super) fn enter(
        self: &Arc<Self>,
        message: &Outgoing<'_>,
        tag: Option<CallTag>,
        sink: Option<Arc<dyn CallSink>>,
        patience: Patience,
    ) -> Result<Entered, CallError> {
        let token = match message {
            Outgoing::Forward { envelope, .. } => envelope.progress_token(),
            Outgoing::New { .. } => None,
        };
        let entered = self
            .pending
            .enter(tag, sink, token, patience)
            .map_err(|reason| self.closed_error(reason, false))?;
        watch::see_to(self, entered.watch);
        Ok(entered)
    }

    /// Sends a request that has its id and waits for its answer.
    pub(super) async fn carry(
        self: &Arc<Self>,
        entered: Entered,
        message: &Outgoing<'_>,
        modern: Option<&ModernCall>,
    ) -> Result<Reply, CallError> {
        let id = entered.id;
        // "The `initialize` request MUST NOT be cancelled by clients."
        let opens = matches!(
            message,
            Outgoing::New {
                method: "initialize",
                ..
            }
        );
        let mut in_flight = InFlight {
            core: self,
            id,
            farewell: None,
        };
        let gone = (!opens).then_some("the caller is gone");
        let is_modern = self.is_modern()
            || matches!(
                message,
                Outgoing::New {
                    method: DISCOVER,
                    ..
                }
            );
        let outcome = match &self.link {
            Link::Stdio(outbox) => {
                outbox
                    .push(self.limits.max_bytes, |out| {
                        if is_modern {
                            message.write_modern(id, modern, &self.own, out);
                        } else {
                            message.write(id, out);
                        }
                    })
                    .map_err(|refused| self.refused(refused))?;
                in_flight.farewell = gone;
                self.wait(entered, pin!(pending())).await
            }
            Link::Http(link) if is_modern => {
                // The end of the response's stream calls it off, so that there is nothing to say.
                let mut body = Vec::new();
                message.write_modern(id, modern, &self.own, &mut body);
                let body = self.sized(body)?;
                let head = link.head(message, &body, modern);
                let mut drive = Box::pin(link.ask(self, id, body, head));
                let waiting = Box::pin(self.wait(entered, drive.as_mut()));
                waiting.await
            }
            Link::Http(link) => {
                let body = self.write(message, id)?;
                in_flight.farewell = gone;
                // Boxed: a call over pipes would have to have room for it.
                let mut drive = Box::pin(link.call(self, id, body, opens));
                self.wait(entered, drive.as_mut()).await
            }
            Link::Sse(link) => {
                let body = self.write(message, id)?;
                in_flight.farewell = gone;
                let mut drive = Box::pin(link.call(self, body).map_ok(|()| None));
                self.wait(entered, drive.as_mut()).await
            }
        };
        in_flight.farewell = match outcome {
            Err(CallError::TimedOut { .. }) if in_flight.farewell.is_some() => {
                Some("no answer in time")
            }
            _ => None,
        };
        outcome
    }

    fn write(&self, message: &Outgoing<'_>, id: u64) -> Result<Vec<u8>, CallError> {
        let mut body = Vec::new();
        message.write(id, &mut body);
        self.sized(body)
    }

    fn sized(&self, body: Vec<u8>) -> Result<Vec<u8>, CallError> {
        if body.len() > self.limits.max_bytes {
            return Err(self.refused(Refused::TooLarge(body.len())));
        }
        Ok(body)
    }

    /// Waits for an answer, or the end of the time for it, while `drive` does what the transport needs. It comes pinned,
    /// as by value it would be kept twice.
    async fn wait(
        &self,
        entered: Entered,
        mut drive: Pin<&mut impl Future<Output = Driven>>,
    ) -> Result<Reply, CallError> {
        let mut answer = entered.answer;
        let mut driving = true;
        loop {
            tokio::select! {
                biased;
                outcome = &mut answer => {
                    return outcome.unwrap_or_else(|_| Err(self.closed_error(CloseReason::Closed, true)));
                }
                outcome = &mut drive, if driving => {
                    if let Some(reply) = outcome? {
                        return Ok(reply);
                    }
                    driving = false;
                }
            }
        }
    }

    /// Tells the server that nobody waits for an answer any more. A modern one over HTTP sees that by itself.
    pub(super) fn send_cancelled(&self, id: u64, reason: Option<&str>) {
        if self.is_modern() && matches!(self.link, Link::Http(_)) {
            return;
        }
        let mut params = b"{\"requestId\":".to_vec();
        params.extend_from_slice(RawJson::number(id).as_bytes());
        if let Some(reason) = reason {
            params.extend_from_slice(b",\"reason\":");
            params.extend_from_slice(RawJson::string(reason).as_bytes());
        }
        params.push(b'}');
        let params = RawJson::trusted(params.into());
        self.send(&jsonrpc::notification(
            "notifications/cancelled",
            Some(&params),
        ));
    }

    fn refused(&self, refused: Refused) -> CallError {
        let instance = self.instance.clone();
        match refused {
            Refused::Full(waiting) => CallError::Overloaded { instance, waiting },
            Refused::TooLarge(bytes) => CallError::TooLarge {
                instance,
                bytes,
                limit: self.limits.max_bytes,
            },
            Refused::Closed => {
                let reason = self.pending.closed().unwrap_or(CloseReason::Closed);
                self.closed_error(reason, false)
            }
        }
    }
}

impl Outgoing<'_> {
    /// Appends the message as it goes to a modern server, which is told with each request who asks.
    fn write_modern(
        &self,
        id: u64,
        modern: Option<&ModernCall>,
        own: &ModernMeta,
        out: &mut Vec<u8>,
    ) {
        let id = RawJson::number(id);
        let said = modern.and_then(|modern| modern.meta.as_ref());
        match self {
            Self::New { method, params } => {
                let edits = said.unwrap_or(own).edits();
                let params = params.clone().unwrap_or(RawJson::EMPTY_OBJECT);
                let meta = params
                    .member("_meta")
                    .filter(RawJson::is_object)
                    .unwrap_or(RawJson::EMPTY_OBJECT)
                    .with_members(&edits);
                let params = params.with_members(&[Edit::Set("_meta", &meta)]);
                out.extend_from_slice(&jsonrpc::request(&id, method, Some(&params)));
            }
            Self::Forward { envelope, rewrite } => {
                let edits = said.map(ModernMeta::edits);
                envelope.rewrite_into(
                    &Rewrite {
                        id: Some(&id),
                        progress_token: Some(&id),
                        meta: edits.as_ref().map_or(rewrite.meta, |edits| &edits[..]),
                        ..**rewrite
                    },
                    out,
                );
            }
        }
    }

    /// Appends the message as it goes to the server: `id` is its id, and its progress token if it asked for progress.
    pub(super) fn write(&self, id: u64, out: &mut Vec<u8>) {
        let id = RawJson::number(id);
        match self {
            Self::New { method, params } => {
                out.extend_from_slice(&jsonrpc::request(&id, method, params.as_ref()));
            }
            Self::Forward { envelope, rewrite } => {
                envelope.rewrite_into(
                    &Rewrite {
                        id: Some(&id),
                        progress_token: Some(&id),
                        ..**rewrite
                    },
                    out,
                );
            }
        }
    }
}
