//! How messages travel: over pipes, over streamable HTTP, over the two endpoints of 2024-11-05.

pub(crate) mod http;
#[doc(hidden)]
pub use http::plain::fuzz as answer;
pub mod posted;
pub mod stdio;
