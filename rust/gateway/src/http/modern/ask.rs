//! The answer to a request of 2026-07-28.
//!
//! It is JSON until something has to be said before it or it takes long; then it is an event stream, which cannot be
//! resumed. A client that closes it, or goes away before it began, has called the request off. When a legacy server asks
//! in the middle of a call, the answer is what it asks, and the call waits for the client to come back
//! ([`parked`](crate::modern::parked)).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use backstay_mcp::modern::input::{self, InputRequired};
use backstay_mcp::{Envelope, Limits, RawJson, Rewrite, RpcError, jsonrpc};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::super::answer;
use super::super::asking::{Answered, Coming};
use super::super::mcp::Accepts;
use super::status;
use crate::call::Call;
use crate::core::Core;
use crate::modern::parked::{Resumed, Running};
use crate::modern::rounds::{Rounds, Woken};
use crate::requests::{self, Answer};
use crate::session::{EventStream, Keep, Scope, Session};

/// A new call, or one that waited for this request.
pub(super) fn begin(
    core: &Arc<Core>,
    scope: &Scope,
    params: &[(HeaderName, HeaderValue)],
    session: Arc<Session>,
    message: &Envelope,
) -> Result<Resumed, RpcError> {
    let id = message.id().unwrap_or(RawJson::NULL);
    if let Some(resumed) = core.modern.parked.take(scope, message)? {
        let call = &resumed.call;
        for (key, value) in &resumed.answers {
            let question = RawJson::string(key);
            // What is no answer leaves its question open, and it is asked again.
            if value.is_object() && call.session.asked.settle(&question, Ok(value.clone())) {
                call.rounds().inspect(|rounds| rounds.close(key));
            }
        }
        call.rounds()
            .inspect(|rounds| rounds.go_on(id, message.progress_token()));
        return Ok(resumed);
    }
    let may_ask = input::may_ask(&message.method());
    let rounds = Rounds::new(id, message.progress_token(), may_ask, params.to_vec());
    let tag = core.tag(&session);
    let call = Call::modern(session, tag, rounds);
    let running: Running = Box::pin({
        let (core, call, message) = (Arc::clone(core), Arc::clone(&call), message.clone());
        async move {
            let level = call.session.level();
            let _held = level.map(|level| core.sessions.hold_level(level));
            if level.is_some() {
                core.spread_level().await;
            }
            let answer = requests::answer(&core, &call, &message).await;
            call.session.close();
            answer
        }
    });
    Ok(Resumed {
        call,
        answers: Vec::new(),
        running,
    })
}

/// A request on its way: the future of its answer. Dropped before its end, the call is called off.
pub(in super::super) struct Asking {
    call: Arc<Call>,
    answer: Pin<Box<dyn Future<Output = Answered> + Send>>,
    /// Whether the answer may be a stream.
    events: bool,
}

impl Asking {
    pub(super) fn new(
        core: &Arc<Core>,
        accepts: Accepts,
        message: Envelope,
        resumed: Resumed,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let call = Arc::clone(&resumed.call);
        let asked = ask(Arc::clone(core), accepts, message, resumed, place);
        Self {
            call,
            answer: Box::pin(asked),
            events: accepts.events,
        }
    }
}

impl Future for Asking {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        self.answer.as_mut().poll(cx)
    }
}

impl Coming for Asking {
    /// The stream is opened, and is the answer the next time that this is polled.
    fn takes_long(&mut self) -> Option<Answered> {
        if self.events {
            self.call.rounds().map(Rounds::open);
        }
        None
    }
}

/// Answers a request, or has it wait for its client.
async fn ask(
    core: Arc<Core>,
    accepts: Accepts,
    message: Envelope,
    resumed: Resumed,
    place: OwnedSemaphorePermit,
) -> Answered {
    let Resumed {
        call, mut running, ..
    } = resumed;
    let Some(rounds) = call.rounds() else {
        // A call of a modern client has them.
        return Answered::from(answer::empty(StatusCode::INTERNAL_SERVER_ERROR));
    };
    let mut gone = Gone(Some(Arc::clone(&call)));
    if !accepts.json {
        rounds.open();
    }
    let stream = loop {
        tokio::select! {
            biased;
            answer = &mut running => {
                gone.0 = None;
                return last(rounds, accepts, under(answer, rounds));
            }
            woken = rounds.woken(!accepts.events) => match woken {
                Woken::Streams(stream) => break stream,
                Woken::Asked => match park(&core, &message, &call, running) {
                    Ok(answer) => {
                        gone.0 = None;
                        return answer_with(accepts, answer);
                    }
                    // It has thought better of it.
                    Err(still) => running = still,
                },
            },
        }
    };
    let reader = stream.read(0);
    gone.0 = None;
    let held = Reads {
        call: Arc::clone(&call),
        stream: Arc::clone(&stream),
        _place: place,
    };
    tokio::spawn(stream_on(core, message, call, running, stream));
    Answered::from(answer::events_holding(reader, Box::new(held)))
}

