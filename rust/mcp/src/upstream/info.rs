//! What a server said of itself: in the handshake, or to `server/discover`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::capabilities::ServerCapabilities;
use crate::modern::meta::SERVER_INFO;
use crate::raw::RawJson;
use crate::version::{Era, MODERN, UnknownVersion, Version};

/// What a server said of itself: in the handshake, or, where it is modern, to `server/discover`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The version agreed on in the handshake; none where there is no handshake: the server is modern.
    pub version: Option<Version>,
    /// What the server can do.
    pub capabilities: ServerCapabilities,
    /// `serverInfo`, as it was sent.
    pub server: RawJson,
    /// `serverInfo.name`.
    pub name: String,
    /// `serverInfo.version`.
    pub server_version: String,
    /// `instructions`.
    pub instructions: Option<String>,
    /// The whole result of `initialize` or `server/discover`.
    pub result: RawJson,
    /// The session's id, where HTTP gave one.
    pub session: Option<String>,
    /// Whether a former daemon's handshake was taken over.
    pub resumed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeResult<'a> {
    protocol_version: String,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default)]
    server_info: Option<&'a RawValue>,
    #[serde(default)]
    instructions: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoverResult<'a> {
    supported_versions: Vec<String>,
    #[serde(borrow)]
    capabilities: &'a RawValue,
    #[serde(default)]
    instructions: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Implementation {
    name: String,
    version: String,
}

/// Why something is not a result of `initialize` or `server/discover`.
#[derive(Debug)]
pub(super) enum BadInfo {
    /// It names a version that nobody here speaks, or not in that way.
    Version(UnknownVersion),
    /// It is served in sessions only: this is the newest version of them that is spoken here too.
    SessionsOnly(Version),
    /// It has the wrong shape.
    Shape(String),
}

impl ServerInfo {
    /// What fits the keeper's note.
    const NOTE_LIMIT: usize = 64 << 10;

    /// What is known before a handshake.
    pub(super) fn unknown() -> Self {
        Self {
            version: Some(Version::LATEST),
            capabilities: ServerCapabilities::read(RawJson::EMPTY_OBJECT),
            server: RawJson::EMPTY_OBJECT,
            name: String::new(),
            server_version: String::new(),
            instructions: None,
            result: RawJson::EMPTY_OBJECT,
            session: None,
            resumed: false,
        }
    }

    /// Reads a result of `initialize`.
    pub(super) fn read(result: &RawJson, session: Option<String>) -> Result<Self, BadInfo> {
        let it: InitializeResult<'_> =
            serde_json::from_slice(result.as_bytes()).map_err(|error| shape(&error))?;
        let version = it.protocol_version.parse().map_err(BadInfo::Version)?;
        Ok(Self {
            version: Some(version),
            session,
            ..Self::of(
                own(it.server_info),
                own(it.capabilities),
                it.instructions,
                result.clone(),
            )
        })
    }

    /// Reads a result of `server/discover`.
    pub(super) fn discovered(result: &RawJson) -> Result<Self, BadInfo> {
        let it: DiscoverResult<'_> =
            serde_json::from_slice(result.as_bytes()).map_err(|error| shape(&error))?;
        speaks_modern(&it.supported_versions)?;
        let server = result
            .member("_meta")
            .and_then(|meta| meta.member(SERVER_INFO))
            .unwrap_or(RawJson::EMPTY_OBJECT);
        Ok(Self::of(
            server,
            own(Some(it.capabilities)),
            it.instructions,
            result.clone(),
        ))
    }

    fn of(
        server: RawJson,
        capabilities: RawJson,
        instructions: Option<String>,
        result: RawJson,
    ) -> Self {
        let named: Implementation = server.read().unwrap_or_default();
        Self {
            version: None,
            capabilities: ServerCapabilities::read(capabilities),
            server,
            name: named.name,
            server_version: named.version,
            instructions,
            session: None,
            resumed: false,
            result,
        }
    }

    /// Which era the server is of.
    pub fn era(&self) -> Era {
        if self.version.is_some() {
            Era::Legacy
        } else {
            Era::Modern
        }
    }

