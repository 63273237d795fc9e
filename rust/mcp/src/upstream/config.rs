//! What an upstream is made of.

use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::Limits;
use crate::raw::RawJson;
use crate::version::{Era, Version};

/// One connection to one instance of a server.
#[derive(Debug)]
pub struct UpstreamConfig {
    /// The instance, for messages: `files.1`.
    pub instance: String,
    /// Its service, for messages: `files`.
    pub service: String,
    /// How to reach it.
    pub target: Target,
    /// [`ServerInfo::note`](super::ServerInfo::note) of a former daemon's connection to this very process or
    /// session: there is no second `initialize` then.
    pub resume: Option<Bytes>,
    /// Which era the server was of when it was last greeted: what it is greeted as first.
    pub era: Option<Era>,
    /// The daemon's generation. It goes into the ids, so that a late answer to a dead daemon's call is known.
    pub generation: u32,
    /// The longest a handshake may take.
    pub start_timeout: Duration,
    /// The longest a call may take without a sign of progress, where the call does not say.
    pub call_timeout: Duration,
    /// The longest a call may take however much progress it reports.
    pub max_call_time: Duration,
    /// The version to offer in a session; the server may answer with another.
    pub offer: Version,
    /// `clientInfo` of `initialize`, and of our own requests to a modern server: an object with `name` and `version`.
    pub client_info: RawJson,
    /// `capabilities` of `initialize`, and of our own requests to a modern server.
    pub client_capabilities: RawJson,
    /// What one message may weigh, in either direction.
    pub limits: Limits,
}

impl UpstreamConfig {
    /// A connection with the defaults of the stack file.
    pub fn new(service: impl Into<String>, instance: impl Into<String>, target: Target) -> Self {
        Self {
            instance: instance.into(),
            service: service.into(),
            target,
            resume: None,
            era: None,
            generation: 0,
            start_timeout: Duration::from_secs(60),
            call_timeout: Duration::from_secs(60),
            max_call_time: Duration::from_secs(3600),
            offer: Version::LATEST,
            client_info: RawJson::parse(concat!(
                r#"{"name":"backstay","version":""#,
                env!("CARGO_PKG_VERSION"),
                "\"}"
            ))
            .unwrap_or(RawJson::EMPTY_OBJECT),
            client_capabilities: RawJson::EMPTY_OBJECT,
            limits: Limits::default(),
        }
    }
}

/// How to reach an instance.
#[derive(Debug)]
pub enum Target {
    /// Over the pipes of a child process.
    Stdio(Pipes),
    /// Over streamable HTTP (2025-03-26 and later).
    Http(Endpoint),
    /// Over the two endpoints of 2024-11-05.
    Sse(Endpoint),
}

/// The pipes of one process, as the keeper holds them. They are made non-blocking.
#[derive(Debug)]
pub struct Pipes {
    /// The writing end of its stdin.
    pub stdin: OwnedFd,
    /// The reading end of its stdout.
    pub stdout: OwnedFd,
    /// The memfd through which large messages go; one per process, and empty when the process is new.
    pub journal: OwnedFd,
}

/// Where an HTTP server is, and what every request to it carries.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://127.0.0.1:3001/mcp`.
    pub url: String,
    /// Headers to add to every request.
    pub headers: Vec<(String, String)>,
}
