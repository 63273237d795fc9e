//! Greeting a server: finding out which era it is of, and what it says of itself.
//!
//! A legacy server is greeted by `initialize` and `notifications/initialized`, a modern one by `server/discover`.
//! Which comes first is the transport's to say ([`Link::usual_era`](super::link::Link::usual_era)), unless the server
//! is remembered; the other one is tried where the first answer leaves that open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::call::{CallError, Outgoing, Reply};
use super::closing::{CloseReason, HandshakeError};
use super::config::UpstreamConfig;
use super::core::{Core, Fault};
use super::exchange::Patience;
use super::info::{BadInfo, ServerInfo, speaks_modern};
use crate::envelope::{Edit, excerpt};
use crate::jsonrpc::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, RpcError};
use crate::modern::errors;
use crate::raw::RawJson;
use crate::version::{Era, MODERN, UnknownVersion, Version};

/// The request that greets a legacy server.
pub(super) const INITIALIZE: &str = "initialize";
/// The request that greets a modern one.
pub(super) const DISCOVER: &str = "server/discover";

/// How long a server that may be legacy is waited for when it is asked as a modern one is.
const GUESS: Duration = Duration::from_secs(10);
/// What is left for a second question, however much time the first one took.
const AT_LEAST: Duration = Duration::from_secs(1);

/// What is said to a server, kept for the case that it must be said again.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    params: RawJson,
    remembered: Option<Era>,
    within: Duration,
}

impl Greeting {
    pub(super) fn new(config: &UpstreamConfig) -> Self {
        let mut params = b"{\"protocolVersion\":\"".to_vec();
        params.extend_from_slice(config.offer.as_str().as_bytes());
        params.extend_from_slice(b"\",\"capabilities\":");
        params.extend_from_slice(config.client_capabilities.as_bytes());
        params.extend_from_slice(b",\"clientInfo\":");
        params.extend_from_slice(config.client_info.as_bytes());
        params.push(b'}');
        Self {
            params: RawJson::trusted(params.into()),
            remembered: config.era,
            within: config.start_timeout,
        }
    }

    /// For a server that was greeted in a session: that is what it is taken for first.
    pub(super) fn again(&self) -> Self {
        Self {
            remembered: Some(Era::Legacy),
            ..self.clone()
        }
    }

    /// With another version offered.
    fn offering(&self, version: Version) -> Self {
        let version = RawJson::string(version.as_str());
        Self {
            params: self
                .params
                .with_members(&[Edit::Set("protocolVersion", &version)]),
            ..self.clone()
        }
    }
}

/// Greets a server over a connection that can carry messages.
pub(super) async fn shake(core: &Arc<Core>, greeting: &Greeting) -> Result<(), HandshakeError> {
    let link = &core.link;
    let remembered = greeting.remembered.filter(|_| link.has_eras());
    let info = Arc::new(match remembered.unwrap_or_else(|| link.usual_era()) {
        Era::Legacy => legacy_first(core, greeting).await?,
        Era::Modern => modern_first(core, greeting).await?,
    });
    if info.era() == Era::Legacy {
        link.greet(core, &info)
            .await
            .map_err(|error| call_error(core, INITIALIZE, error))?;
    }
    core.set_info(info);
    Ok(())
}

async fn legacy_first(core: &Arc<Core>, greeting: &Greeting) -> Result<ServerInfo, HandshakeError> {
    let begun = Instant::now();
    let refused = match initialize(core, greeting, greeting.within).await {
        Err(error) if core.link.has_eras() && may_be_modern(core, &error) => error,
        outcome => return outcome,
    };
    let left = greeting.within.saturating_sub(begun.elapsed()).min(GUESS);
    if let Some(version) = session_instead(&refused) {
        return initialize(core, &greeting.offering(version), left.max(AT_LEAST)).await;
    }
    // What it said first is what it has to say, unless it turns out to be modern.
    discover(core, left.max(AT_LEAST))
        .await
        .map_err(|_| refused)
}

