//! What the gateway itself answers when it cannot do what it was asked.
//!
//! Codes are JSON-RPC's and the SDKs': -32000 the server is not there, -32001 it took too long, -32002 no
//! such resource (until 2025-11-25), -32602 no such tool or prompt. `data` names the service and its state
//! and, where trying again helps, `retryAfter` in seconds.

use backstay_mcp::{RawJson, RpcError, jsonrpc};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unavailable<'a> {
    service: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// No instance of the service can take a call now.
pub(crate) fn unavailable(
    service: &str,
    state: &str,
    reason: Option<&str>,
    retry_after: Option<u64>,
) -> RpcError {
    let because = reason.map_or(String::new(), |reason| format!(": {reason}"));
    RpcError {
        code: jsonrpc::CONNECTION_CLOSED,
        message: format!("server `{service}` is {state}{because}"),
        data: RawJson::write(&Unavailable {
            service,
            state,
            reason,
            retry_after,
        })
        .ok(),
    }
}

/// The server went away under a call.
pub(crate) fn lost(service: &str, instance: &str, reason: &str) -> RpcError {
    RpcError {
        code: jsonrpc::CONNECTION_CLOSED,
        message: format!("server `{service}` ended during the call: `{instance}`: {reason}"),
        data: RawJson::write(&Unavailable {
            service,
            state: "restarting",
            reason: Some(reason),
            retry_after: Some(1),
        })
        .ok(),
    }
}

/// There is no tool or prompt of this name.
pub(crate) fn unknown_name(what: &str, name: &str, suggestion: Option<&str>) -> RpcError {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Suggestion<'a> {
        did_you_mean: &'a str,
    }
    let shown: String = name.chars().take(128).collect();
    let (hint, data) = match suggestion {
        Some(name) => (
            format!("; did you mean `{name}`?"),
            RawJson::write(&Suggestion { did_you_mean: name }).ok(),
        ),
        None => (String::new(), None),
    };
    RpcError {
        code: jsonrpc::INVALID_PARAMS,
        message: format!("unknown {what} `{shown}`{hint}"),
        data,
    }
}

/// No server has this resource.
pub(crate) fn unknown_resource(uri: &str, why: &str) -> RpcError {
    #[derive(Serialize)]
    struct Uri<'a> {
        uri: &'a str,
    }
    RpcError {
        code: jsonrpc::RESOURCE_NOT_FOUND,
        message: format!(
            "no server has the resource `{}`{why}",
            uri.chars().take(256).collect::<String>()
        ),
        data: RawJson::write(&Uri { uri }).ok(),
    }
}

/// A parameter is missing or wrong.
pub(crate) fn invalid_params(message: impl Into<String>) -> RpcError {
    RpcError::new(jsonrpc::INVALID_PARAMS, message)
}

/// The message cannot be acted on.
pub(crate) fn invalid_request(message: impl Into<String>) -> RpcError {
    RpcError::new(jsonrpc::INVALID_REQUEST, message)
}
