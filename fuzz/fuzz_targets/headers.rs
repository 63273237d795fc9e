//! Header values that mirror a body: what is encoded is decoded, and only what agrees passes.
#![no_main]

use backstay_mcp::modern::headers::{
    Headers as _, METHOD, NAME, PROTOCOL_VERSION, check, decode, encode, name,
};
use backstay_mcp::modern::meta::RequestMeta;
use backstay_mcp::{Envelope, Limits};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A value in a header, and a body, cut at the first byte that neither can have.
    let cut = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let (value, body) = bytes.split_at(cut);
    let body = body.get(1..).unwrap_or_default();

    if let Ok(text) = std::str::from_utf8(value) {
        let encoded = encode(text);
        let header = HeaderValue::from_str(&encoded);
        assert!(
            header.is_ok(),
            "an encoded value is no header's: {encoded:?}"
        );
        assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(text));
    }
    if let Some(said) = decode(value) {
        assert_eq!(decode(encode(&said).as_bytes()).as_deref(), Some(&*said));
    }

    let Ok(request) = Envelope::parse(body.to_vec(), Limits::default()) else {
        return;
    };
    let Ok(meta) = RequestMeta::read(&request) else {
        return;
    };
    let mut headers = HeaderMap::new();
    let mut put = |key: &'static str, value: &str| match HeaderValue::from_str(value) {
        Ok(value) => headers.insert(key, value).is_none(),
        Err(_) => false,
    };
    let mut whole = put(METHOD, &request.method());
    if let Some(version) = meta.version() {
        whole &= put(PROTOCOL_VERSION, &version);
    }
    if let Some(name) = name(&request) {
        whole &= put(NAME, &encode(&name));
    }
    if whole {
        assert_eq!(
            check(&headers, &request, &meta).err(),
            None,
            "what the body says was refused"
        );
    }
    if let Ok(value) = HeaderValue::from_bytes(value) {
        let same = value.as_bytes() == request.method().as_bytes();
        headers.insert(METHOD, value.clone());
        if check(&headers, &request, &meta).is_ok() {
            assert!(
                same,
                "a header passed that says something else than the body"
            );
        }
        headers.append(METHOD, value);
        assert!(
            headers.one(METHOD, "Mcp-Method").is_err(),
            "a header passed that stands there twice"
        );
    }
});
