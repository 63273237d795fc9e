//! The words of 2026-07-28: metadata, results, input requests, tools' annotated arguments.
#![no_main]

use backstay_mcp::modern::input::{InputRequired, responses};
use backstay_mcp::modern::meta::RequestMeta;
use backstay_mcp::modern::param::mirrors;
use backstay_mcp::modern::result::{ResultKind, to_modern};
use backstay_mcp::{Envelope, Kind, Limits, RawJson};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Envelope::parse(bytes.to_vec(), Limits::default()) else {
        return;
    };
    if let Ok(meta) = RequestMeta::read(&message) {
        let _ = (meta.required(), meta.version(), meta.log_level());
        let _ = (meta.client_info(), meta.client_capabilities());
    }
    if let Some(result) = message.result() {
        let _ = ResultKind::of(result.as_bytes());
        if let Ok(input) = InputRequired::read(&result) {
            let again = InputRequired::read(&input.write());
            assert_eq!(again.as_ref(), Ok(&input), "not read as written");
        }
        let _ = responses(&result);
    }
    if message.kind() == Kind::Response {
        let id = RawJson::number(7);
        for method in ["tools/list", "tools/call", "resources/read"] {
            let modern = to_modern(&message, &id, method);
            let again = Envelope::parse(modern, Limits::default());
            assert_eq!(again.map(|again| again.kind()), Ok(Kind::Response));
        }
    }
    if let Some(schema) = message.arguments()
        && let Ok(mirrors) = mirrors(&schema)
    {
        for mirror in mirrors {
            let _ = mirror.check(Some(b"x"), Some(&schema));
            if let Some(value) = mirror.value(&schema) {
                let header = backstay_mcp::modern::headers::encode(&value);
                let checked = mirror.check(Some(header.as_bytes()), Some(&schema));
                assert_eq!(checked, Ok(()), "what the arguments say was refused");
            }
        }
    }
});
