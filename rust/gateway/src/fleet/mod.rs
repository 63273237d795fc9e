//! The servers behind the gateway: what is routed, connected, offered.

mod catalog;
mod choose;
mod connect;
mod instance;
mod isolate;
mod publish;
mod refresh;
mod routes;
mod server;
mod template;
mod view;

pub(crate) use catalog::{Hints, list_of};
pub(crate) use choose::{Ask, Chosen, Unchosen};
pub(crate) use instance::{Instance, State};
pub(crate) use publish::Publisher;
pub(crate) use server::Server;
pub(crate) use view::{Destination, View, list_answer};
