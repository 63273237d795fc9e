//! From a routed request to the server and back: the bytes pass, ids and names are replaced. In this order: the
//! limits, the answers that are kept (`kept.rs`), a place among the calls under way, and then as many attempts as it
//! may have (`attempt.rs`).

use std::sync::Arc;

use backstay_mcp::{Envelope, Era, Rewrite, RpcError};

use super::attempt::{Attempts, Ended};
use super::{Answer, Refused, kept};
use crate::call::Call;
use crate::core::Core;
use crate::fleet::{Destination, Hints, Server};
use crate::metrics::{Golden, Measure};
use crate::modern::crossing;
use crate::traffic::{NO_TOOL, Refusal, Slot, now};

/// What a request is sent to.
#[derive(Clone, Copy)]
struct Target<'a> {
    server: &'a Arc<Server>,
    /// The tool, where it is one.
    tool: Option<&'a str>,
    slot: Slot,
    hints: Hints,
    golden: &'a Golden,
}

impl<'a> Target<'a> {
    /// What is no tool call, and whether it reads only.
    fn other(core: &Core, server: &'a Arc<Server>, hints: Hints) -> Self {
        Self {
            server,
            tool: None,
            slot: NO_TOOL,
            hints,
            golden: server.golden(&core.metrics),
        }
    }
}

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
    let target = if tool {
        Target {
            server: &to.server,
            tool: Some(&to.own),
            slot: to.slot,
            hints: to.hints,
            golden: to.golden(&core.metrics),
        }
    } else {
        Target::other(core, &to.server, Hints::READS)
    };
    send(core, call, request, target, &rewrite)
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
    let target = Target::other(core, &to.server, Hints::READS);
    send(core, call, request, target, &rewrite).await
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
    let target = Target::other(core, &to.server, Hints::READS);
    send(core, call, request, target, &rewrite)
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
    // What it does is the server's to know, so it is done once.
    let target = Target::other(core, server, Hints::default());
    send(core, call, request, target, &Rewrite::NONE)
        .await
        .map(|(answer, _)| answer)
}

async fn send(
    core: &Arc<Core>,
    call: &Arc<Call>,
    request: &Envelope,
    to: Target<'_>,
    rewrite: &Rewrite<'_>,
) -> Result<(Answer, bool), RpcError> {
    let measure = to.golden.begin();
    let traffic = to.server.traffic();
    if let Err(refusal) = traffic.admit(call.session.speaker(), to.slot, now()) {
        return Ok((refuse(core, call, to, refusal, measure), true));
    }
    let attempts = Attempts {
        core,
        call,
        request,
        server: to.server,
        traffic: &traffic,
        slot: to.slot,
        may_repeat: to.hints.may_repeat(),
        rewrite,
    };
    let ended = match to.server.caching() {
        None => travel(&attempts).await,
        // Boxed: most calls need no room for it.
        Some(rules) => Box::pin(kept::answer(&attempts, &rules, to.tool, to.hints)).await,
    };
    match ended {
        Ended::Answered(reply, own) => {
            let is_error = reply.is_error();
            if is_error {
                measure.failed("rpc");
            } else {
                measure.answered();
            }
            let answer = match (call.session.era, own) {
                (Era::Legacy, _) => Answer::Whole(reply.with_id(&call.id)),
                (Era::Modern, Era::Legacy) => crossing::from_legacy(call, request, &reply),
                (Era::Modern, Era::Modern) => crossing::unchanged(call, &reply),
            };
            Ok((answer, is_error))
        }
        Ended::Cancelled => {
            measure.failed("cancelled");
            Ok((Answer::Nothing, true))
        }
        Ended::Refused(refusal) => Ok((refuse(core, call, to, refusal, measure), true)),
        Ended::Unavailable(error) => {
            measure.failed("unavailable");
            Err(error)
        }
        Ended::Failed(class, error) => {
            measure.failed(class);
            Err(error)
        }
    }
}

/// To the server and back: a place among the calls under way, and the attempts.
pub(super) async fn travel<'a>(attempts: &Attempts<'a>) -> Ended<'a> {
    let signals = attempts.server.signals(&attempts.core.metrics);
    let _place = match attempts.traffic.enter(signals).await {
        Ok(place) => place,
        Err(refusal) => return Ended::Refused(refusal),
    };
    attempts.run().await
}

/// The call does not go: says why, and when to come back.
#[cold]
fn refuse(
    core: &Core,
    call: &Call,
    to: Target<'_>,
    refusal: Refusal<'_>,
    measure: Measure<'_>,
) -> Answer {
    measure.failed("refused");
    to.server.signals(&core.metrics).refused(refusal.reason());
    let error = refusal.error(&to.server.service, to.tool);
    let error = match call.rounds() {
        None => Answer::error(&call.id, &error),
        Some(rounds) => Answer::error(&rounds.id(), &crossing::own_error(error)),
    };
    Answer::Refused(Box::new(Refused {
        bytes: error.into_bytes(),
        status: refusal.status(),
        retry_after: refusal.retry_after(),
    }))
}
