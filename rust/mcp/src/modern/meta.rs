//! What a modern request says of itself in `params._meta`: read where it stands, and set or removed there.

use std::borrow::Cow;

use thiserror::Error;

use crate::envelope::{Edit, Envelope, EnvelopeError, layout, scan::Scanner};
use crate::jsonrpc::{INVALID_PARAMS, RpcError};
use crate::raw::RawJson;
use crate::version::MODERN;

/// The version a request speaks. Required.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Who asks: name and version.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// What the client can do for this request. Required.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// From which level on the server may send log messages while it serves this request; none without it.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Who answers, in a result's `_meta`.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Which `subscriptions/listen` a notification belongs to, in its `_meta`.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Takes what the modern era says of a request out of it, for a server that knows sessions.
pub const REMOVED_FOR_LEGACY: [Edit<'static>; 4] = [
    Edit::Remove(PROTOCOL_VERSION),
    Edit::Remove(CLIENT_INFO),
    Edit::Remove(CLIENT_CAPABILITIES),
    Edit::Remove(LOG_LEVEL),
];

/// What one request says of itself, borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct RequestMeta<'a> {
    request: &'a Envelope,
    version: Option<&'a [u8]>,
    client: Option<&'a [u8]>,
    capabilities: Option<&'a [u8]>,
    level: Option<&'a [u8]>,
}

/// Why a request's `_meta` is not what 2026-07-28 asks for.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MetaFault {
    /// A required key is missing.
    #[error("`params._meta` lacks `{key}`, which every request of {MODERN} carries")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key stands there twice; readers differ in which one they take.
    #[error("`params._meta` has `{key}` twice")]
    Twice {
        /// The key.
        key: &'static str,
    },
    /// A key has a value of the wrong kind.
    #[error("`{key}` in `params._meta` is not {expected}")]
    WrongKind {
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl MetaFault {
    /// As the client is told it: −32602, HTTP status 400.
    pub fn to_rpc(self) -> RpcError {
        RpcError::new(INVALID_PARAMS, self.to_string())
    }
}

impl<'a> RequestMeta<'a> {
    /// Reads it. What is not there is none; see [`RequestMeta::required`].
    pub fn read(request: &'a Envelope) -> Result<Self, MetaFault> {
        let mut it = Self {
            request,
            version: None,
            client: None,
            capabilities: None,
            level: None,
        };
        let meta = request.meta_bytes();
        if meta.first() != Some(&b'{') {
            return Ok(it);
        }
        let mut twice = None;
        let walked = Scanner::again(meta).object(0, |scanner, key| {
            let value = scanner.value(1)?;
            let place = match layout::text(key).as_deref() {
                Some(PROTOCOL_VERSION) => (&mut it.version, PROTOCOL_VERSION),
                Some(CLIENT_INFO) => (&mut it.client, CLIENT_INFO),
                Some(CLIENT_CAPABILITIES) => (&mut it.capabilities, CLIENT_CAPABILITIES),
                Some(LOG_LEVEL) => (&mut it.level, LOG_LEVEL),
                _ => return Ok(()),
            };
            if place.0.replace(scanner.slice(value)).is_some() {
                twice.get_or_insert(place.1);
            }
            Ok::<(), EnvelopeError>(())
        });
        debug_assert!(walked.is_ok(), "the envelope validated it");
        if let Some(key) = twice {
            return Err(MetaFault::Twice { key });
        }
        for (value, key, start, expected) in [
            (it.version, PROTOCOL_VERSION, b'"', "a string"),
            (it.client, CLIENT_INFO, b'{', "an object"),
            (it.capabilities, CLIENT_CAPABILITIES, b'{', "an object"),
            (it.level, LOG_LEVEL, b'"', "a string"),
        ] {
            if value.is_some_and(|value| value.first() != Some(&start)) {
                return Err(MetaFault::WrongKind { key, expected });
            }
        }
        Ok(it)
    }

    /// Whether the request says that it is modern: that it names a version, whichever.
    pub fn is_modern(&self) -> bool {
        self.version.is_some()
    }

    /// What every request of 2026-07-28 carries is there.
    pub fn required(&self) -> Result<(), MetaFault> {
        for (value, key) in [
            (self.version, PROTOCOL_VERSION),
            (self.capabilities, CLIENT_CAPABILITIES),
        ] {
            if value.is_none() {
                return Err(MetaFault::Missing { key });
            }
        }
        Ok(())
    }

    /// The version it speaks.
    pub fn version(&self) -> Option<Cow<'a, str>> {
        self.version.and_then(layout::text)
    }

    /// The level from which on it wants log messages; whether it is one the protocol knows is not looked at.
    pub fn log_level(&self) -> Option<Cow<'a, str>> {
        self.level.and_then(layout::text)
    }

    /// Who asks, as it was written.
    pub fn client_info(&self) -> Option<RawJson> {
        self.client.map(|part| self.raw(part))
    }

    /// What the client can do, as it was written.
    pub fn client_capabilities(&self) -> Option<RawJson> {
        self.capabilities.map(|part| self.raw(part))
    }

    /// A part of the request, whose bytes it shares.
    fn raw(&self, part: &[u8]) -> RawJson {
        RawJson::trusted(self.request.bytes().slice_ref(part))
    }
}

