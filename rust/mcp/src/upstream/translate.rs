//! Calls to a modern server, in the words of a legacy one where those are all that the caller knows.
//!
//! What has another form in 2026-07-28 is put into it here: `ping` asks `server/discover`, `resources/subscribe` and
//! `resources/unsubscribe` change what the stream of [`subscription`](super::subscription) tells, and
//! `logging/setLevel` has nobody to tell: the level goes with each call ([`ModernCall::meta`]).

use std::time::Duration;

use super::call::{Call, CallError, ModernCall, Outgoing, Reply};
use super::exchange::Patience;
use super::handshake::DISCOVER;
use super::{Upstream, link::Link};
use crate::jsonrpc::{INVALID_PARAMS, RpcError};
use crate::list::{self, List, ListLimits};
use crate::modern::errors::HEADER_MISMATCH;
use crate::modern::input;
use crate::modern::result::{RESULT_TYPE, ResultKind};
use crate::raw::RawJson;

/// How long the list of tools may take that is read because headers were not what the server wants.
const RELEARN: Duration = Duration::from_secs(10);

impl Upstream {
    /// Sends a request to a modern server and waits for its answer.
    pub(super) async fn call_modern(
        &self,
        call: Call<'_>,
        patience: Patience,
    ) -> Result<Reply, CallError> {
        let method = call.message.method();
        let empty = || Ok(RawJson::EMPTY_OBJECT);
        let outcome = match &*method {
            "ping" => self.discover(patience).await?,
            "logging/setLevel" => empty(),
            "resources/subscribe" => match call.message.uri() {
                Some(uri) => self
                    .core
                    .subscription
                    .subscribe(&uri, patience.silence)
                    .await
                    .and_then(|()| empty()),
                None => Err(no_uri(&method)),
            },
            "resources/unsubscribe" => match call.message.uri() {
                Some(uri) => {
                    self.core.subscription.unsubscribe(&uri);
                    empty()
                }
                None => Err(no_uri(&method)),
            },
            _ => {
                drop(method);
                let outcome = self.send_modern(call, patience).await;
                self.look_at_failure(&outcome);
                return outcome;
            }
        };
        Reply::made(&outcome)
            .ok_or_else(|| self.core.closed_error(super::CloseReason::Closed, true))
    }

    /// Whether it still answers: what `ping` is for.
    async fn discover(&self, patience: Patience) -> Result<Result<RawJson, RpcError>, CallError> {
        let message = Outgoing::New {
            method: DISCOVER,
            params: None,
        };
        let reply = self.core.exchange(&message, patience).await?;
        Ok(match reply.outcome() {
            Ok(_) => Ok(RawJson::EMPTY_OBJECT),
            Err(error) => Err(RpcError::read(&error)),
        })
    }

    async fn send_modern(&self, call: Call<'_>, patience: Patience) -> Result<Reply, CallError> {
        let Call {
            message,
            tag,
            sink,
            modern,
            ..
        } = call;
        let modern = modern.as_deref();
        let entered = self.core.enter(&message, tag, sink.clone(), patience)?;
        let reply = self.core.carry(entered, &message, modern).await?;
        let reply = if self.should_relearn(&message, &reply) && self.relearn().await {
            // "The client SHOULD call `tools/list` …, then retry the original request with the appropriate headers."
            let entered = self.core.enter(&message, tag, sink, patience)?;
            self.core.carry(entered, &message, modern).await?
        } else {
            reply
        };
        self.check_kind(&message, modern, reply)
    }

    /// Whether a tool's annotations may be other ones than those that its call's headers were made by.
    fn should_relearn(&self, message: &Outgoing<'_>, reply: &Reply) -> bool {
        matches!(self.core.link, Link::Http(_))
            && reply.is_error()
            && message.method() == "tools/call"
            && reply
                .outcome()
                .is_err_and(|error| RpcError::read(&error).code == HEADER_MISMATCH)
    }

    async fn relearn(&self) -> bool {
        let limits = ListLimits {
            timeout: Some(RELEARN),
            ..ListLimits::default()
        };
        Box::pin(list::all(self, List::Tools, limits)).await.is_ok()
    }

    /// "A `resultType` of any value unrecognized by the client MUST be considered invalid." A client that says itself
    /// what it can do may know more kinds than we do.
    fn check_kind(
        &self,
        message: &Outgoing<'_>,
        modern: Option<&ModernCall>,
        reply: Reply,
    ) -> Result<Reply, CallError> {
        let speaks_itself = matches!(message, Outgoing::Forward { .. })
            && modern.is_none_or(|modern| modern.meta.is_none());
        let known = match ResultKind::of(reply.envelope().result_bytes()) {
            ResultKind::Complete => true,
            ResultKind::InputRequired => speaks_itself || input::may_ask(&message.method()),
            ResultKind::Other => speaks_itself,
        };
        if known || reply.is_error() {
            return Ok(reply);
        }
        let kind = reply
            .outcome()
            .ok()
            .and_then(|result| result.member(RESULT_TYPE));
        Err(CallError::UnknownResult {
            instance: self.core.instance.clone(),
            kind: kind.map_or_else(String::new, |kind| {
                kind.as_str().trim_matches('"').to_owned()
            }),
        })
    }
}

fn no_uri(method: &str) -> RpcError {
    RpcError::new(INVALID_PARAMS, format!("{method} needs `uri`"))
}
