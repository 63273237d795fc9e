//! Streamable HTTP of 2026-07-28: every POST stands for itself.
//!
//! An answer is JSON until something has to be said before it or it takes long; then it is an event stream,
//! which cannot be resumed. A client that closes it, or goes away before it began, has called the request off. When a
//! legacy server asks in the middle of a call, the answer is what it asks, and the call waits for the client to come
//! back (`modern/parked.rs`).

use std::sync::Arc;

use backstay_mcp::modern::errors::{
    self, HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_VERSION,
};
use backstay_mcp::modern::headers;
use backstay_mcp::modern::input::{self, InputRequired};
use backstay_mcp::modern::meta::RequestMeta;
use backstay_mcp::version::MODERN;
use backstay_mcp::{Envelope, Kind, Limits, RawJson, Rewrite, RpcError, jsonrpc};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::answer;
use super::body::Body;
use super::listener::Peer;
use super::mcp::Accepts;
use super::post::{self, LONG};
use crate::call::Call;
use crate::core::Core;
use crate::fault;
use crate::log_level::LogLevel;
use crate::modern::listeners;
use crate::modern::parked::{Resumed, Running};
use crate::modern::rounds::{Rounds, Woken};
use crate::requests::{self, Answer};
use crate::session::{EventStream, Keep, Scope, Session};

/// Whether a message says that it is of 2026-07-28 or later.
pub(super) fn is_modern(message: &Envelope) -> bool {
    message.kind() == Kind::Request
        && !RequestMeta::read(message).is_ok_and(|meta| !meta.is_modern())
}

pub(super) async fn serve(
    core: &Arc<Core>,
    scope: Scope,
    accepts: Accepts,
    compared: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let bytes = match post::whole(&head, body, core.config.max_body).await {
        Ok(bytes) => bytes,
        Err(answer) => return answer,
    };
    match Envelope::parse(bytes, Limits::with_max_bytes(core.config.max_body)) {
        Err(error) => answer::refusal(StatusCode::BAD_REQUEST, error.code(), error.to_string()),
        Ok(message) => match message.kind() {
            Kind::Request => Box::pin(answer(core, scope, accepts, &head, compared, message)).await,
            // The core of the protocol has none over HTTP: closing the stream is what cancels.
            Kind::Notification => answer::empty(StatusCode::ACCEPTED),
            Kind::Response | Kind::Error => answer::refusal(
                StatusCode::BAD_REQUEST,
                jsonrpc::INVALID_REQUEST,
                "clients of 2026-07-28 send no responses: answers to a server are a retry's `inputResponses`",
            ),
        },
    }
}

/// Answers one request. `compared`: its headers must say what its body says.
pub(super) async fn answer(
    core: &Arc<Core>,
    scope: Scope,
    accepts: Accepts,
    head: &Parts,
    compared: bool,
    message: Envelope,
) -> Response<Body> {
    let id = message.id().unwrap_or(RawJson::NULL);
    let admitted = admit(core, &scope, head, compared, &message);
    let session = match admitted {
        Ok(session) => session,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, Some(&id), &error),
    };
    let Some(place) = core.modern.place() else {
        let error = RpcError::new(
            jsonrpc::INTERNAL_ERROR,
            "the gateway has no place for another request now",
        );
        return answer::later(
            answer::error(StatusCode::SERVICE_UNAVAILABLE, Some(&id), &error),
            1,
        );
    };
    let outcome = if message.method() == "subscriptions/listen" {
        listen(core, scope, accepts, &message, place).await
    } else {
        match begin(core, &scope, head, session, &message) {
            Ok(resumed) => Ok(ask(core, accepts, message, resumed, place).await),
            Err(error) => Err(error),
        }
    };
    outcome.unwrap_or_else(|error| answer::error(status(error.code), Some(&id), &error))
}

/// Checks what every request says of itself, and makes what stands for it inside.
fn admit(
    core: &Core,
    scope: &Scope,
    head: &Parts,
    compared: bool,
    message: &Envelope,
) -> Result<Arc<Session>, RpcError> {
    let meta = RequestMeta::read(message).map_err(backstay_mcp::modern::meta::MetaFault::to_rpc)?;
    if let Some(version) = meta.version()
        && version != MODERN
    {
        // What it speaks decides what else it would have to say.
        if compared {
            headers::check(&head.headers, message, &meta)?;
        }
        return Err(errors::unsupported_version(&version));
    }
    meta.required()
        .map_err(backstay_mcp::modern::meta::MetaFault::to_rpc)?;
    if compared {
        headers::check(&head.headers, message, &meta)?;
        check_mirrored(core, scope, head, message)?;
    }
    let level = match meta.log_level() {
        None => None,
        Some(level) => Some(level.parse::<LogLevel>().map_err(|()| {
            fault::invalid_params(format!("`{level}` in `params._meta` is no log level"))
        })?),
    };
    let session = Session::passing(
        core.sessions.number(),
        core.config.generation,
        scope.clone(),
        meta.client_capabilities().unwrap_or(RawJson::EMPTY_OBJECT),
        meta.client_info().unwrap_or(RawJson::EMPTY_OBJECT),
        level,
    );
    if let Some(Peer(address)) = head.extensions.get() {
        session.speaks_from(*address);
    }
    Ok(session)
}

