//! The errors that 2026-07-28 defines, and how those of one era are said in the other.

use std::borrow::Cow;

use crate::envelope::Edit;
use crate::jsonrpc::{INVALID_PARAMS, RESOURCE_NOT_FOUND, RpcError};
use crate::raw::RawJson;
use crate::version::SPOKEN;

/// Headers do not match the body, or are missing.
pub const HEADER_MISMATCH: i64 = -32020;
/// The request needs a capability that its client did not declare.
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The request's version is not spoken here.
pub const UNSUPPORTED_VERSION: i64 = -32022;
/// A page must be visited first (2025-11-25 only); a modern server asks for that with an input request.
pub const URL_ELICITATION_REQUIRED: i64 = -32042;

/// −32020. HTTP status 400.
pub fn header_mismatch(what: &str) -> RpcError {
    RpcError::new(HEADER_MISMATCH, format!("header mismatch: {what}"))
}

/// −32021. HTTP status 400. `required` is in the shape of client capabilities.
pub fn missing_capability(what: &str, required: &RawJson) -> RpcError {
    let data = RawJson::EMPTY_OBJECT.with_members(&[Edit::Set("requiredCapabilities", required)]);
    RpcError {
        code: MISSING_CLIENT_CAPABILITY,
        message: what.to_owned(),
        data: Some(data),
    }
}

/// −32022. HTTP status 400. Says what is spoken here, newest first.
pub fn unsupported_version(requested: &str) -> RpcError {
    let supported = RawJson::write(&SPOKEN).unwrap_or(RawJson::NULL);
    let requested = RawJson::string(requested);
    let data = RawJson::EMPTY_OBJECT.with_members(&[
        Edit::Set("supported", &supported),
        Edit::Set("requested", &requested),
    ]);
    RpcError {
        code: UNSUPPORTED_VERSION,
        message: format!(
            "unsupported protocol version; spoken here are {}",
            SPOKEN.join(", ")
        ),
        data: Some(data),
    }
}

/// Whether a code says that its sender is modern. Only the three are: anything else may be anybody's.
pub fn is_modern(code: i64) -> bool {
    matches!(
        code,
        HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_VERSION
    )
}

/// What a legacy server's error code is to a modern client, where that differs. (The other way round there is
/// nothing to do: a legacy client reads −32602 as what it is.)
pub fn modern_code(code: i64) -> i64 {
    if code == RESOURCE_NOT_FOUND {
        INVALID_PARAMS
    } else {
        code
    }
}

/// A legacy server's error object as a modern client may see it, every other byte of it kept.
pub fn to_modern(error: &[u8]) -> Option<RawJson> {
    let code: i64 = std::str::from_utf8(crate::envelope::member(error, "code")?)
        .ok()?
        .parse()
        .ok()?;
    let other = modern_code(code);
    (other != code).then(|| {
        let mut out = Vec::with_capacity(error.len() + 8);
        let number = RawJson::trusted(other.to_string().into());
        crate::envelope::edited(error, &[Edit::Set("code", &number)], &mut out);
        RawJson::trusted(out.into())
    })
}

/// The versions that an unsupported one was answered with.
pub fn supported(error: &RpcError) -> Option<Vec<Cow<'static, str>>> {
    if error.code != UNSUPPORTED_VERSION {
        return None;
    }
    let supported = error.data.as_ref()?.member("supported")?;
    let named: Vec<String> = supported.read().ok()?;
    Some(named.into_iter().map(Cow::Owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::MODERN;

    #[test]
    fn an_unsupported_version_is_told_what_is_spoken() {
        let error = unsupported_version("1900-01-01");
        assert_eq!(supported(&error).unwrap()[0], MODERN);
        assert_eq!(
            error.data.unwrap().member("requested").unwrap().as_str(),
            "\"1900-01-01\""
        );
    }

    #[test]
    fn a_missing_capability_is_named_in_the_capabilities_own_shape() {
        let needed = RawJson::parse(r#"{"elicitation":{"url":{}}}"#).unwrap();
        let error = missing_capability("the server asks by URL", &needed);
        assert_eq!(error.code, -32021);
        assert_eq!(
            error.data.unwrap().as_str(),
            r#"{"requiredCapabilities":{"elicitation":{"url":{}}}}"#
        );
    }

    #[test]
    fn only_the_code_of_a_missing_resource_changes() {
        let error = br#"{ "code":-32002 ,"message":"no","data":{"uri":"x","n":1.0}}"#;
        assert_eq!(
            to_modern(error).unwrap().as_str(),
            r#"{ "code":-32602 ,"message":"no","data":{"uri":"x","n":1.0}}"#
        );
        assert_eq!(to_modern(br#"{"code":-32602,"message":"no"}"#), None);
        assert_eq!(to_modern(b"{}"), None);
    }
}
