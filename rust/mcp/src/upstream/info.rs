//! What a server said of itself in the handshake.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::capabilities::ServerCapabilities;
use crate::raw::RawJson;
use crate::version::Version;

/// What a server said of itself in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The version both sides speak.
    pub version: Version,
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
    /// The whole result of `initialize`.
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

#[derive(Deserialize, Default)]
#[serde(default)]
struct Implementation {
    name: String,
    version: String,
}

/// Why something is not a result of `initialize`.
#[derive(Debug)]
pub(super) enum BadInfo {
    /// It names a version nobody here speaks.
    Version(crate::version::UnknownVersion),
    /// It has the wrong shape.
    Shape(String),
}

impl ServerInfo {
    /// What fits the keeper's note.
    const NOTE_LIMIT: usize = 64 << 10;

    /// What is known before a handshake.
    pub(super) fn unknown() -> Self {
        Self {
            version: Version::LATEST,
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

    pub(super) fn read(result: RawJson, session: Option<String>) -> Result<Self, BadInfo> {
        let shape = |error: serde_json::Error| BadInfo::Shape(error.to_string());
        let it: InitializeResult<'_> = serde_json::from_slice(result.as_bytes()).map_err(shape)?;
        let version = it.protocol_version.parse().map_err(BadInfo::Version)?;
        let own = |raw: Option<&RawValue>| {
            raw.map_or(RawJson::EMPTY_OBJECT, |raw| {
                RawJson::trusted(Bytes::copy_from_slice(raw.get().as_bytes()))
            })
        };
        let server = own(it.server_info);
        let named: Implementation = server.read().unwrap_or_default();
        Ok(Self {
            version,
            capabilities: ServerCapabilities::read(own(it.capabilities)),
            server,
            name: named.name,
            server_version: named.version,
            instructions: it.instructions,
            session,
            resumed: false,
            result,
        })
    }

    /// What a later daemon needs in [`UpstreamConfig::resume`](super::UpstreamConfig::resume), so that it need not,
    /// and must not, initialize the same process or session again. At most 64 KiB: where a server's answer is
    /// longer, its instructions are left out, and where that does not help there is no note.
    pub fn note(&self) -> Option<Bytes> {
        let write = |result: &RawJson| -> Option<Bytes> {
            let mut out = b"{\"note\":1,\"session\":".to_vec();
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
            session: Option<String>,
            #[serde(borrow)]
            result: &'a RawValue,
        }
        let it: Kept<'_> = serde_json::from_slice(note).ok()?;
        if it.note != 1 {
            return None;
        }
        let result = RawJson::parse(Bytes::copy_from_slice(it.result.get().as_bytes())).ok()?;
        let info = Self::read(result, it.session).ok()?;
        Some(Self {
            resumed: true,
            ..info
        })
    }
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
        let info = ServerInfo::read(answer("be nice"), Some("s1".into())).unwrap();
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
    fn a_note_that_would_be_too_long_leaves_the_instructions_out() {
        let info = ServerInfo::read(answer(&"x".repeat(70_000)), None).unwrap();
        let again = ServerInfo::from_note(&info.note().unwrap()).unwrap();
        assert_eq!((again.instructions, again.name.as_str()), (None, "x"));
    }

    #[test]
    fn a_note_of_another_kind_is_no_note() {
        assert!(ServerInfo::from_note(&Bytes::from_static(b"{\"note\":2}")).is_none());
        assert!(ServerInfo::from_note(&Bytes::from_static(b"\0\0")).is_none());
    }
}