async fn modern_first(core: &Arc<Core>, greeting: &Greeting) -> Result<ServerInfo, HandshakeError> {
    let begun = Instant::now();
    let patience = if core.link.is_process() {
        greeting.within
    } else {
        GUESS.min(greeting.within / 2)
    };
    let unmodern = match discover(core, patience).await {
        Err(error) if may_be_legacy(core, &error) => error,
        outcome => return outcome.map_err(Unmodern::into_error),
    };
    let left = greeting.within.saturating_sub(begun.elapsed());
    let greeting = match unmodern {
        Unmodern::SessionsOnly(_, version) => &greeting.offering(version),
        Unmodern::Failed(_) => greeting,
    };
    initialize(core, greeting, left.max(AT_LEAST)).await
}

/// Why a server cannot be used as a modern one.
enum Unmodern {
    /// It says that it is served in sessions, and in which version.
    SessionsOnly(HandshakeError, Version),
    Failed(HandshakeError),
}

impl Unmodern {
    fn into_error(self) -> HandshakeError {
        match self {
            Self::SessionsOnly(error, _) | Self::Failed(error) => error,
        }
    }
}

async fn initialize(
    core: &Arc<Core>,
    greeting: &Greeting,
    within: Duration,
) -> Result<ServerInfo, HandshakeError> {
    let params = Some(greeting.params.clone());
    let result = ask(core, INITIALIZE, params, within).await?;
    ServerInfo::read(&result, core.link.opened())
        .map_err(|bad| bad_info(core, INITIALIZE, bad, &result))
}

async fn discover(core: &Arc<Core>, within: Duration) -> Result<ServerInfo, Unmodern> {
    let result = match ask(core, DISCOVER, None, within).await {
        Ok(result) => result,
        Err(error) => return Err(judge(core, error)),
    };
    ServerInfo::discovered(&result).map_err(|bad| {
        let version = match &bad {
            BadInfo::SessionsOnly(version) => Some(*version),
            _ => None,
        };
        let error = bad_info(core, DISCOVER, bad, &result);
        match version {
            Some(version) => Unmodern::SessionsOnly(error, version),
            None => Unmodern::Failed(error),
        }
    })
}

/// Reads a refusal of `server/discover`: the best version that both sides speak may be one with sessions.
fn judge(core: &Core, error: HandshakeError) -> Unmodern {
    let HandshakeError::Refused { error: rpc, .. } = &error else {
        return Unmodern::Failed(error);
    };
    let Some(supported) = errors::supported(rpc) else {
        return Unmodern::Failed(error);
    };
    let supported: Vec<String> = supported.into_iter().map(Into::into).collect();
    match speaks_modern(&supported) {
        Err(BadInfo::SessionsOnly(version)) => Unmodern::SessionsOnly(error, version),
        Err(bad) => Unmodern::Failed(bad_info(core, DISCOVER, bad, &RawJson::NULL)),
        Ok(()) => Unmodern::Failed(error),
    }
}

/// The version to offer to a server that did not take the one that was, where it names only such with sessions.
fn session_instead(refused: &HandshakeError) -> Option<Version> {
    let HandshakeError::Refused { error, .. } = refused else {
        return None;
    };
    let supported: Vec<String> = errors::supported(error)?
        .into_iter()
        .map(Into::into)
        .collect();
    match speaks_modern(&supported) {
        Err(BadInfo::SessionsOnly(version)) => Some(version),
        _ => None,
    }
}

/// Whether a server that did not take `initialize` may be modern. Such a one says so by a code of its own, finds the
/// method unknown or the request not what each of its requests has to be, or names the version it wants.
fn may_be_modern(core: &Core, error: &HandshakeError) -> bool {
    match error {
        HandshakeError::Refused { error, .. } => {
            matches!(
                error.code,
                METHOD_NOT_FOUND | INVALID_PARAMS | INVALID_REQUEST
            ) || errors::is_modern(error.code)
                || error.message.contains(MODERN)
                || error
                    .data
                    .as_ref()
                    .is_some_and(|data| data.as_str().contains(MODERN))
        }
        HandshakeError::BadVersion { version, .. } => version.0 == MODERN,
        HandshakeError::Http { status, .. } => {
            matches!(status, 400 | 404 | 405) && !core.link.is_process()
        }
        _ => false,
    }
}

