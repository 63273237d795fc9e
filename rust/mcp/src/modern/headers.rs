//! The headers that mirror a modern request's body over HTTP: `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name`.
//!
//! The body decides; a header that says something else, or nothing, makes the request −32020. Those of a tool's
//! annotated arguments are in [`param`](super::param).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::errors;
use super::meta::RequestMeta;
use crate::envelope::Envelope;
use crate::jsonrpc::RpcError;

/// Mirrors the version in `_meta`.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// Mirrors `method`.
pub const METHOD: &str = "mcp-method";
/// Mirrors `params.name` or `params.uri`.
pub const NAME: &str = "mcp-name";
/// Before the names of annotated arguments.
pub const PARAM_PREFIX: &str = "mcp-param-";

const OPENING: &str = "=?base64?";
const CLOSING: &str = "?=";

/// A value as a header carries it: itself where that is safe, else in Base64 between marks.
pub fn encode(text: &str) -> Cow<'_, str> {
    let marked = text.starts_with(OPENING) && text.ends_with(CLOSING);
    let edges = |end: Option<&u8>| matches!(end, Some(b' ' | b'\t'));
    let bytes = text.as_bytes();
    if !marked && text.bytes().all(is_plain) && !edges(bytes.first()) && !edges(bytes.last()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{OPENING}{}{CLOSING}", STANDARD.encode(text)))
}

/// What a header's value says; none where it has characters that no header may have, or its Base64 is none.
pub fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    if !value.iter().copied().all(is_plain) {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let Some(inside) = text
        .strip_prefix(OPENING)
        .and_then(|rest| rest.strip_suffix(CLOSING))
    else {
        return Some(Cow::Borrowed(text));
    };
    String::from_utf8(STANDARD.decode(inside).ok()?)
        .ok()
        .map(Cow::Owned)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

/// What `Mcp-Name` mirrors of a request; none for methods that have no such header, or a body that lacks it.
pub fn name(request: &Envelope) -> Option<Cow<'_, str>> {
    match &*request.method() {
        "tools/call" | "prompts/get" => request.name(),
        "resources/read" => request.uri(),
        _ => None,
    }
}

/// The headers of a request, whoever has read them.
pub trait Headers {
    /// The one value of a header, which is called `shown` where somebody is told of it.
    ///
    /// # Errors
    /// −32020 where it stands there twice: readers differ in which one they take.
    fn one(&self, key: &str, shown: &str) -> Result<Option<&[u8]>, RpcError>;
}

impl Headers for HeaderMap {
    fn one(&self, key: &str, shown: &str) -> Result<Option<&[u8]>, RpcError> {
        let mut values = self.get_all(key).iter();
        let value = values.next();
        if values.next().is_some() {
            return Err(errors::header_mismatch(&format!(
                "`{shown}` stands there twice"
            )));
        }
        Ok(value.map(http::HeaderValue::as_bytes))
    }
}

/// Compares the headers of a request with its body.
///
/// # Errors
/// −32020, with both values; HTTP status 400.
pub fn check(
    headers: &impl Headers,
    request: &Envelope,
    meta: &RequestMeta<'_>,
) -> Result<(), RpcError> {
    if let Some(version) = meta.version() {
        same(headers, PROTOCOL_VERSION, "MCP-Protocol-Version", &version)?;
    }
    same(headers, METHOD, "Mcp-Method", &request.method())?;
    match name(request) {
        Some(name) => same(headers, NAME, "Mcp-Name", &name),
        None => Ok(()),
    }
}

/// Compares one header with what the body says.
fn same(headers: &impl Headers, key: &str, shown: &str, body: &str) -> Result<(), RpcError> {
    let value = headers.one(key, shown)?.ok_or_else(|| {
        errors::header_mismatch(&format!("`{shown}` is missing; the body says `{body}`"))
    })?;
    // Only names may be encoded; a version or method never has to be, and is itself otherwise.
    let said = if key == NAME {
        decode(value)
    } else {
        std::str::from_utf8(value).ok().map(Cow::Borrowed)
    };
    match said {
        Some(said) if said == body => Ok(()),
        Some(said) => Err(errors::header_mismatch(&format!(
            "`{shown}` is `{said}` and the body says `{body}`"
        ))),
        None => Err(errors::header_mismatch(&format!(
            "`{shown}` has characters that no header may have, or Base64 that is none"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::Limits;

    #[test]
    fn values_are_encoded_as_the_specification_s_examples() {
        for (plain, encoded) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode(plain), encoded);
            assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(plain));
        }
    }

    #[test]
    fn a_value_that_no_header_may_have_says_nothing() {
        for bad in [
            &b"caf\xc3\xa9"[..],
            b"a\x7f",
            b"a\x01",
            b"=?base64?***?=",
            b"=?base64?/w==?=",
        ] {
            assert_eq!(decode(bad), None);
        }
        assert_eq!(
            decode(b"=?BASE64?AA==?=").as_deref(),
            Some("=?BASE64?AA==?=")
        );
    }

    proptest! {
        #[test]
        fn every_text_is_a_legal_header_and_comes_back(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(HeaderValue::from_str(&encoded).is_ok());
            prop_assert_eq!(encoded.trim_matches([' ', '\t']), &*encoded);
            let back = decode(encoded.as_bytes());
            prop_assert_eq!(back.as_deref(), Some(&*text));
        }
    }

    const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"größe",
        "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;

    fn checked(headers: &[(&'static str, &'static str)]) -> Result<(), RpcError> {
        let body = Envelope::parse(BODY, Limits::default()).unwrap();
        let meta = RequestMeta::read(&body).unwrap();
        let mut map = HeaderMap::new();
        for (key, value) in headers {
            map.append(*key, HeaderValue::from_static(value));
        }
        check(&map, &body, &meta)
    }

    #[test]
    fn headers_that_say_what_the_body_says_pass() {
        let all = [
            (PROTOCOL_VERSION, "2026-07-28"),
            (METHOD, "tools/call"),
            (NAME, "=?base64?Z3LDtsOfZQ==?="),
        ];
        assert_eq!(checked(&all), Ok(()));
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(missing);
            let error = checked(&some).unwrap_err();
            assert_eq!(error.code, errors::HEADER_MISMATCH);
            assert!(error.message.contains("is missing"), "{error}");
        }
    }

    #[test]
    fn headers_that_say_anything_else_are_a_mismatch() {
        let (version, name) = (
            (PROTOCOL_VERSION, "2026-07-28"),
            (NAME, "=?base64?Z3LDtsOfZQ==?="),
        );
        for wrong in [
            vec![version, (METHOD, "Tools/Call"), name],
            vec![
                (PROTOCOL_VERSION, "2025-11-25"),
                (METHOD, "tools/call"),
                name,
            ],
            vec![version, (METHOD, "tools/call"), (NAME, "other")],
            vec![version, (METHOD, "tools/call"), name, (NAME, "other")],
            vec![version, (METHOD, "tools/call"), (NAME, "=?base64?!?=")],
        ] {
            assert_eq!(
                checked(&wrong).unwrap_err().code,
                errors::HEADER_MISMATCH,
                "{wrong:?}"
            );
        }
    }
}
