//! Spawn, watch, probe, restart, stop; logs; and how daemon and keeper talk.
//!
//! The keeper (`rust/keeper`) runs instances with it, the daemon (`rust/py`) asks
//! the keeper through [`KeeperClient`]. What an instance is, is in [`spec`]; what
//! happens to it, in [`event`]. The MCP handshake is not here but in `rust/mcp`.

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

pub mod address;
pub mod census;
pub mod client;
pub mod event;
pub mod log;
pub mod pipes;
pub mod probe;
pub mod restart;
pub mod signal;
pub mod spawn;
pub mod spec;
pub mod stop;
pub mod watch;
pub mod wire;

pub use client::{KeeperClient, KeeperError};
pub use event::{InstanceState, InstanceView, KeeperEvent, Reported};
pub use pipes::McpPipes;
pub use spec::{InstanceSpec, SpecError};