/// Whether a server that did not take `server/discover` may be legacy. It is not if it says that it is modern, and it
/// will not take anything if it is gone, or does not read.
fn may_be_legacy(core: &Core, error: &Unmodern) -> bool {
    match error {
        Unmodern::SessionsOnly(..) => true,
        Unmodern::Failed(error) => match error {
            HandshakeError::Refused { error, .. } => !errors::is_modern(error.code),
            HandshakeError::TimedOut { .. } => !core.link.is_process(),
            HandshakeError::BadResult { .. }
            | HandshakeError::Http { .. }
            | HandshakeError::NoAnswer { .. }
            | HandshakeError::WrongId { .. } => true,
            _ => false,
        },
    }
}

/// Asks one question and waits for its answer, or for what makes any answer unlikely.
async fn ask(
    core: &Arc<Core>,
    method: &'static str,
    params: Option<RawJson>,
    within: Duration,
) -> Result<RawJson, HandshakeError> {
    let (fault, mut faults) = oneshot::channel();
    *core.fault.lock() = Some(fault);
    let message = Outgoing::New { method, params };
    let patience = Patience {
        silence: within,
        total: within,
    };
    let outcome = tokio::select! {
        biased;
        Ok(fault) = &mut faults => Err(fault_error(core, method, fault)),
        reply = core.exchange(&message, patience) => reply.map_err(|error| call_error(core, method, error)),
    };
    core.fault.lock().take();
    result(core, method, &outcome?)
}

/// Whether the server is modern now, whatever it was when it was greeted; none if it cannot be reached.
pub(super) async fn is_modern_now(core: &Arc<Core>) -> Option<bool> {
    match discover(core, GUESS).await {
        Err(error) if may_be_legacy(core, &error) => Some(false),
        Ok(_) | Err(Unmodern::Failed(HandshakeError::Refused { .. })) => Some(true),
        Err(_) => None,
    }
}

fn result(core: &Core, asked: &'static str, reply: &Reply) -> Result<RawJson, HandshakeError> {
    reply.outcome().map_err(|error| HandshakeError::Refused {
        instance: core.instance.clone(),
        asked,
        error: RpcError::read(&error),
    })
}

fn bad_info(core: &Core, asked: &'static str, bad: BadInfo, result: &RawJson) -> HandshakeError {
    let instance = core.instance.clone();
    match bad {
        BadInfo::Version(version) => HandshakeError::BadVersion { instance, version },
        BadInfo::SessionsOnly(version) => HandshakeError::BadVersion {
            instance,
            version: UnknownVersion(format!("{version}, in answer to `{asked}`")),
        },
        BadInfo::Shape(reason) => HandshakeError::BadResult {
            instance,
            asked,
            reason,
            shown: excerpt(result.as_bytes()),
        },
    }
}

fn fault_error(core: &Core, asked: &'static str, fault: Fault) -> HandshakeError {
    let instance = core.instance.clone();
    match fault {
        Fault::WrongId { expected, got } => HandshakeError::WrongId {
            instance,
            asked,
            expected,
            got,
        },
        Fault::Refused(error) => HandshakeError::Refused {
            instance,
            asked,
            error,
        },
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

fn call_error(core: &Core, asked: &'static str, error: CallError) -> HandshakeError {
    let printed = core.printed();
    match error {
        CallError::Closed {
            instance,
            reason: CloseReason::Io(reason),
            ..
        } => HandshakeError::BadTarget { instance, reason },
        CallError::Closed { instance, .. } => HandshakeError::Exited {
            instance,
            asked,
            printed,
        },
        CallError::TimedOut { instance, after } => HandshakeError::TimedOut {
            instance,
            asked,
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
            asked,
            reason: "which is not an object".to_owned(),
            shown,
        },
        CallError::Unreachable {
            instance, reason, ..
        } => HandshakeError::Unreachable { instance, reason },
        CallError::Http {
            instance,
            status,
            reason,
        } => HandshakeError::Http {
            instance,
            asked,
            status,
            reason,
        },
        CallError::NoAnswer { instance, reason } => HandshakeError::NoAnswer {
            instance,
            asked,
            reason,
        },
        other @ (CallError::Cancelled
        | CallError::TooLarge { .. }
        | CallError::Overloaded { .. }
        | CallError::UnknownResult { .. }) => HandshakeError::BadTarget {
            instance: core.instance.clone(),
            reason: other.to_string(),
        },
    }
}
