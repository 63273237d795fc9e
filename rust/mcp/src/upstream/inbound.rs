//! What a server sends on its own.

use futures_util::future::BoxFuture;

use super::call::CallTag;
use super::closing::CloseReason;
use super::info::ServerInfo;
use super::over_http::RejectedTool;
use crate::envelope::Envelope;
use crate::jsonrpc::RpcError;
use crate::raw::RawJson;

/// Hears what a server sends on its own. Its methods are called on the connection's task and must not wait;
/// what takes time goes into the future of [`Inbound::request`].
///
/// `related` is the call a message belongs to, where that is known: over HTTP the call whose response carried
/// it, over stdio a call of the only session that has calls in flight; so is a request that HTTP brings on the stream
/// of no call. Where two sessions have calls in flight there is no telling, and it is none.
pub trait Inbound: Send + Sync + 'static {
    /// A notification. Progress does not come here (it goes to the call's [`CallSink`](super::CallSink)), nor
    /// does the cancellation of a request of the server's own (it drops that request's future).
    fn notification(&self, notification: Envelope, related: Option<CallTag>);

    /// A request. `ping` does not come here: it is answered at once. The future is dropped when the server
    /// cancels the request or the connection ends.
    fn request(
        &self,
        request: Envelope,
        related: Option<CallTag>,
    ) -> BoxFuture<'static, Result<RawJson, RpcError>>;

    /// These tools of a modern HTTP server are left out of its list, as the protocol asks.
    fn rejected(&self, tools: &[RejectedTool]) {
        let _ = tools;
    }

    /// The HTTP server had forgotten the session, and there is a new one: its state is gone, its lists may differ.
    fn renewed(&self, info: &ServerInfo) {
        let _ = info;
    }

    /// The connection ended. Nothing comes after it, and it comes once.
    fn closed(&self, reason: &CloseReason);
}