/// Compares the headers of annotated arguments with the arguments.
fn check_mirrored(
    core: &Core,
    scope: &Scope,
    head: &Parts,
    message: &Envelope,
) -> Result<(), RpcError> {
    if message.method() != "tools/call" {
        return Ok(());
    }
    let view = core.view(scope);
    let Some(to) = message.name().and_then(|name| view.tool(&name).cloned()) else {
        return Ok(());
    };
    if to.mirrors.is_empty() {
        return Ok(());
    }
    let arguments = message.arguments();
    for mirror in &to.mirrors {
        let header = headers::one(&head.headers, &mirror.header, &mirror.header)?;
        mirror
            .check(header, arguments.as_ref())
            .map_err(|what| errors::header_mismatch(&what))?;
    }
    Ok(())
}

/// A new call, or one that waited for this request.
fn begin(
    core: &Arc<Core>,
    scope: &Scope,
    head: &Parts,
    session: Arc<Session>,
    message: &Envelope,
) -> Result<Resumed, RpcError> {
    let answers = match message.input_responses() {
        None => Vec::new(),
        Some(raw) => input::responses(&raw)
            .ok_or_else(|| fault::invalid_params("`inputResponses` is not an object"))?,
    };
    let id = message.id().unwrap_or(RawJson::NULL);
    if let Some(resumed) = core.modern.parked.take(scope, message)? {
        let call = &resumed.call;
        for (key, value) in answers {
            // What is no answer leaves its question open, and it is asked again.
            if value.is_object() && call.session.asked.settle(&RawJson::string(&key), Ok(value)) {
                call.rounds().inspect(|rounds| rounds.close(&key));
            }
        }
        call.rounds()
            .inspect(|rounds| rounds.go_on(id, message.progress_token()));
        return Ok(resumed);
    }
    let may_ask = input::may_ask(&message.method());
    let mirrored = head.headers.iter();
    let mirrored = mirrored.filter(|(name, _)| name.as_str().starts_with(headers::PARAM_PREFIX));
    let mirrored = mirrored.map(|(name, value)| (name.clone(), value.clone()));
    let rounds = Rounds::new(id, message.progress_token(), may_ask, mirrored.collect());
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
    Ok(Resumed { call, running })
}

async fn ask(
    core: &Arc<Core>,
    accepts: Accepts,
    message: Envelope,
    resumed: Resumed,
    place: OwnedSemaphorePermit,
) -> Response<Body> {
    let Resumed { call, mut running } = resumed;
    let Some(rounds) = call.rounds() else {
        // A call of a modern client has them.
        return answer::empty(StatusCode::INTERNAL_SERVER_ERROR);
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
                Woken::Asked => match park(core, &message, &call, running) {
                    Ok(answer) => {
                        gone.0 = None;
                        return answer_with(accepts, answer);
                    }
                    // It has thought better of it.
                    Err(still) => running = still,
                },
            },
            () = tokio::time::sleep(LONG), if accepts.events => {
                rounds.open();
            }
        }
    };
    let reader = stream.read(0);
    gone.0 = None;
    let held = Reads {
        call: Arc::clone(&call),
        stream: Arc::clone(&stream),
        _place: place,
    };
    tokio::spawn(stream_on(Arc::clone(core), message, call, running, stream));
    answer::events_holding(reader, Box::new(held))
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
fn last(rounds: &Rounds, accepts: Accepts, answer: Answer) -> Response<Body> {
    match rounds.stream().filter(|_| accepts.events) {
        Some(stream) => {
            stream.push(&answer.into_bytes(), Keep::Always);
            stream.finish();
            answer::events_holding(stream.read(0), Box::new(()))
        }
        None => answer_with(accepts, answer),
    }
}

fn answer_with(accepts: Accepts, answer: Answer) -> Response<Body> {
    if !accepts.json {
        let stream = EventStream::bare();
        stream.push(&answer.into_bytes(), Keep::Always);
        stream.finish();
        return answer::events_holding(stream.read(0), Box::new(()));
    }
    match answer {
        Answer::Whole(bytes) => answer::json(StatusCode::OK, bytes),
        Answer::Failed(bytes, code) => answer::json(status(code), bytes),
        Answer::Pieces(pieces) => answer::pieces(pieces),
        Answer::Refused(refused) => answer::refused(*refused),
        Answer::Nothing => answer::empty(StatusCode::ACCEPTED),
    }
}

async fn listen(
    core: &Arc<Core>,
    scope: Scope,
    accepts: Accepts,
    message: &Envelope,
    place: OwnedSemaphorePermit,
) -> Result<Response<Body>, RpcError> {
    if !accepts.events {
        return Ok(answer::refusal(
            StatusCode::NOT_ACCEPTABLE,
            jsonrpc::INVALID_REQUEST,
            "the answer is text/event-stream; accept it",
        ));
    }
    let listening = listeners::listen(core, scope, message).await?;
    let reader = listening.stream().read(0);
    Ok(answer::events_holding(reader, Box::new((listening, place))))
}

/// The HTTP status of an error.
fn status(code: i64) -> StatusCode {
    match code {
        jsonrpc::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_VERSION => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
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