/// Goes on behind the head of a streamed answer, to its last message.
async fn stream_on(
    core: Arc<Core>,
    message: Envelope,
    call: Arc<Call>,
    mut running: Running,
    stream: Arc<EventStream>,
) {
    let Some(rounds) = call.rounds() else { return };
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut running => break under(answer, rounds),
            _ = rounds.woken(true) => match park(&core, &message, &call, running) {
                Ok(answer) => break answer,
                Err(still) => running = still,
            },
        }
    };
    let bytes = answer.into_bytes();
    if !bytes.is_empty() {
        stream.push(&bytes, Keep::Always);
    }
    stream.finish();
}

/// The result that asks the client, and has the call wait for it. An error gives the call back: nothing is asked.
fn park(
    core: &Arc<Core>,
    message: &Envelope,
    call: &Arc<Call>,
    running: Running,
) -> Result<Answer, Running> {
    let Some((rounds, requests)) = call
        .rounds()
        .and_then(|rounds| Some((rounds, rounds.pause()?)))
    else {
        return Err(running);
    };
    let id = rounds.id();
    match core.modern.parked.park(message, call, running) {
        Ok(state) => {
            let asked = InputRequired {
                requests,
                state: Some(RawJson::string(&state)),
            };
            Ok(Answer::Whole(jsonrpc::response(&id, &asked.write()).into()))
        }
        Err(running) => {
            call.call_off(Some("too many calls wait for their clients"));
            // It is told so, and ends.
            tokio::spawn(running);
            let error = RpcError::new(
                jsonrpc::INTERNAL_ERROR,
                "too many calls wait for what their clients were asked; try again later",
            );
            Ok(Answer::error(&id, &error))
        }
    }
}

/// The answer under the id of the request that waits for it, which may have come after it was written.
fn under(answer: Answer, rounds: &Rounds) -> Answer {
    let id = rounds.id();
    let rewritten = |bytes: Bytes| match Envelope::parse(bytes.clone(), Limits::default()) {
        Ok(message) if message.id().as_ref() != Some(&id) => message.rewrite(&Rewrite {
            id: Some(&id),
            ..Rewrite::default()
        }),
        _ => bytes,
    };
    match answer {
        Answer::Whole(bytes) if rounds.is_resumed() => Answer::Whole(rewritten(bytes)),
        Answer::Failed(bytes, code) if rounds.is_resumed() => {
            Answer::Failed(rewritten(bytes), code)
        }
        Answer::Nothing => Answer::error(
            &id,
            &RpcError::new(jsonrpc::INTERNAL_ERROR, "the call was called off"),
        ),
        answer => answer,
    }
}

/// An answer whose request is over: on the stream where one has begun.
fn last(rounds: &Rounds, accepts: Accepts, answer: Answer) -> Answered {
    match rounds.stream().filter(|_| accepts.events) {
        Some(stream) => {
            stream.push(&answer.into_bytes(), Keep::Always);
            stream.finish();
            Answered::from(answer::events_holding(stream.read(0), Box::new(())))
        }
        None => answer_with(accepts, answer),
    }
}

fn answer_with(accepts: Accepts, answer: Answer) -> Answered {
    if !accepts.json {
        let stream = EventStream::bare();
        stream.push(&answer.into_bytes(), Keep::Always);
        stream.finish();
        return Answered::from(answer::events_holding(stream.read(0), Box::new(())));
    }
    match answer {
        Answer::Whole(bytes) => Answered::Json([bytes, Bytes::new(), Bytes::new()]),
        Answer::Pieces(pieces) => Answered::Json(pieces),
        Answer::Failed(bytes, code) => Answered::from(answer::json(status(code), bytes)),
        Answer::Refused(refused) => Answered::from(answer::refused(*refused)),
        Answer::Nothing => Answered::from(answer::empty(StatusCode::ACCEPTED)),
    }
}

/// Calls a call off when its client goes away before the answer has begun.
struct Gone(Option<Arc<Call>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(call) = &self.0 {
            call.call_off(Some(CLOSED));
        }
    }
}

/// Calls a call off when its client closes the stream before the last message was on it.
struct Reads {
    call: Arc<Call>,
    stream: Arc<EventStream>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Reads {
    fn drop(&mut self) {
        if !self.stream.is_finished() {
            self.call.call_off(Some(CLOSED));
        }
    }
}

const CLOSED: &str = "the client closed the response";
