//! What the daemon tells the gateway: how to serve ([`GatewayConfig`], once) and what to serve
//! ([`Routes`], whole, every time it changes). Both arrive as JSON from Python, already validated
//! there; unknown keys are refused so that the two sides cannot drift apart in silence.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use backstay_mcp::Era;
use serde::{Deserialize, Serialize};

use crate::answers::{CacheConfig, CacheRoute};
use crate::published::{PublishedRoute, TlsFiles};
use crate::traffic::TrafficRoute;

/// How the gateway serves. Fixed for the life of one daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// The state directory: `control.sock` and `run/` are below it.
    pub state_dir: PathBuf,
    /// Which daemon of this fleet this is; event ids and upstream ids carry it.
    pub generation: u32,
    /// Host names accepted in `Host` besides the loopback ones. `*` accepts all.
    pub allowed_hosts: Vec<String>,
    /// Origins accepted besides loopback ones, e.g. `https://inspector.example`.
    pub allowed_origins: Vec<String>,
    /// The bearer token that TCP clients must show. Without one, none is asked on loopback, and
    /// elsewhere one is made in `run/gateway.token`.
    pub token: Option<String>,
    /// The certificate of its TCP address; without one it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Reads the bearer token from this file instead.
    pub token_file: Option<PathBuf>,
    /// Whether requests are counted and timed, and `/metrics` says so.
    pub metrics: bool,
    /// Connections served at a time; more wait in the listener's backlog.
    pub max_connections: usize,
    /// Client sessions kept at a time.
    pub max_sessions: usize,
    /// A session unused for this long is forgotten.
    pub session_ttl_ms: u64,
    /// Longest request body, in bytes.
    pub max_body: usize,
    /// Requests one session may have in flight.
    pub max_calls_per_session: usize,
    /// How long requests wait, after the daemon's start, for servers that are being re-attached.
    pub settle_ms: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from(".backstay"),
            generation: 1,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            token: None,
            tls: None,
            token_file: None,
            metrics: true,
            max_connections: 32_768,
            max_sessions: 32_768,
            session_ttl_ms: 24 * 60 * 60 * 1000,
            max_body: 64 << 20,
            max_calls_per_session: 10_000,
            settle_ms: 5_000,
        }
    }
}

impl GatewayConfig {
    /// The directory of sockets and small durable files.
    pub fn run_dir(&self) -> PathBuf {
        self.state_dir.join("run")
    }

    pub(crate) fn session_ttl(&self) -> Duration {
        Duration::from_millis(self.session_ttl_ms)
    }

    pub(crate) fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }
}

/// What the gateway is to serve: everything, or what has changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routes {
    /// The fleet's name, by the stack file; shown to clients.
    #[serde(default)]
    pub fleet: String,
    /// The servers, in any order.
    pub servers: Vec<ServerRoute>,
    /// Servers that are let go while those that are not named stay. Without it, all that are not named are.
    #[serde(default)]
    pub gone: Option<Vec<String>>,
    /// All plain services that clients reach through it, in any order; none where they stay as they are.
    #[serde(default)]
    pub published: Option<Vec<PublishedRoute>>,
    /// What the answers that are kept have in common.
    #[serde(default, deserialize_with = "or_default")]
    pub cache: CacheConfig,
}

/// One MCP server of the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRoute {
    /// The service's name: the path below `/mcp/`.
    pub service: String,
    /// First part of its names on `/mcp`; empty for none. Without one: the service's name.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Which of its tools are offered.
    #[serde(default)]
    pub tools: ToolFilter,
    /// Who shares an upstream session.
    #[serde(default)]
    pub session: SessionMode,
    /// How many instances sessions may have to themselves (`isolated` over stdio); none: those there are.
    #[serde(default)]
    pub pool: Option<Pool>,
    /// How it is spoken to.
    #[serde(default)]
    pub transport: Transport,
    /// The copies of it that calls may go to.
    pub instances: Vec<InstanceRoute>,
    /// From the first byte sent to the end of the handshake.
    #[serde(default = "default_timeout_ms")]
    pub start_timeout_ms: u64,
    /// Longest silence of a call: progress starts it anew.
    #[serde(default = "default_timeout_ms")]
    pub call_timeout_ms: u64,
    /// How calls to it are balanced, limited and protected.
    #[serde(default, deserialize_with = "or_default")]
    pub traffic: TrafficRoute,
    /// Which of its answers are kept; none where nothing is said.
    #[serde(default)]
    pub cache: Option<CacheRoute>,
}

/// Nothing said is said by leaving it out or by `null`.
fn or_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

const fn default_timeout_ms() -> u64 {
    60_000
}

impl ServerRoute {
    /// The first part of its names on `/mcp`.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or(&self.service)
    }

    pub(crate) fn start_timeout(&self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }
}

/// The instances of a server of which each session has one to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Free ones kept ready.
    pub spare: usize,
    /// The most there may be.
    pub most: usize,
    /// Whether nothing else is being done with them: only then are they given up.
    pub steady: bool,
    /// Why no more can be started now.
    #[serde(default)]
    pub cramped: Option<String>,
}

/// One running copy of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceRoute {
    /// `files.1`.
    pub name: String,
    /// Where it listens; none for stdio.
    #[serde(default)]
    pub url: Option<String>,
    /// Sent with every request to `url`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Which era a server of this configuration was of when it was last greeted.
    #[serde(default)]
    pub era: Option<Era>,
    /// Its share of the calls against the others'; 0 for none.
    #[serde(default = "one")]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

/// Which tools of a server are offered: globs of its own names. `deny` wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolFilter {
    /// Only these; empty for all.
    pub allow: Vec<String>,
    /// Never these.
    pub deny: Vec<String>,
}

/// Who shares one upstream session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionMode {
    /// All sessions of one identity.
    #[default]
    Shared,
    /// Each client session has its own.
    Isolated,
    /// All sessions.
    Global,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Lines over pipes that the keeper holds.
    #[default]
    Stdio,
    /// Streamable HTTP (2025-03-26 and later).
    StreamableHttp,
    /// HTTP+SSE (2024-11-05).
    Sse,
}
