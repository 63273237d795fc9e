//! What a request of 2026-07-28 must say of itself, in its body and, over HTTP, in its headers.

use std::sync::Arc;

use backstay_mcp::modern::headers::Headers;
use backstay_mcp::modern::meta::{MetaFault, RequestMeta};
use backstay_mcp::modern::{errors, headers};
use backstay_mcp::version::MODERN;
use backstay_mcp::{Envelope, RawJson, RpcError};

use super::super::listener::Peer;
use super::Came;
use crate::core::Core;
use crate::fault;
use crate::log_level::LogLevel;
use crate::session::{Scope, Session};

/// Checks what every request says of itself, and makes what stands for it inside.
pub(super) fn admit(
    core: &Core,
    scope: &Scope,
    came: &Came<'_, impl Headers>,
    message: &Envelope,
) -> Result<Arc<Session>, RpcError> {
    let meta = RequestMeta::read(message).map_err(MetaFault::to_rpc)?;
    if let Some(version) = meta.version()
        && version != MODERN
    {
        // What it speaks decides what else it would have to say.
        if came.compared {
            headers::check(came.headers, message, &meta)?;
        }
        return Err(errors::unsupported_version(&version));
    }
    meta.required().map_err(MetaFault::to_rpc)?;
    if came.compared {
        headers::check(came.headers, message, &meta)?;
        check_mirrored(core, scope, came.headers, message)?;
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
    if let Some(Peer(address)) = came.peer {
        session.speaks_from(address);
    }
    Ok(session)
}

/// Compares the headers of annotated arguments with the arguments.
fn check_mirrored(
    core: &Core,
    scope: &Scope,
    headers: &impl Headers,
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
        let header = headers.one(&mirror.header, &mirror.header)?;
        mirror
            .check(header, arguments.as_ref())
            .map_err(|what| errors::header_mismatch(&what))?;
    }
    Ok(())
}
