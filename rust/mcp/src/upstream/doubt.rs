//! A server that is not what it was: an HTTP server replaced, at its address, by one of the other era.
//!
//! Nothing tells of it but the answers to calls, which then make no sense. What looks like that is a reason to ask once
//! more; where the era is another one indeed, the connection ends, and whoever wants one makes a new one. A process
//! keeps its era for as long as it lives.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Upstream;
use super::call::{CallError, Reply};
use super::closing::CloseReason;
use super::core::Core;
use super::handshake::is_modern_now;
use super::link::Link;
use crate::jsonrpc::RpcError;
use crate::modern::errors;

impl Upstream {
    /// A legacy server answered with an error: only a modern one would give it some codes.
    #[cold]
    pub(super) fn look_at_refusal(&self, reply: &Reply) {
        if matches!(self.core.link, Link::Http(_))
            && let Err(error) = reply.outcome()
            && errors::is_modern(RpcError::read(&error).code)
        {
            self.doubt();
        }
    }

    /// A call to a modern server failed: one that does not take what modern clients send would do that so.
    pub(super) fn look_at_failure(&self, outcome: &Result<Reply, CallError>) {
        let strange = match outcome {
            Err(CallError::Http { status, .. }) => matches!(status, 400 | 404 | 405 | 406),
            // Codes that no modern server gives, and legacy SDKs give to what they do not understand.
            Ok(reply) => reply
                .outcome()
                .is_err_and(|error| (-32019..=-32000).contains(&RpcError::read(&error).code)),
            Err(_) => false,
        };
        if strange && matches!(self.core.link, Link::Http(_)) {
            self.doubt();
        }
    }

    fn doubt(&self) {
        if !self.core.doubted.swap(true, Ordering::AcqRel) {
            tokio::spawn(find_out(Arc::clone(&self.core)));
        }
    }
}

async fn find_out(core: Arc<Core>) {
    if let Some(now) = is_modern_now(&core).await
        && now != core.is_modern()
    {
        core.close(&CloseReason::OtherEra);
    }
    core.doubted.store(false, Ordering::Release);
}
