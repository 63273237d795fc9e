//! The gateway from outside: real sockets, real pipes, servers and clients that are tasks.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    reason = "tests: one crate of many files, and `json!` as an argument reads best by value"
)]

mod answers;
mod both_ways;
mod bridge;
mod calls;
mod hostile;
mod http_upstream;
mod input_required;
mod isolated;
mod messages;
mod modern;
mod modern_changes;
mod modern_server;
mod old_sse;
mod pool;
mod published;
mod quick;
mod replaced;
mod restart;
mod routes;
mod second_level;
mod support;
mod traffic;
