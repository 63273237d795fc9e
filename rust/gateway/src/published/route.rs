//! What is published, as the daemon says it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use backstay_traffic::pool::Protocol;
use backstay_traffic::tls::CertificateFiles;
use serde::{Deserialize, Serialize};

use crate::http::host_name;
use crate::traffic::TrafficRoute;

/// One plain service that clients reach through the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRoute {
    /// The service.
    pub service: String,
    /// The path at the gateway's address beneath which it is: `/shop`, or `/` for all of its `hosts`.
    #[serde(default)]
    pub path: Option<String>,
    /// Only requests for these host names, in lower case; all where empty.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether the service sees its own paths, without `path`.
    #[serde(default)]
    pub strip: bool,
    /// An address of its own.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// The certificate of its own address.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Whether anybody may use it: no token is asked for, and pages of any origin may call.
    #[serde(default)]
    pub public: bool,
    /// How it speaks.
    #[serde(default)]
    pub protocol: Speaks,
    /// How long it may take to begin an answer.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// How requests are balanced, limited and protected.
    #[serde(default)]
    pub traffic: TrafficRoute,
    /// The copies of it that requests may go to.
    pub instances: Vec<PublishedInstance>,
}

const fn default_timeout_ms() -> u64 {
    60_000
}

/// The address of its own that a service is published at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnAddress {
    /// The service.
    pub service: String,
    /// Where it is.
    pub listen: SocketAddr,
    /// Its certificate.
    pub tls: Option<TlsFiles>,
    /// Whether anybody may use it.
    pub public: bool,
}

impl PublishedRoute {
    /// The address of its own, if it has one.
    pub fn own_address(&self) -> Option<OwnAddress> {
        Some(OwnAddress {
            service: self.service.clone(),
            listen: self.listen?,
            tls: self.tls.clone(),
            public: self.public,
        })
    }

    /// Whether it is published for this host.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        host_name(host).is_some_and(|name| self.hosts.contains(&name))
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// One running copy of a published service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedInstance {
    /// `web.1`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How a published service speaks HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaks {
    /// HTTP/1.1, WebSocket included.
    #[default]
    Http,
    /// HTTP/2 without TLS, as gRPC servers do.
    H2c,
}

impl From<Speaks> for Protocol {
    fn from(speaks: Speaks) -> Self {
        match speaks {
            Speaks::Http => Self::Http1,
            Speaks::H2c => Self::Http2,
        }
    }
}

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl From<TlsFiles> for CertificateFiles {
    fn from(files: TlsFiles) -> Self {
        Self {
            certificate: files.certificate,
            key: files.key,
        }
    }
}