    /// The version spoken, as it is written.
    pub fn protocol(&self) -> &'static str {
        self.version.map_or(MODERN, Version::as_str)
    }

    /// What a later daemon needs in [`UpstreamConfig::resume`](super::UpstreamConfig::resume), so that it need not,
    /// and must not, initialize the same process or session again. At most 64 KiB: where a server's answer is
    /// longer, its instructions are left out, and where that does not help there is no note.
    pub fn note(&self) -> Option<Bytes> {
        let write = |result: &RawJson| -> Option<Bytes> {
            let mut out = b"{\"note\":1,\"era\":\"".to_vec();
            out.extend_from_slice(self.era().as_str().as_bytes());
            out.extend_from_slice(b"\",\"session\":");
            serde_json::to_writer(&mut out, &self.session).ok()?;
            out.extend_from_slice(b",\"result\":");
            out.extend_from_slice(result.as_bytes());
            out.push(b'}');
            (out.len() <= Self::NOTE_LIMIT).then(|| out.into())
        };
        write(&self.result).or_else(|| {
            let mut result: serde_json::Map<String, serde_json::Value> = self.result.read().ok()?;
            result.remove("instructions");
            write(&RawJson::write(&result).ok()?)
        })
    }

    /// Reads a note. A note that cannot be read is no note: then the server is initialized again.
    pub(super) fn from_note(note: &Bytes) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kept<'a> {
            note: u32,
            #[serde(default)]
            era: Option<Era>,
            session: Option<String>,
            #[serde(borrow)]
            result: &'a RawValue,
        }
        let it: Kept<'_> = serde_json::from_slice(note).ok()?;
        if it.note != 1 {
            return None;
        }
        let result = RawJson::parse(Bytes::copy_from_slice(it.result.get().as_bytes())).ok()?;
        let info = match it.era {
            Some(Era::Modern) => Self::discovered(&result).ok()?,
            Some(Era::Legacy) | None => Self::read(&result, it.session).ok()?,
        };
        Some(Self {
            resumed: true,
            ..info
        })
    }
}

/// Whether what is spoken in sessions and without, by the versions a server names, is spoken here too.
pub(super) fn speaks_modern(supported: &[String]) -> Result<(), BadInfo> {
    if supported.iter().any(|version| version == MODERN) {
        return Ok(());
    }
    let sessions = supported.iter().filter_map(|version| version.parse().ok());
    Err(match sessions.max() {
        Some(newest) => BadInfo::SessionsOnly(newest),
        None => BadInfo::Version(UnknownVersion(supported.join(", "))),
    })
}

fn shape(error: &serde_json::Error) -> BadInfo {
    BadInfo::Shape(error.to_string())
}

fn own(raw: Option<&RawValue>) -> RawJson {
    raw.map_or(RawJson::EMPTY_OBJECT, |raw| {
        RawJson::trusted(Bytes::copy_from_slice(raw.get().as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(instructions: &str) -> RawJson {
        let text = serde_json::json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "unknown": 1.0,
            "serverInfo": {"name": "x", "version": "1", "title": "X"}, "instructions": instructions,
        });
        RawJson::write(&text).unwrap()
    }

    #[test]
    fn a_note_gives_the_same_info_back() {
        let info = ServerInfo::read(&answer("be nice"), Some("s1".into())).unwrap();
        let again = ServerInfo::from_note(&info.note().unwrap()).unwrap();
        assert_eq!(
            again,
            ServerInfo {
                resumed: true,
                ..info
            }
        );
    }

    #[test]
    fn a_modern_server_s_note_gives_the_same_info_back() {
        let text = serde_json::json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "_meta": {SERVER_INFO: {"name": "x", "version": "1"}}, "instructions": "be nice",
        });
        let info = ServerInfo::discovered(&RawJson::write(&text).unwrap()).unwrap();
        assert_eq!((info.era(), info.protocol()), (Era::Modern, MODERN));
        assert_eq!(
            (info.name.as_str(), info.server_version.as_str()),
            ("x", "1")
        );
        let again = ServerInfo::from_note(&info.note().unwrap()).unwrap();
        assert_eq!(
            again,
            ServerInfo {
                resumed: true,
                ..info
            }
        );
    }

    #[test]
    fn a_note_without_an_era_is_of_a_session() {
        let note = r#"{"note":1,"session":"s","result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
        let info = ServerInfo::from_note(&Bytes::from_static(note.as_bytes())).unwrap();
        assert_eq!(info.era(), Era::Legacy);
    }

    #[test]
    fn of_the_versions_a_server_names_one_must_be_spoken_here() {
        let named = |versions: &[&str]| {
            speaks_modern(&versions.iter().map(|&it| it.to_owned()).collect::<Vec<_>>())
        };
        assert!(named(&["2027-01-01", MODERN]).is_ok());
        assert!(matches!(
            named(&["2024-11-05", "2025-06-18", "2027-01-01"]),
            Err(BadInfo::SessionsOnly(Version::V2025_06_18))
        ));
        assert!(matches!(named(&["2027-01-01"]), Err(BadInfo::Version(_))));
        assert!(matches!(named(&[]), Err(BadInfo::Version(_))));
    }

    #[test]
    fn a_note_that_would_be_too_long_leaves_the_instructions_out() {
        let info = ServerInfo::read(&answer(&"x".repeat(70_000)), None).unwrap();
        let again = ServerInfo::from_note(&info.note().unwrap()).unwrap();
        assert_eq!((again.instructions, again.name.as_str()), (None, "x"));
    }

    #[test]
    fn a_note_of_another_kind_is_no_note() {
        assert!(ServerInfo::from_note(&Bytes::from_static(b"{\"note\":2}")).is_none());
        assert!(ServerInfo::from_note(&Bytes::from_static(b"\0\0")).is_none());
    }
}
