//! What of a server's answers is kept, as Python tells it (`cache:` of the stack file).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The answers of one server that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheRoute {
    /// The revision that answers, by what it is made of: another one's answers are not this one's.
    pub revision: String,
    /// How long an answer is fresh that does not say so itself.
    pub ttl_ms: u64,
    /// How long a refusal is: an error, or a result that says it is one.
    pub negative_ms: u64,
    /// Tools that read only, by the operator's word; none: those that say so themselves.
    pub tools: Option<Vec<String>>,
    /// Resources that are kept.
    pub resources: Vec<String>,
    /// Whether all clients may have the same answers.
    pub shared: bool,
    /// Tools that change something, and whose answers that makes stale (tools, or URIs of resources); a tool that
    /// is not named here makes all of the server's stale.
    pub invalidates: BTreeMap<String, Vec<String>>,
    /// A file of calls that are made when the server becomes ready.
    #[serde(default)]
    pub warm: Option<PathBuf>,
}

/// What all servers' answers have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Bytes of answers that are kept in this process.
    pub memory: u64,
    /// Where they are kept besides.
    pub second: Option<SecondRoute>,
}

/// A second level: Redis or Memcached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondRoute {
    /// `redis[s]://[user:password@]host[:port][/database]` or `memcached://host[:port]`.
    pub url: String,
    /// Whose certificates are good, in PEM; this machine's authorities where not given.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Whose answers these are: the fleet's name, by the stack file and not by who began.
    pub fleet: String,
    /// Whether an answer is put there before its client gets it.
    pub through: bool,
    /// How long one word with it may take.
    pub timeout_ms: u64,
}

impl std::fmt::Debug for SecondRoute {
    /// Without its address, which may hold a password.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "second level of {}", self.fleet)
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            second: None,
        }
    }
}
