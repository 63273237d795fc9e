//! Requests of clients, by method. A call's way is: session (the caller has it) → route by name →
//! authorise → limit → cache → pick an instance → forward the bytes → stream the answer.

mod attempt;
mod forward;
mod initialize;
mod kept;
mod locate;
mod notification;
mod rounds;

use std::sync::Arc;

use backstay_mcp::{Envelope, RawJson, RpcError, jsonrpc};
use bytes::Bytes;
use http::StatusCode;

pub(crate) use initialize::{Unopened, initialize};
pub(crate) use notification::notified;

use crate::call::Call;
use crate::core::Core;
use crate::fault;
use crate::fleet::{Destination, list_answer, list_of};
use crate::log_level::LogLevel;
use crate::modern::crossing;
use crate::session::Scope;

/// What a request is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One message.
    Whole(Bytes),
    /// One error, and its code.
    Failed(Bytes, i64),
    /// One message, in pieces that are sent one after the other.
    Pieces([Bytes; 3]),
    /// An error that says when to come back; a status says so too, where the answer has one.
    Refused(Box<Refused>),
    /// Nothing: it was called off.
    Nothing,
}

/// A call that was not let go.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) bytes: Bytes,
    pub(crate) status: StatusCode,
    /// In seconds.
    pub(crate) retry_after: u64,
}

impl Answer {
    fn result(id: &RawJson, result: &RawJson) -> Self {
        Self::Whole(jsonrpc::response(id, result).into())
    }

    pub(crate) fn error(id: &RawJson, error: &RpcError) -> Self {
        Self::Failed(jsonrpc::error(Some(id), error).into(), error.code)
    }

    /// The message in one piece; empty where there is none.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Whole(bytes) | Self::Failed(bytes, _) => bytes,
            Self::Pieces(pieces) => pieces.concat().into(),
            Self::Refused(refused) => refused.bytes,
            Self::Nothing => Bytes::new(),
        }
    }
}

/// Answers one request. It is in flight in its session already.
pub(crate) async fn answer(core: &Arc<Core>, call: &Arc<Call>, request: &Envelope) -> Answer {
    // It was called off before it came: nobody hears of it.
    if call.is_called_off() {
        return Answer::Nothing;
    }
    let answered = tokio::select! {
        biased;
        answered = dispatch(core, call, request) => answered,
        () = call.called_off() => return Answer::Nothing,
    };
    answered.unwrap_or_else(|error| match call.rounds() {
        None => Answer::error(&call.id, &error),
        Some(rounds) => Answer::error(&rounds.id(), &crossing::own_error(error)),
    })
}

async fn dispatch(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
) -> Result<Answer, RpcError> {
    let method = request.method();
    if method == "tools/call" {
        let name = request
            .name()
            .ok_or_else(|| fault::invalid_params("tools/call needs `name`"))?;
        let to = find_tool(core, &call.session.scope, &name).await?;
        return forward::named(core, call, request, &to, true).await;
    }
    // Boxed, so that a call's future is not as large as the largest of all requests'.
    Box::pin(dispatch_other(core, call, request, &method)).await
}

async fn dispatch_other(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
    method: &str,
) -> Result<Answer, RpcError> {
    if call.session.is_modern() {
        crossing::check_method(core, &call.session.scope, method)?;
    }
    match method {
        "server/discover" if call.session.is_modern() => {
            core.settle(|core| core.is_scope_settled(&call.session.scope))
                .await;
            Ok(Answer::result(
                &call.id,
                &initialize::discover(core, &call.session.scope),
            ))
        }
        "prompts/get" => {
            let name = request
                .name()
                .ok_or_else(|| fault::invalid_params("prompts/get needs `name`"))?;
            let to = find_prompt(core, &call.session.scope, &name).await?;
            forward::named(core, call, request, &to, false).await
        }
        "resources/read" => {
            let to = find_resource(core, call, request).await?;
            forward::located(core, call, request, &to)
                .await
                .map(|(answer, _)| answer)
        }
        "resources/subscribe" => subscribe(core, call, request).await,
        "resources/unsubscribe" => unsubscribe(core, call, request).await,
        "completion/complete" => complete(core, call, request).await,
        "logging/setLevel" => set_level(core, call, request).await,
        "ping" => Ok(Answer::result(&call.id, &RawJson::EMPTY_OBJECT)),
        other => match (list_of(other), &call.session.scope) {
            (Some(list), scope) => {
                // Whole lists are served, so every cursor is somebody else's.
                if request.cursor().is_some() {
                    return Err(fault::invalid_params(
                        "this cursor is not from here: lists have one page",
                    ));
                }
                core.settle(|core| core.is_scope_settled(scope)).await;
                if let Scope::Service(service) = scope {
                    core.check_service(service)?;
                }
                core.look_at_age(scope, list);
                let view = core.view(scope);
                let result = view.result(list);
                Ok(Answer::Pieces(if call.session.is_modern() {
                    crossing::list_answer(&call.id, result)
                } else {
                    list_answer(&call.id, result)
                }))
            }
            // A method of its own, known to nobody here but the server.
            (None, Scope::Service(service))
                if !other.starts_with("tasks/") || call.session.is_modern() =>
            {
                core.settle(|core| core.is_scope_settled(&call.session.scope))
                    .await;
                let server = core
                    .server(service)
                    .ok_or_else(|| fault::unavailable(service, "stopped", None, None))?;
                forward::whole(core, call, request, &server).await
            }
            _ => Err(RpcError::method_not_found(other)),
        },
    }
}

