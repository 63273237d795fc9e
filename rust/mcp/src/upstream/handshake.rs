//! `initialize` and `notifications/initialized`.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::call::{CallError, Outgoing, Reply};
use super::closing::{CloseReason, HandshakeError};
use super::config::UpstreamConfig;
use super::core::{Core, Fault};
use super::exchange::Patience;
use super::info::{BadInfo, ServerInfo};
use crate::envelope::excerpt;
use crate::jsonrpc::RpcError;
use crate::raw::RawJson;
use crate::version::Version;

/// What is said in a handshake, kept for the case that it must be said again.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    params: RawJson,
    patience: Patience,
}

impl Greeting {
    pub(super) fn new(config: &UpstreamConfig) -> Self {
        let mut params = b"{\"protocolVersion\":\"".to_vec();
        params.extend_from_slice(Version::LATEST.as_str().as_bytes());
        params.extend_from_slice(b"\",\"capabilities\":");
        params.extend_from_slice(config.client_capabilities.as_bytes());
        params.extend_from_slice(b",\"clientInfo\":");
        params.extend_from_slice(config.client_info.as_bytes());
        params.push(b'}');
        let patience = Patience {
            silence: config.start_timeout,
            total: config.start_timeout,
        };
        Self {
            params: RawJson::trusted(params.into()),
            patience,
        }
    }
}

/// Shakes hands over a connection that can carry messages.
pub(super) async fn shake(core: &Arc<Core>, greeting: &Greeting) -> Result<(), HandshakeError> {
    let (fault, mut faults) = oneshot::channel();
    *core.fault.lock() = Some(fault);
    let message = Outgoing::New {
        method: "initialize",
        params: Some(greeting.params.clone()),
    };
    let outcome = tokio::select! {
        biased;
        Ok(fault) = &mut faults => Err(fault_error(core, fault)),
        reply = core.exchange(&message, None, None, greeting.patience) => reply.map_err(|error| call_error(core, error)),
    };
    core.fault.lock().take();
    let info = read(core, &outcome?)?;
    core.link
        .greet(core, &info)
        .await
        .map_err(|error| call_error(core, error))?;
    *core.info.write() = Arc::new(info);
    Ok(())
}

fn read(core: &Core, reply: &Reply) -> Result<ServerInfo, HandshakeError> {
    let instance = core.instance.clone();
    let result = match reply.outcome() {
        Ok(result) => result,
        Err(error) => {
            return Err(HandshakeError::Refused {
                instance,
                error: RpcError::read(&error),
            });
        }
    };
    ServerInfo::read(result.clone(), core.link.opened()).map_err(|bad| match bad {
        BadInfo::Version(version) => HandshakeError::BadVersion { instance, version },
        BadInfo::Shape(reason) => HandshakeError::BadResult {
            instance,
            reason,
            shown: excerpt(result.as_bytes()),
        },
    })
}

fn fault_error(core: &Core, fault: Fault) -> HandshakeError {
    let instance = core.instance.clone();
    match fault {
        Fault::WrongId { expected, got } => HandshakeError::WrongId {
            instance,
            expected,
            got,
        },
        Fault::Refused(error) => HandshakeError::Refused { instance, error },
        Fault::TooLarge(shown) => HandshakeError::TooLarge {
            instance,
            limit: core.limits.max_bytes,
            shown,
        },
        Fault::Endless(limit, shown) => HandshakeError::Endless {
            instance,
            limit,
            shown,
        },
        Fault::Garbage => HandshakeError::Garbage {
            instance,
            printed: core.printed(),
        },
    }
}

fn call_error(core: &Core, error: CallError) -> HandshakeError {
    let printed = core.printed();
    match error {
        CallError::Closed {
            instance,
            reason: CloseReason::Io(reason),
        } => HandshakeError::BadTarget { instance, reason },
        CallError::Closed { instance, .. } => HandshakeError::Exited { instance, printed },
        CallError::TimedOut { instance, after } => HandshakeError::TimedOut {
            instance,
            after,
            printed,
        },
        CallError::AnswerTooLarge { instance, limit } => HandshakeError::TooLarge {
            instance,
            limit,
            shown: String::new(),
        },
        CallError::BadResult { instance, shown } => HandshakeError::BadResult {
            instance,
            reason: "which is not an object".to_owned(),
            shown,
        },
        CallError::Unreachable { instance, reason } => {
            HandshakeError::Unreachable { instance, reason }
        }
        CallError::Http {
            instance,
            status,
            reason,
        } => HandshakeError::Http {
            instance,
            status,
            reason,
        },
        CallError::NoAnswer { instance, reason } => HandshakeError::NoAnswer { instance, reason },
        other @ (CallError::Cancelled
        | CallError::TooLarge { .. }
        | CallError::Overloaded { .. }) => HandshakeError::BadTarget {
            instance: core.instance.clone(),
            reason: other.to_string(),
        },
    }
}
