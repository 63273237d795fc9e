//! The endpoint in front of every server: client sessions, routing, policy.
//!
//! A call's way: [`http`] admits and authenticates it and finds its [`session`]; [`requests`] routes it by
//! name through the [`fleet`]'s tables and forwards its bytes; what the server says meanwhile comes back
//! through [`inbound`] to the [`call`] it belongs to. Clients without sessions are [`modern`]'s. [`traffic`] decides
//! whether a call goes now, and where. [`capabilities`] decides who may ask what of whom.
//!
//! The protocol's messages and the connections to servers are `rust/mcp`; processes are the keeper's; what
//! is to be served is decided in Python, which sends [`Routes`] and reads [`Event`]s
//! (`rust/py/src/daemon.rs`).

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

mod answers;
mod bridge;
mod call;
mod capabilities;
mod config;
mod core;
mod daemon;
mod durable;
mod event;
mod fault;
mod fleet;
mod gateway;
mod glob;
mod http;
mod inbound;
mod log_level;
mod metrics;
mod modern;
mod names;
mod process;
mod published;
mod queue;
mod requests;
mod runtime;
mod session;
mod suggest;
mod traffic;

pub use answers::{CacheConfig, CacheRoute, SecondRoute};
pub use bridge::{bridge, bridge_over};
pub use config::{
    GatewayConfig, InstanceRoute, Pool, Routes, ServerRoute, SessionMode, ToolFilter, Transport,
};
pub use core::NoteSink;
pub use daemon::register_daemon;
pub use event::{Counts, Event, EventSink, ServerName};
pub use gateway::Gateway;
pub use process::{Process, Processes};
pub use published::{OwnAddress, PublishedInstance, PublishedRoute, Speaks, TlsFiles};
pub use queue::{EventQueue, Weight};
pub use runtime::runtime;
pub use traffic::{
    Affinity, BalanceBy, BreakerRoute, ConcurrencyRoute, EjectionRoute, Per, RateRoute, RetryRoute,
    TrafficRoute, Trouble, TroubleKind,
};
