//! How messages travel: over pipes, over streamable HTTP, over the two endpoints of 2024-11-05.

pub(crate) mod http;
pub mod stdio;
