//! The events of one stream, received.

use std::sync::Arc;

use super::super::call::CallError;
use super::super::core::Core;
use crate::transport::http::{BodyError, Events};

/// How a stream ended.
pub(super) enum Ended {
    /// The answer came; more may follow.
    Answered,
    /// It is over without one; why, if it broke.
    Unanswered(Option<String>),
}

/// Receives events until the stream ends, or the answer of that call has come.
pub(super) async fn pump(
    core: &Arc<Core>,
    of: Option<u64>,
    events: &mut Events,
) -> Result<Ended, CallError> {
    let waiting = |id| core.pending.is_waiting(id);
    let waited = of.filter(|id| waiting(*id));
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                if event.is_message() && core.receive(event.data.clone(), of).is_err() {
                    core.garbage(&event.data);
                }
                if waited.is_some_and(|id| !waiting(id)) {
                    return Ok(Ended::Answered);
                }
            }
            Ok(None) => return Ok(Ended::Unanswered(None)),
            Err(BodyError::Broken(reason)) => return Ok(Ended::Unanswered(Some(reason))),
            Err(BodyError::TooLarge { limit }) => {
                core.oversize(String::new());
                return Err(CallError::AnswerTooLarge {
                    instance: core.instance.clone(),
                    limit,
                });
            }
        }
    }
}