async fn find_tool(core: &Core, scope: &Scope, name: &str) -> Result<Arc<Destination>, RpcError> {
    if let Some(to) = core.view(scope).tool(name) {
        return Ok(Arc::clone(to));
    }
    Box::pin(
        core.settle(|core| core.view(scope).tool(name).is_some() || core.is_scope_settled(scope)),
    )
    .await;
    let view = core.view(scope);
    match view.tool(name) {
        Some(to) => Ok(Arc::clone(to)),
        None => Err(core
            .why_unknown(scope, name)
            .unwrap_or_else(|| fault::unknown_name("tool", name, view.nearest_tool(name)))),
    }
}

async fn find_prompt(core: &Core, scope: &Scope, name: &str) -> Result<Arc<Destination>, RpcError> {
    core.settle(|core| core.view(scope).prompt(name).is_some() || core.is_scope_settled(scope))
        .await;
    let view = core.view(scope);
    match view.prompt(name) {
        Some(to) => Ok(Arc::clone(to)),
        None => Err(core
            .why_unknown(scope, name)
            .unwrap_or_else(|| fault::unknown_name("prompt", name, view.nearest_prompt(name)))),
    }
}

async fn find_resource(
    core: &Core,
    call: &Call,
    request: &Envelope,
) -> Result<Arc<Destination>, RpcError> {
    let uri = request
        .uri()
        .ok_or_else(|| fault::invalid_params(format!("{} needs `uri`", request.method())))?;
    let scope = &call.session.scope;
    core.settle(|core| core.view(scope).resource(&uri).is_some() || core.is_scope_settled(scope))
        .await;
    core.locate(scope, &uri)
}

async fn subscribe(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
) -> Result<Answer, RpcError> {
    let to = find_resource(core, call, request).await?;
    let uri = request.uri().unwrap_or_default();
    // Known before the answer: an update may come before it.
    if !core.sessions.subscribe(&call.session, &uri).await {
        return Err(fault::invalid_request(
            "this session has subscribed to too many resources",
        ));
    }
    to.server.subscribe(&to.own, call.session.number);
    let answered = forward::located(core, call, request, &to).await;
    if !matches!(&answered, Ok((_, false))) {
        core.sessions.unsubscribe(&call.session, &uri).await;
        to.server.unsubscribe(&to.own, call.session.number);
    }
    answered.map(|(answer, _)| answer)
}

async fn unsubscribe(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
) -> Result<Answer, RpcError> {
    let to = find_resource(core, call, request).await?;
    core.sessions
        .unsubscribe(&call.session, &request.uri().unwrap_or_default())
        .await;
    if to.server.unsubscribe(&to.own, call.session.number) {
        return forward::located(core, call, request, &to)
            .await
            .map(|(answer, _)| answer);
    }
    // Others still want to hear of it.
    Ok(Answer::result(&call.id, &RawJson::EMPTY_OBJECT))
}

async fn complete(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
) -> Result<Answer, RpcError> {
    let scope = &call.session.scope;
    if let Some(name) = request.ref_name() {
        let to = find_prompt(core, scope, &name).await?;
        return forward::referred(core, call, request, &to).await;
    }
    let uri = request.ref_uri().ok_or_else(|| {
        fault::invalid_params("completion/complete needs `ref.name` or `ref.uri`")
    })?;
    core.settle(|core| core.is_scope_settled(scope)).await;
    let to = match core.view(scope).template(&uri) {
        Some(to) => to,
        None => core.locate(scope, &uri)?,
    };
    forward::referred(core, call, request, &to).await
}

async fn set_level(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
) -> Result<Answer, RpcError> {
    let level: LogLevel = request
        .level()
        .and_then(|level| level.parse().ok())
        .ok_or_else(|| fault::invalid_params("`level` is not one of debug, info, notice, warning, error, critical, alert, emergency"))?;
    core.sessions.set_level(&call.session, level).await;
    core.spread_level().await;
    core.set_own_level(call.session.number, level).await;
    Ok(Answer::result(&call.id, &RawJson::EMPTY_OBJECT))
}
