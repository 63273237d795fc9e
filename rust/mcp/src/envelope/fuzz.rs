//! What must hold for any bytes whatever; the property tests and the fuzzer both call it.

#![expect(
    clippy::expect_used,
    reason = "it panics where a promise is broken; that is what it is for"
)]

use serde::de::IgnoredAny;

use super::{Envelope, EnvelopeError, Limits, Rewrite, join_lines};
use crate::raw::RawJson;

/// Panics if reading these bytes breaks a promise of this module.
///
/// # Panics
/// That is what it is for.
pub fn check(bytes: &[u8]) {
    let limits = Limits::default();
    let is_json = std::str::from_utf8(bytes)
        .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    match RawJson::parse(bytes.to_vec()) {
        Ok(raw) => {
            assert!(is_json, "passes for JSON and is none");
            assert_eq!(raw.as_bytes(), bytes);
        }
        Err(EnvelopeError::TooDeep { .. }) => {}
        Err(error) => assert!(!is_json, "is JSON and does not pass for it: {error}"),
    }
    let _ = Envelope::parse_batch(bytes.to_vec(), limits);
    let Ok(message) = Envelope::parse(bytes.to_vec(), limits) else {
        return;
    };
    assert!(is_json, "passes for a message and is no JSON");
    assert_eq!(
        message.rewrite(&Rewrite::default()),
        bytes,
        "rewriting nothing changes something"
    );

    // Other parts go in, and everything else stays where it was.
    let (number, string) = (RawJson::number(77), RawJson::string("\n\""));
    let rewrite = Rewrite {
        id: Some(&number),
        name: Some("new\nname"),
        uri: Some("new:uri"),
        progress_token: Some(&string),
        request_id: Some(&number),
        reported_token: Some(&string),
        ..Rewrite::default()
    };
    let mut line = message.rewrite(&rewrite).to_vec();
    join_lines(&mut line, 0);
    assert!(
        !line.contains(&b'\n') && !line.contains(&b'\r'),
        "more than one line"
    );
    let again = Envelope::parse(line, limits).expect("a rewritten message is a message");
    assert_eq!(again.kind(), message.kind());
    assert_eq!(again.method(), message.method());
    let replaced = |before: &Option<RawJson>, new: &RawJson| before.as_ref().map(|_| new.clone());
    assert_eq!(
        again.progress_token(),
        replaced(&message.progress_token(), &string)
    );
    assert_eq!(again.request_id(), replaced(&message.request_id(), &number));
    assert_eq!(
        again.name().is_some(),
        again.name().as_deref() == Some("new\nname")
    );
    let flat = |raw: Option<RawJson>| raw.map(|raw| raw.as_str().replace(['\n', '\r'], " "));
    assert_eq!(flat(again.arguments()), flat(message.arguments()));
    assert_eq!(flat(again.result()), flat(message.result()));
    assert_eq!(flat(again.error()), flat(message.error()));
}
