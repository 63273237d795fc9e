//! From a routed request to the server and back: the bytes pass, ids and names are replaced.

use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::{CallError, CallSink, Envelope, Era, Outgoing, Rewrite, RpcError};
use tokio::time::Instant;

use super::{Answer, rounds};
use crate::call::Call;
use crate::core::Core;
use crate::fault;
use crate::fleet::{Destination, Server};
use crate::metrics::Golden;
use crate::modern::crossing;

/// A call of a tool or a prompt, by its name.
pub(super) async fn named(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
    to: &Destination,
    tool: bool,
) -> Result<Answer, RpcError> {
    let rewrite = Rewrite {
        name: to.renamed.then_some(&*to.own),
        ..Rewrite::default()
    };
    let golden = if tool {
        to.golden(&core.metrics)
    } else {
        to.server.golden(&core.metrics)
    };
    send(core, call, request, &to.server, rewrite, golden)
        .await
        .map(|(answer, _)| answer)
}

/// A request about a resource. Also says whether the answer is an error.
pub(super) async fn located(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
    to: &Destination,
) -> Result<(Answer, bool), RpcError> {
    let rewrite = Rewrite {
        uri: to.renamed.then_some(&*to.own),
        ..Rewrite::default()
    };
    send(
        core,
        call,
        request,
        &to.server,
        rewrite,
        to.server.golden(&core.metrics),
    )
    .await
}

/// A completion, by what it refers to.
pub(super) async fn referred(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
    to: &Destination,
) -> Result<Answer, RpcError> {
    let own = to.renamed.then_some(&*to.own);
    let rewrite = Rewrite {
        ref_name: own.filter(|_| request.ref_name().is_some()),
        ref_uri: own.filter(|_| request.ref_uri().is_some()),
        ..Rewrite::default()
    };
    send(
        core,
        call,
        request,
        &to.server,
        rewrite,
        to.server.golden(&core.metrics),
    )
    .await
    .map(|(answer, _)| answer)
}

/// A request as it is.
pub(super) async fn whole(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
    server: &Arc<Server>,
) -> Result<Answer, RpcError> {
    send(
        core,
        call,
        request,
        server,
        Rewrite::default(),
        server.golden(&core.metrics),
    )
    .await
    .map(|(answer, _)| answer)
}

/// What is left of the time for a call that may have waited for its instance; a moment at the least.
fn left(server: &Server, began: Instant) -> Duration {
    server
        .route()
        .call_timeout()
        .saturating_sub(began.elapsed())
        .max(Duration::from_secs(1))
}

async fn send(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
    server: &Arc<Server>,
    rewrite: Rewrite<'_>,
    golden: &Golden,
) -> Result<(Answer, bool), RpcError> {
    let measure = golden.begin();
    let began = Instant::now();
    let picked = match core.pick(server, &call.session).await {
        Ok(picked) => Ok(picked),
        Err(_) if !core.is_settled() => {
            Box::pin(core.settle(|_| server.is_settled())).await;
            core.pick(server, &call.session).await
        }
        Err(error) => Err(error),
    };
    let (instance, upstream) = match picked {
        Ok(picked) => picked,
        Err(error) => {
            measure.failed("unavailable");
            return Err(error);
        }
    };
    let in_flight = instance.begin(call);
    call.sent_to(&upstream);
    let own = if upstream.is_modern() {
        Era::Modern
    } else {
        Era::Legacy
    };
    let eras = (call.session.era, own);
    let rewrite = match eras {
        (Era::Modern, Era::Legacy) => match request.request_state() {
            Some(state) => {
                measure.failed("rpc");
                return Err(core.modern.parked.why_unknown(&state));
            }
            None => crossing::to_legacy(rewrite),
        },
        _ => rewrite,
    };
    let message = Outgoing::Forward {
        envelope: request,
        rewrite,
    };
    let outgoing = backstay_mcp::Call {
        message,
        tag: Some(call.tag),
        timeout: Some(left(server, began)),
        sink: Some(Arc::clone(call) as Arc<dyn CallSink>),
        modern: match eras {
            (_, Era::Legacy) => None,
            _ => Some(Box::new(call.for_modern_server(&upstream))),
        },
    };
    let outcome = match eras {
        // Boxed: the future of every call would have to have room for it.
        (Era::Legacy, Era::Modern) => {
            match Box::pin(rounds::ask(call, &upstream, request, outgoing)).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    measure.failed("rpc");
                    return Err(error);
                }
            }
        }
        _ => upstream.call(outgoing).await,
    };
    drop(in_flight);
    match outcome {
        Ok(reply) => {
            let is_error = reply.is_error();
            if is_error {
                measure.failed("rpc");
            } else {
                measure.answered();
            }
            let answer = match eras {
                (Era::Legacy, _) => Answer::Whole(reply.with_id(&call.id)),
                (Era::Modern, Era::Legacy) => crossing::from_legacy(call, request, &reply),
                (Era::Modern, Era::Modern) => crossing::unchanged(call, &reply),
            };
            Ok((answer, is_error))
        }
        Err(CallError::Cancelled) => {
            measure.failed("cancelled");
            Ok((Answer::Nothing, true))
        }
        Err(error) => {
            measure.failed(error.class());
            Err(match &error {
                CallError::Closed { instance, reason } => {
                    fault::lost(&server.service, instance, &reason.to_string())
                }
                CallError::Unreachable { reason, .. } => {
                    fault::unavailable(&server.service, "unreachable", Some(reason), Some(1))
                }
                other => other.to_rpc(),
            })
        }
    }
}
