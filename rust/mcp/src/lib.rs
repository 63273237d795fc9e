//! The Model Context Protocol: envelopes, versions, transports, client, compliance.
//!
//! What the gateway needs of it, in the order a call meets it:
//!
//! - [`envelope`]: one JSON-RPC message is *read*, never rebuilt. [`Envelope::parse`]
//!   validates the whole JSON, notes where `id`, `method`, `params.name` and their kin
//!   stand, and [`Envelope::rewrite`] splices others in. Everything else passes as bytes.
//! - [`modern`]: the words of 2026-07-28, the version without sessions: metadata, headers, results.
//! - [`upstream`]: [`Upstream`] is one live connection to one instance, over
//!   whatever transport: handshake, calls, progress, what the server asks in return.
//! - [`list`]: every page of tools, resources, templates or prompts.
//! - [`compliance`]: the checks of `backstay doctor`.
//!
//! It knows nothing of clients' sessions, routing or names on the fleet's endpoint: that is
//! `backstay-gateway`. It starts no process: pipes come from `backstay-supervisor`.

// What everything depends on does not end for a reason that it could have told: tests may, the code may not.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]

pub mod capabilities;
pub mod compliance;
pub mod envelope;
pub mod jsonrpc;
pub mod list;
pub mod modern;
mod raw;
mod sequence;
pub mod sse;
pub mod transport;
pub mod upstream;
pub mod version;

pub use envelope::{Edit, Envelope, EnvelopeError, Kind, Limits, Rewrite};
pub use jsonrpc::RpcError;
pub use raw::RawJson;
pub use sequence::BySequence;
pub use upstream::{
    Call, CallError, CallSink, CallTag, CloseReason, Endpoint, HandshakeError, Inbound, ModernCall,
    Outgoing, Pipes, RejectedTool, Reply, ServerInfo, Target, Upstream, UpstreamConfig,
};
pub use version::{Era, Version};
