//! A request and its response, whatever form that has.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{sleep, timeout};

use super::super::call::{CallError, Reply};
use super::super::core::Core;
use super::super::exchange::Driven;
use super::super::info::ServerInfo;
use super::super::pending::Pending;
use super::pump::{Ended, pump};
use super::session::forgotten;
use super::{EXPLANATION, HttpLink, LONGEST_RETRY, RETRY, is_events, kind};
use crate::envelope::Envelope;
use crate::jsonrpc::{self, RpcError};
use crate::raw::RawJson;
use crate::transport::http::{Body, BodyError, Events, Headers, Response, explain, read_whole};
use crate::version::Era;

/// How long the rest of a stream may take to end after its answer came, so that its connection can be used again.
const TAIL: Duration = Duration::from_secs(5);

/// What a request was made in.
#[derive(Clone, Copy)]
enum Within<'a> {
    /// In nothing: it opens a session.
    Opening,
    /// In a session, or what there is of one.
    Session(&'a Arc<ServerInfo>),
    /// It stands for itself: the server is asked as a modern one.
    Itself,
}

/// What became of a response.
enum Taken {
    /// The answer was in it, and here it is where nothing else was.
    Answered(Option<Reply>),
    /// The server does not know the session.
    Forgotten,
}

impl Taken {
    fn reply(self) -> Option<Reply> {
        match self {
            Self::Answered(reply) => reply,
            Self::Forgotten => None,
        }
    }
}

impl HttpLink {
    /// Sends a request and receives what comes in response, until its answer has come.
    pub(in super::super) async fn call(
        self: &Arc<Self>,
        core: &Arc<Core>,
        id: u64,
        body: Vec<u8>,
        opens: bool,
    ) -> Driven {
        let body = Bytes::from(body);
        if opens {
            let response = self.post(core, None, body).await?;
            self.open_session(core, &response.headers)?;
            let taken = self.take(core, id, Within::Opening, response).await;
            return taken.map(Taken::reply);
        }
        let info = Arc::clone(&core.info.read());
        let response = self.post(core, Some(&info), body.clone()).await?;
        let taken = self.take(core, id, Within::Session(&info), response);
        if let Taken::Answered(reply) = taken.await? {
            return Ok(reply);
        }
        // Boxed: what seldom happens must not make every call's future large.
        Box::pin(self.call_again(core, id, info, body)).await
    }

    /// Sends a request to a modern server and receives what comes in response, until its answer has come. Dropped
    /// before that, the response ends, by which the server knows that nobody waits any more.
    pub(in super::super) async fn ask(
        self: &Arc<Self>,
        core: &Arc<Core>,
        id: u64,
        body: Vec<u8>,
        head: HeaderMap,
    ) -> Driven {
        let response = self.post_modern(core, head, body.into()).await?;
        let taken = self.take(core, id, Within::Itself, response).await;
        taken.map(Taken::reply)
    }

    /// The server has forgotten the session: it is greeted anew, and asked once more.
    async fn call_again(
        self: &Arc<Self>,
        core: &Arc<Core>,
        id: u64,
        stale: Arc<ServerInfo>,
        body: Bytes,
    ) -> Driven {
        Self::renew(Arc::clone(self), Arc::clone(core), stale).await?;
        let info = Arc::clone(&core.info.read());
        if info.era() == Era::Modern {
            return Err(CallError::Unreachable {
                instance: core.instance.clone(),
                reason: "it was replaced by a modern server while the call was under way"
                    .to_owned(),
                sent: true,
            });
        }
        let response = self.post(core, Some(&info), body).await?;
        match self
            .take(core, id, Within::Session(&info), response)
            .await?
        {
            Taken::Answered(reply) => Ok(reply),
            Taken::Forgotten => Err(no_answer(core, "it forgets every session at once")),
        }
    }

