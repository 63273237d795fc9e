//! What both HTTP transports need: a client that keeps connections, an endpoint, and words for bad answers.

mod body;
mod client;
mod endpoint;
pub(crate) mod plain;
mod status;

pub(crate) use body::{Body, BodyError, Events, read_whole};
pub(crate) use client::{Client, Prepared, Response};
pub(crate) use endpoint::{Address, LAST_EVENT, SESSION, VERSION};
pub(crate) use plain::Headers;
pub(crate) use status::explain;
