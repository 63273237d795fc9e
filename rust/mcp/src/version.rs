//! The dated versions of the protocol, and which of them this side speaks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A version of the protocol with sessions, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// stdio and the two-endpoint HTTP+SSE transport.
    V2024_11_05,
    /// Streamable HTTP; the only version with batches.
    V2025_03_26,
    /// Structured results, elicitation, the version header.
    V2025_06_18,
    /// Icons, URL elicitation, SSE polling.
    V2025_11_25,
}

/// How two sides agree on what they speak (2026-07-28, "Versioning and Compatibility").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// A handshake and a session, in one of [`Version`].
    Legacy,
    /// No session: each request says what it speaks, which is [`MODERN`].
    Modern,
}

impl Era {
    /// As it is written in lock files and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The one version without sessions.
pub const MODERN: &str = "2026-07-28";

/// Every version that is spoken here, newest first: what an unsupported one is answered with.
pub const SPOKEN: [&str; 5] = [
    MODERN,
    Version::V2025_11_25.as_str(),
    Version::V2025_06_18.as_str(),
    Version::V2025_03_26.as_str(),
    Version::V2024_11_05.as_str(),
];

/// A version nobody here speaks.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("protocol version `{0}` is not one of {list}", list = Version::LIST)]
pub struct UnknownVersion(pub String);

impl Version {
    /// What is offered first.
    pub const LATEST: Self = Self::V2025_11_25;
    /// What a request without a version header speaks (2025-06-18, "Protocol Version Header").
    pub const HEADERLESS: Self = Self::V2025_03_26;
    /// Every version, oldest first.
    pub const ALL: [Self; 4] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
    ];
    /// Every version in words, for messages.
    pub const LIST: &'static str = "2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25";

    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
        }
    }

    /// Whether several messages may travel as one array.
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }

    /// Whether requests over HTTP carry `MCP-Protocol-Version`.
    pub fn has_header(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// The version a server answers `initialize` with: the one asked for if it is spoken here, else the latest.
    pub fn negotiate(asked: &str) -> Self {
        asked.parse().unwrap_or(Self::LATEST)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_read_as_it_is_written() {
        for version in Version::ALL {
            assert_eq!(version.as_str().parse(), Ok(version));
        }
        assert_eq!(Version::ALL.map(Version::as_str).join(", "), Version::LIST);
    }

    #[test]
    fn what_is_spoken_is_every_version_newest_first() {
        let mut newest_first = SPOKEN;
        newest_first.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!(newest_first, SPOKEN);
        assert!(Version::ALL.iter().all(|it| SPOKEN.contains(&it.as_str())));
        assert_eq!(SPOKEN.len(), Version::ALL.len() + 1);
    }

    #[test]
    fn the_modern_version_cannot_be_had_by_a_handshake() {
        assert_eq!(Version::negotiate(MODERN), Version::LATEST);
    }

    #[test]
    fn an_unknown_version_is_answered_with_the_latest() {
        assert_eq!(Version::negotiate("1999-01-01"), Version::LATEST);
        assert_eq!(Version::negotiate("2024-11-05"), Version::V2024_11_05);
    }
}