    /// Receives the response to a request.
    async fn take(
        &self,
        core: &Arc<Core>,
        id: u64,
        within: Within<'_>,
        response: Response,
    ) -> Result<Taken, CallError> {
        let Response {
            status,
            headers,
            body,
        } = response;
        if !status.is_success() {
            let taken = Self::take_refusal(core, id, within, (status, headers), body);
            return Box::pin(taken).await;
        }
        let kind = kind(&headers);
        if kind.eq_ignore_ascii_case("text/event-stream") {
            return Box::pin(self.take_events(core, id, within, body)).await;
        }
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(no_answer(
                core,
                &format!("{status} with content of the type `{kind}`"),
            ));
        }
        let body = match read_whole(body, core.limits.max_bytes).await {
            Ok(body) => body,
            Err(BodyError::TooLarge { limit }) => {
                core.oversize(String::new());
                return Err(CallError::AnswerTooLarge {
                    instance: core.instance.clone(),
                    limit,
                });
            }
            Err(error) => return Err(no_answer(core, &error.to_string())),
        };
        match core.receive_answer(body, id) {
            Err(error) => Err(no_answer(core, &error.to_string())),
            Ok(Some(reply)) => Ok(Taken::Answered(Some(reply?))),
            Ok(None) if core.pending.is_waiting(id) => Err(no_answer(
                core,
                "the JSON it sent is no answer to the request",
            )),
            Ok(None) => Ok(Taken::Answered(None)),
        }
    }

    /// Receives a response whose status says no.
    async fn take_refusal(
        core: &Arc<Core>,
        id: u64,
        within: Within<'_>,
        (status, headers): (StatusCode, Headers),
        body: Body,
    ) -> Result<Taken, CallError> {
        let said = read_whole(body, EXPLANATION).await.unwrap_or_default();
        // Such a status may come with the answer itself, which says more; anything else in it is not for us.
        if let Some(answer) = answer(core, id, within, &said)
            && core.receive(answer, Some(id)).is_ok()
            && !core.pending.is_waiting(id)
        {
            return Ok(Taken::Answered(None));
        }
        if let Within::Session(info) = within
            && info.session.is_some()
            && forgotten(status, &said)
        {
            return Ok(Taken::Forgotten);
        }
        Err(Self::refused(core, status, &headers, &said))
    }

    /// Receives a stream of events until the answer has come, taking it up again where the server allows that.
    async fn take_events(
        &self,
        core: &Arc<Core>,
        id: u64,
        within: Within<'_>,
        body: Body,
    ) -> Result<Taken, CallError> {
        let mut events = Events::new(body, core.limits.max_bytes);
        let mut wait = RETRY;
        loop {
            let broken = match pump(core, Some(id), &mut events).await? {
                Ended::Answered => {
                    // Whatever else it says is received too, and the connection is free when it has ended.
                    let core = Arc::clone(core);
                    tokio::spawn(async move {
                        timeout(TAIL, pump(&core, Some(id), &mut events))
                            .await
                            .map(drop)
                    });
                    return Ok(Taken::Answered(None));
                }
                Ended::Unanswered(broken) => broken,
            };
            let last = events.parser.last_id().to_owned();
            let info = match within {
                Within::Session(info) => Some(info),
                Within::Opening | Within::Itself => None,
            };
            // "Resumable SSE streams via `Last-Event-ID` are not supported", in 2026-07-28.
            if last.is_empty() || matches!(within, Within::Itself) {
                return Err(no_answer(
                    core,
                    broken.as_deref().unwrap_or("its event stream ended"),
                ));
            }
            // 2025-11-25: the server may end the stream at any time, and we come back for the rest.
            if let Some(sink) = core.pending.sink(id).filter(|_| broken.is_none()) {
                sink.paused();
            }
            sleep(
                events
                    .parser
                    .retry()
                    .map_or(wait, |retry| retry.min(LONGEST_RETRY)),
            )
            .await;
            match self.get(info.map(|info| &**info), &last).await {
                Ok(response) if is_events(&response) => {
                    wait = RETRY;
                    events.continue_with(response.body);
                }
                Ok(response) => {
                    let status = response.status;
                    let why = explain(status, &response.headers, b"");
                    let reason = format!("its stream could not be taken up again: {status}, {why}");
                    return Err(no_answer(core, &reason));
                }
                Err(_) => wait = (wait * 2).min(LONGEST_RETRY), // the call's own time ends this
            }
        }
    }
}

/// The answer to a request in what was said to a status that says no, if it is there.
fn answer(core: &Core, id: u64, within: Within<'_>, said: &Bytes) -> Option<Bytes> {
    let message = Envelope::parse(said.clone(), core.limits).ok()?;
    if Pending::is_of(message.id_bytes(), id) {
        return Some(said.clone());
    }
    // A modern server may refuse a request before it has read whose it is.
    let error = message.error().filter(|_| message.id().is_none())?;
    matches!(within, Within::Itself).then(|| {
        let id = RawJson::number(id);
        jsonrpc::error(Some(&id), &RpcError::read(&error)).into()
    })
}

fn no_answer(core: &Core, reason: &str) -> CallError {
    CallError::NoAnswer {
        instance: core.instance.clone(),
        reason: reason.to_owned(),
    }
}
