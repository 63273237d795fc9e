//! What the gateway has to say to the daemon, in the order in which it happened.

use std::sync::Arc;

use backstay_mcp::Era;
use serde::Serialize;

use crate::queue::Weight;

/// Receives every event; called on the gateway's threads, so it must not wait.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;

/// One thing that happened. Serialises to the JSON that Python reads (`kind`, `service`, …).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind")]
pub enum Event {
    /// The handshake is done and its lists are read: calls can go to it.
    #[serde(rename = "server.ready")]
    ServerReady {
        /// The service.
        service: String,
        /// The instance of it.
        instance: String,
        /// The protocol version spoken.
        version: String,
        /// The era it belongs to, which is where to begin next time.
        era: Era,
        /// What the server calls itself.
        server: ServerName,
        /// How much it offers.
        #[serde(flatten)]
        counts: Counts,
        /// From the first byte to the end of the handshake.
        handshake_ms: u64,
        /// Whether a former daemon did the handshake.
        resumed: bool,
    },
    /// The handshake failed.
    #[serde(rename = "server.failed")]
    ServerFailed {
        /// The service.
        service: String,
        /// The instance of it.
        instance: String,
        /// What went wrong.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// What a ready server offers has changed.
    #[serde(rename = "server.changed")]
    ServerChanged {
        /// The service.
        service: String,
        /// The instance that said so.
        instance: String,
        /// How much it offers now.
        #[serde(flatten)]
        counts: Counts,
    },
    /// Tools of a server are not offered: their definitions are not what the protocol allows.
    #[serde(rename = "tools.rejected")]
    ToolsRejected {
        /// The service.
        service: String,
        /// The instance of it.
        instance: String,
        /// Each tool's name and what is wrong with it.
        tools: Vec<(String, String)>,
    },
    /// A server that was ready is no longer reachable.
    #[serde(rename = "server.closed")]
    ServerClosed {
        /// The service.
        service: String,
        /// The instance of it.
        instance: String,
        /// Why, as far as the connection tells.
        reason: String,
    },
    /// Two servers offer the same name on `/mcp`; each now goes by its longer one.
    #[serde(rename = "name.clash")]
    NameClash {
        /// `tool`, `prompt` or `resource`.
        what: &'static str,
        /// The name that both want.
        name: String,
        /// One of the servers.
        service: String,
        /// The other.
        other: String,
        /// What the first one's is called instead.
        renamed: String,
    },
    /// Something published has no address of its own: nobody can listen there.
    #[serde(rename = "publish.failed")]
    PublishFailed {
        /// The service.
        service: String,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// A certificate's files have changed: it is another one from now on, or the former one stays.
    #[serde(rename = "certificate.changed")]
    CertificateChanged {
        /// The certificate's file.
        file: String,
        /// Why the new one cannot be used; none where it is.
        reason: Option<String>,
    },
    /// The second level of kept answers is left alone for a while: calls go on without it.
    #[serde(rename = "cache.lost")]
    CacheLost {
        /// Why.
        reason: String,
    },
    /// It is used again.
    #[serde(rename = "cache.back")]
    CacheBack,
    /// Client sessions want instances of their own (`session: isolated` over stdio), and there are too few.
    #[serde(rename = "session.wanted")]
    SessionWanted {
        /// The service.
        service: String,
        /// How many there should be, the spare ones included.
        instances: usize,
    },
    /// An instance is left over: no session has it or will get it, and it can end.
    #[serde(rename = "session.spare")]
    SessionSpare {
        /// The service.
        service: String,
        /// The instance.
        instance: String,
    },
    /// A tool of an instance failed too often: it is not asked for a while.
    #[serde(rename = "breaker.opened")]
    BreakerOpened {
        /// The service.
        service: String,
        /// The instance.
        instance: String,
        /// The tool; none for what is no tool call.
        #[serde(skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
        /// When one call will be let through to see.
        retry_in_ms: u64,
    },
    /// It works again.
    #[serde(rename = "breaker.closed")]
    BreakerClosed {
        /// The service.
        service: String,
        /// The instance.
        instance: String,
        /// The tool; none for what is no tool call.
        #[serde(skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
    },
    /// An instance failed too often in a row: others get its calls for a while.
    #[serde(rename = "instance.ejected")]
    InstanceEjected {
        /// The service.
        service: String,
        /// The instance.
        instance: String,
        /// For how long.
        rests_for_ms: u64,
    },
    /// An instance that was ejected gets calls again.
    #[serde(rename = "instance.returned")]
    InstanceReturned {
        /// The service.
        service: String,
        /// The instance.
        instance: String,
    },
    /// That session ended: its instance must begin anew before another session gets it.
    #[serde(rename = "session.ended")]
    SessionEnded {
        /// The service.
        service: String,
        /// The client session, by a name that is no secret.
        session: String,
        /// The instance.
        instance: String,
    },
}

impl Event {
    /// Whether it may be dropped when nobody reads events for long.
    pub fn weight(&self) -> Weight {
        match self {
            Self::NameClash { .. }
            | Self::ServerChanged { .. }
            | Self::ToolsRejected { .. }
            | Self::BreakerOpened { .. }
            | Self::BreakerClosed { .. }
            | Self::InstanceEjected { .. }
            | Self::InstanceReturned { .. }
            | Self::CacheLost { .. }
            | Self::CacheBack => Weight::Note,
            _ => Weight::State,
        }
    }
}

/// A server's own name and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerName {
    /// `serverInfo.name`.
    pub name: String,
    /// `serverInfo.version`.
    pub version: String,
}

/// How much a server offers, after `tools: {allow, deny}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Tools.
    pub tools: usize,
    /// Resources and resource templates.
    pub resources: usize,
    /// Prompts.
    pub prompts: usize,
}
