//! What both HTTP transports need: a client that keeps connections, an endpoint, and words for bad answers.

mod body;
mod client;
mod endpoint;
mod status;

pub(crate) use body::{BodyError, Events, read_whole};
pub(crate) use client::{Client, describe};
pub(crate) use endpoint::{Address, LAST_EVENT, SESSION, VERSION};
pub(crate) use status::explain;