/// What every request to a modern server carries, said by this side.
///
/// Keep one per client and upstream; [`ModernMeta::edits`] splices it into each request.
#[derive(Clone, Debug)]
pub struct ModernMeta {
    version: RawJson,
    client: RawJson,
    capabilities: RawJson,
    level: Option<RawJson>,
}

impl ModernMeta {
    /// With a client's name and version, and what it can do.
    pub fn new(client: RawJson, capabilities: RawJson, level: Option<&str>) -> Self {
        Self {
            version: RawJson::trusted(bytes::Bytes::from_static(b"\"2026-07-28\"")),
            client,
            capabilities,
            level: level.map(RawJson::string),
        }
    }

    /// For [`Rewrite::meta`](crate::Rewrite::meta): what the request said of this itself gives way.
    pub fn edits(&self) -> [Edit<'_>; 4] {
        [
            Edit::Set(PROTOCOL_VERSION, &self.version),
            Edit::Set(CLIENT_INFO, &self.client),
            Edit::Set(CLIENT_CAPABILITIES, &self.capabilities),
            match &self.level {
                Some(level) => Edit::Set(LOG_LEVEL, level),
                None => Edit::Remove(LOG_LEVEL),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Limits, Rewrite};

    fn request(params: &str) -> Envelope {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        Envelope::parse(text, Limits::default()).unwrap()
    }

    #[test]
    fn what_a_request_says_of_itself_is_read() {
        let request = request(
            r#"{"_meta":{"io.modelcontextprotocol\/protocolVersion":"2026-07-28",
                "io.modelcontextprotocol/clientCapabilities":{"roots":{}},"x":[1],
                "io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},
                "io.modelcontextprotocol/logLevel":"debug"}}"#,
        );
        let meta = RequestMeta::read(&request).unwrap();
        assert!(meta.is_modern() && meta.required().is_ok());
        assert_eq!(meta.version().as_deref(), Some(MODERN));
        assert_eq!(meta.log_level().as_deref(), Some("debug"));
        let (can, who) = (meta.client_capabilities(), meta.client_info());
        assert_eq!(can.unwrap().as_str(), r#"{"roots":{}}"#);
        assert_eq!(who.unwrap().as_str(), r#"{"name":"c","version":"1"}"#);
    }

    #[test]
    fn what_is_missing_twice_or_of_the_wrong_kind_is_named() {
        let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
        let fault = |meta: &str| {
            let request = request(&format!(r#"{{"_meta":{{{meta}}}}}"#));
            RequestMeta::read(&request).and_then(|meta| meta.required())
        };
        assert_eq!(
            fault(""),
            Err(MetaFault::Missing {
                key: PROTOCOL_VERSION
            })
        );
        assert_eq!(
            fault(version),
            Err(MetaFault::Missing {
                key: CLIENT_CAPABILITIES
            })
        );
        assert_eq!(
            fault(&format!("{version},{version}")),
            Err(MetaFault::Twice {
                key: PROTOCOL_VERSION
            })
        );
        assert_eq!(
            fault(&format!(
                r#"{version},"io.modelcontextprotocol/clientCapabilities":[]"#
            )),
            Err(MetaFault::WrongKind {
                key: CLIENT_CAPABILITIES,
                expected: "an object"
            })
        );
    }

    #[test]
    fn a_request_without_meta_is_not_modern() {
        for params in ["{}", r#"{"_meta":{}}"#, r#"{"_meta":null}"#] {
            assert!(!RequestMeta::read(&request(params)).unwrap().is_modern());
        }
    }

    proptest! {
        #[test]
        fn what_is_spliced_in_and_taken_out_again_leaves_every_byte(
            before in "[ \n]{0,2}",
            member in prop_oneof![Just(""), Just(r#""_meta" :{ "progressToken": 1.0 }"#), Just(r#""_meta":{}"#), Just(r#""a":1e2"#)],
        ) {
            let params = format!("{{{before}{member}}}");
            let plain = request(&params);
            let own = ModernMeta::new(RawJson::EMPTY_OBJECT, RawJson::EMPTY_OBJECT, Some("info"));
            let modern = plain.rewrite(&Rewrite { meta: &own.edits(), ..Rewrite::default() });
            let modern = Envelope::parse(modern, Limits::default()).unwrap();
            prop_assert!(RequestMeta::read(&modern).unwrap().required().is_ok());
            let back = modern.rewrite(&Rewrite { meta: &REMOVED_FOR_LEGACY, ..Rewrite::default() });
            // A `_meta` that was made stays behind empty; all else is as it was.
            let expected = match member {
                "" => plain.rewrite(&Rewrite::default()),
                _ => plain.bytes().clone(),
            };
            if member.contains("_meta") {
                prop_assert_eq!(back, expected);
            } else {
                let back = String::from_utf8(back.to_vec()).unwrap();
                let without = back.replace(",\"_meta\":{}", "").replace("\"_meta\":{}", "");
                prop_assert_eq!(without.as_bytes(), &expected[..]);
            }
        }
    }
}
