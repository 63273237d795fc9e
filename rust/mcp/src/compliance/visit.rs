//! A visit: greet a server that nobody serves yet, check it, and leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::{Report, check_as};
use crate::envelope::Envelope;
use crate::jsonrpc::RpcError;
use crate::raw::RawJson;
use crate::upstream::{CallTag, CloseReason, Inbound, Upstream, UpstreamConfig};

/// Connects, makes every check in the version that the server chose, and closes the connection. A server that
/// cannot be greeted has a report too.
pub async fn visit(config: UpstreamConfig, patience: Duration) -> Report {
    let offered = config.offer;
    let begun = Instant::now();
    let upstream = match Upstream::connect(config, Arc::new(Visitor)).await {
        Ok(upstream) => upstream,
        Err(error) => return Report::of_failure(&error),
    };
    let greeted = begun.elapsed();
    let report = check_as(&upstream, offered, true, patience).await;
    upstream.close().await;
    Report {
        greeted_ms: u64::try_from(greeted.as_millis()).ok(),
        ..report
    }
}

/// Declares no capability, so a server has nothing to ask of it; what it asks all the same is refused.
struct Visitor;

impl Inbound for Visitor {
    fn notification(&self, _: Envelope, _: Option<CallTag>) {}

    fn request(
        &self,
        request: Envelope,
        _: Option<CallTag>,
    ) -> BoxFuture<'static, Result<RawJson, RpcError>> {
        ready(Err(RpcError::method_not_found(&request.method()))).boxed()
    }

    fn closed(&self, _: &CloseReason) {}
}
