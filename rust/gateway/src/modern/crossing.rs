//! What a message loses and gains between a client and a server of different eras.
//!
//! | client | server | the request | the answer |
//! | --- | --- | --- | --- |
//! | modern | legacy | loses what 2026-07-28 says in `_meta`, and a retry's answers | gains `resultType` and, where it may be cached, that it is stale and private |
//! | legacy | modern | gains version, client and capabilities in `_meta` | passes; one that asks for input is `requests/rounds.rs`'s |
//! | same | same | passes | passes |

use backstay_mcp::modern::errors::{self, URL_ELICITATION_REQUIRED};
use backstay_mcp::modern::input::{self, InputRequest, InputRequired};
use backstay_mcp::modern::meta;
use backstay_mcp::modern::result;
use backstay_mcp::{Edit, Envelope, RawJson, Reply, Rewrite, RpcError, jsonrpc};
use bytes::Bytes;

use crate::call::Call;
use crate::core::Core;
use crate::modern::rounds::Rounds;
use crate::requests::Answer;
use crate::session::Scope;

/// What 2026-07-28 has no more.
const REMOVED: [&str; 6] = [
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
];

/// Refuses a modern client what its version, or the server behind the path, has not.
pub(crate) fn check_method(core: &Core, scope: &Scope, method: &str) -> Result<(), RpcError> {
    // `subscriptions/listen` is a stream: http/modern.rs has served it before it comes here.
    if REMOVED.contains(&method) {
        return Err(RpcError::method_not_found(method));
    }
    let Scope::Service(service) = scope else {
        return Ok(());
    };
    let Some(info) = core.server(service).and_then(|server| server.info()) else {
        return Ok(());
    };
    let offers = &info.capabilities;
    let offered = match method.split('/').next().unwrap_or_default() {
        "tools" => offers.tools(),
        "prompts" => offers.prompts(),
        "resources" => offers.resources(),
        _ => true,
    };
    if offered {
        Ok(())
    } else {
        Err(RpcError::method_not_found(method))
    }
}

/// An error of the gateway's own, as a modern client may see it: the codes below −32000 that SDKs gave a meaning
/// have none there.
pub(crate) fn own_error(mut error: RpcError) -> RpcError {
    error.code = match errors::modern_code(error.code) {
        jsonrpc::CONNECTION_CLOSED | jsonrpc::REQUEST_TIMEOUT => jsonrpc::INTERNAL_ERROR,
        code => code,
    };
    error
}

/// The answer of a modern client's list request, in pieces: the list itself is not copied.
pub(crate) fn list_answer(id: &RawJson, result: &Bytes) -> [Bytes; 3] {
    let mut head = Vec::with_capacity(128);
    head.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    head.extend_from_slice(id.as_bytes());
    head.extend_from_slice(
        b",\"result\":{\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\",",
    );
    // The list is a member of an object whose opening brace is written already.
    [head.into(), result.slice(1..), Bytes::from_static(b"}")]
}

/// The parameters of a legacy server's request, as a modern client is asked.
pub(crate) fn asked_of_modern(request: &Envelope) -> Option<RawJson> {
    let params = request.params()?;
    let params = match params.member("_meta") {
        // Its token belongs to no request of the client's.
        Some(_) => params.with_members(&[Edit::Remove("_meta")]),
        None => params,
    };
    // Only 2025-11-25 has it: a modern client learns the outcome by trying again.
    Some(params.with_members(&[Edit::Remove("elicitationId")]))
}

/// What a modern client's request is to a legacy server.
pub(crate) fn to_legacy(rewrite: Rewrite<'_>) -> Rewrite<'_> {
    Rewrite {
        meta: &meta::REMOVED_FOR_LEGACY,
        params: &input::REMOVED_FOR_LEGACY,
        ..rewrite
    }
}

/// A modern server's answer to a modern client's request.
pub(crate) fn unchanged(call: &Call, reply: &Reply) -> Answer {
    let id = call.rounds().map_or_else(|| call.id.clone(), Rounds::id);
    let bytes = reply.with_id(&id);
    match reply.envelope().error() {
        Some(error) => Answer::Failed(bytes, RpcError::read(&error).code),
        None => Answer::Whole(bytes),
    }
}

/// A legacy server's answer to a modern client's request.
pub(crate) fn from_legacy(call: &Call, request: &Envelope, reply: &Reply) -> Answer {
    let Some(rounds) = call.rounds() else {
        return Answer::Whole(reply.with_id(&call.id));
    };
    let id = rounds.id();
    if !reply.is_error() {
        return Answer::Whole(result::to_modern(reply.envelope(), &id, &request.method()));
    }
    let error = reply.envelope().error().map_or_else(
        || RpcError::new(jsonrpc::INTERNAL_ERROR, ""),
        |it| RpcError::read(&it),
    );
    // It was refused what it asked for, and could not do without.
    if let Some(required) = rounds.lacked() {
        let what = format!("the server needs more of its client: {}", error.message);
        return Answer::error(&id, &errors::missing_capability(&what, required));
    }
    if error.code == URL_ELICITATION_REQUIRED && input::may_ask(&request.method()) {
        return pages_to_visit(call, &id, &error);
    }
    let code = errors::modern_code(error.code);
    Answer::Failed(
        result::to_modern(reply.envelope(), &id, &request.method()),
        code,
    )
}

/// A server of 2025-11-25 refuses a call until pages were visited: the client is asked to, and then to try again.
fn pages_to_visit(call: &Call, id: &RawJson, error: &RpcError) -> Answer {
    if !call.session.capabilities.elicitation_url {
        let required = RawJson::write(&serde_json::json!({"elicitation": {"url": {}}}));
        let required = required.unwrap_or(RawJson::EMPTY_OBJECT);
        return Answer::error(id, &errors::missing_capability(&error.message, &required));
    }
    let pages: Vec<Box<serde_json::value::RawValue>> = error
        .data
        .as_ref()
        .and_then(|data| data.member("elicitations")?.read().ok())
        .unwrap_or_default();
    let requests: Vec<_> = pages
        .into_iter()
        .filter_map(|page| RawJson::parse(String::from(Box::<str>::from(page))).ok())
        .take(input::MOST_INPUTS)
        .enumerate()
        .map(|(at, page)| InputRequest {
            key: format!("page-{}", at + 1),
            method: "elicitation/create".to_owned(),
            params: Some(page.with_members(&[Edit::Remove("elicitationId")])),
        })
        .collect();
    if requests.is_empty() {
        return Answer::error(id, &RpcError::new(jsonrpc::INTERNAL_ERROR, &*error.message));
    }
    let asked = InputRequired {
        requests,
        state: None,
    };
    Answer::Whole(jsonrpc::response(id, &asked.write()).into())
}
