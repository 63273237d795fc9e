//! Messages: what passes, what is refused and why, and that nothing else changes.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

use backstay_mcp::envelope::{Batch, fuzz};
use backstay_mcp::{Envelope, EnvelopeError, Kind, Limits, RawJson, Rewrite};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn parse(text: &str) -> Result<Envelope, EnvelopeError> {
    Envelope::parse(text.to_owned(), Limits::default())
}

fn refused(text: &str) -> EnvelopeError {
    parse(text).expect_err(text)
}

/// A message around some more text.
fn with(more: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",{more}}}")
}

#[test]
fn the_four_kinds_are_told_apart() {
    for (more, kind) in [
        ("\"id\":1,\"method\":\"x\"", Kind::Request),
        (
            "\"id\":\"1\",\"method\":\"x\",\"params\":[1]",
            Kind::Request,
        ),
        ("\"method\":\"x\"", Kind::Notification),
        ("\"id\":-1.50,\"result\":null", Kind::Response),
        ("\"id\":1,\"error\":{}", Kind::Error),
        ("\"id\":null,\"error\":{}", Kind::Error),
        ("\"error\":{}", Kind::Error),
    ] {
        assert_eq!(parse(&with(more)).expect(more).kind(), kind, "{more}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for more in [
        "\"id\":null,\"method\":\"x\"",
        "\"id\":true,\"method\":\"x\"",
        "\"id\":{},\"method\":\"x\"",
        "\"id\":[1],\"result\":{}",
        "\"id\":1,\"method\":5",
        "\"id\":1,\"method\":\"\\ud800\"",
        "\"method\":\"x\",\"params\":5",
        "\"method\":\"x\",\"params\":\"{}\"",
        "\"id\":1,\"method\":\"x\",\"params\":{\"_meta\":{\"progressToken\":null}}",
    ] {
        assert!(
            matches!(refused(&with(more)), EnvelopeError::WrongKind { .. }),
            "{more}"
        );
    }
    for more in [
        "\"id\":1",
        "\"id\":1,\"result\":1,\"error\":{}",
        "\"id\":1,\"method\":\"x\",\"result\":{}",
        "\"result\":{}",
        "\"x\":1",
    ] {
        assert_eq!(refused(&with(more)), EnvelopeError::Shapeless, "{more}");
    }
    for text in [
        "{}",
        "{\"jsonrpc\":\"1.0\",\"method\":\"x\"}",
        "{\"jsonrpc\":2.0,\"method\":\"x\"}",
        "{\"method\":\"x\"}",
    ] {
        assert_eq!(refused(text), EnvelopeError::NotJsonRpc, "{text}");
    }
    for text in ["1", "\"x\"", "null", "true"] {
        assert_eq!(refused(text), EnvelopeError::NotAnObject, "{text}");
    }
}

#[test]
fn a_key_that_stands_there_twice_is_refused_however_it_is_spelled() {
    for more in [
        "\"id\":1,\"id\":2,\"method\":\"x\"",
        "\"id\":1,\"\\u0069d\":2,\"method\":\"x\"",
        "\"method\":\"x\",\"\\u006d\\u0065thod\":\"y\"",
        "\"method\":\"x\",\"params\":{},\"params\":{}",
        "\"method\":\"x\",\"params\":1,\"params\":{}",
        "\"id\":1,\"result\":{},\"result\":{}",
        "\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"arguments\":{},\"name\":\"b\"}",
        "\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"n\\u0061me\":\"b\"}",
        "\"method\":\"x\",\"params\":{\"_meta\":{},\"_meta\":{}}",
        "\"method\":\"x\",\"params\":{\"_meta\":{\"progressToken\":1,\"progressToken\":2}}",
        "\"method\":\"x\",\"params\":{\"ref\":{\"name\":\"a\",\"name\":\"b\"}}",
        "\"method\":\"x\",\"params\":{\"ref\":{\"name\":\"a\"},\"ref\":{\"uri\":\"b\"}}",
        "\"jsonrpc\":\"2.0\",\"method\":\"x\"",
    ] {
        assert!(
            matches!(refused(&with(more)), EnvelopeError::DuplicateKey { .. }),
            "{more}"
        );
    }
    // Nor does a doubt that is of no weight here hide one that is.
    let both = "\"method\":\"initialize\",\"params\":{\"Name\":1,\"protocolVersion\":\"a\",\"protocolVersion\":\"b\"}";
    assert_eq!(
        refused(&with(both)),
        EnvelopeError::DuplicateKey {
            key: "protocolVersion"
        }
    );
    // What is nobody's business may stand there as often as it likes.
    assert!(parse(&with("\"x\":1,\"x\":2,\"method\":\"x\",\"params\":{\"arguments\":{\"name\":1,\"name\":2},\"y\":1,\"y\":2}")).is_ok());
}

#[test]
fn a_key_that_a_careless_reader_takes_for_another_is_refused() {
    for more in [
        "\"ID\":1,\"method\":\"x\"",
        "\"method\":\"x\",\"Params\":{}",
        "\"method\":\"x\",\"param\u{17f}\":{}",
        "\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"Name\":\"b\"}",
        "\"method\":\"prompts/get\",\"params\":{\"\\u004eAME\":\"b\"}",
        "\"method\":\"resources/read\",\"params\":{\"URI\":\"b\"}",
        "\"method\":\"completion/complete\",\"params\":{\"ref\":{\"Name\":\"b\"}}",
    ] {
        assert!(
            matches!(refused(&with(more)), EnvelopeError::LookalikeKey { .. }),
            "{more}"
        );
    }
    assert!(
        parse(&with(
            "\"method\":\"notifications/own\",\"params\":{\"Name\":\"b\",\"URI\":1}"
        ))
        .is_ok()
    );
    assert!(
        parse(&with(
            "\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"arguments\":{\"Name\":1}}"
        ))
        .is_ok()
    );
}

#[test]
fn the_parts_are_found_wherever_they_stand() {
    let message = parse(&with(
        "\"params\":{\"uri\":\"file:///x\",\"arguments\":{\"a\":[1,{\"id\":3}]},\"_meta\":{\"x\":{\"progressToken\":0},\"progressToken\":\"t\"},\"name\":\"a\\u0062\",\"cursor\":\"c\",\"level\":\"info\",\"ref\":{\"type\":\"ref/prompt\",\"name\":\"p\"},\"requestId\":\"r\",\"protocolVersion\":\"v\"},\"id\" : \"i\\n\",\"method\":\"tools\\/call\"",
    ))
    .unwrap();
    assert_eq!(message.method(), "tools/call");
    assert_eq!(message.id().unwrap().as_str(), "\"i\\n\"");
    assert_eq!(message.name().as_deref(), Some("ab"));
    assert_eq!(message.uri().as_deref(), Some("file:///x"));
    assert_eq!(message.cursor().as_deref(), Some("c"));
    assert_eq!(message.level().as_deref(), Some("info"));
    assert_eq!(message.protocol_version().as_deref(), Some("v"));
    assert_eq!(message.ref_name().as_deref(), Some("p"));
    assert_eq!(message.ref_uri(), None);
    assert_eq!(message.request_id().unwrap().as_str(), "\"r\"");
    assert_eq!(message.progress_token().unwrap().as_str(), "\"t\"");
    assert_eq!(
        message.arguments().unwrap().as_str(),
        "{\"a\":[1,{\"id\":3}]}"
    );
}

#[test]
fn numbers_keep_their_spelling() {
    for id in ["0", "-0", "1.0", "1e5", "12345678901234567890123", "0.1000"] {
        let message = parse(&with(&format!("\"id\":{id},\"result\":{{}}"))).unwrap();
        assert_eq!(message.id().unwrap().as_str(), id);
        assert_eq!(
            message.rewrite(&Rewrite {
                id: Some(&RawJson::string("x")),
                ..Rewrite::default()
            }),
            with("\"id\":\"x\",\"result\":{}")
        );
    }
}

/// In the manner of `JSONTestSuite`: what must pass.
const GOOD: &[&str] = &[
    "[]",
    "{}",
    "0",
    "-0",
    "-1",
    "1e1",
    "1E+1",
    "1.5e-9",
    "123456789012345678901234567890",
    "1e99999",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud834\\udd1e\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800x\"",
    "\"\u{7f}\"",
    "\"\u{2028}\u{2029}\"",
    "\"\u{10ffff}\"",
    "\"\u{fffe}\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    " \t\r\n1 \t\r\n",
    "[[[[[[[[[[]]]]]]]]]]",
    "{\"\":{\"\":[{}]}}",
    "{\"a\":1,\"a\":2}",
    "[1,null,true,false,\"x\"]",
    "[\"\u{e9}\"]",
    "\"a\u{85}b\"",
    "[ ]",
    "{ }",
    "[1 , 2 ]",
    "{ \"a\" : 1 }",
    "\"12345678\\u00e912345678\"",
    "\"\u{0080}\"",
];

/// And what must not.
const BAD: &[&str] = &[
    "",
    " ",
    "[",
    "]",
    "{",
    "}",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[,]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\":1 \"b\":2}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\":1]",
    "[1}",
    "[}",
    "{]",
    "[[]",
    "1 2",
    "1,",
    "[]]",
    "{}}",
    "{}{}",
    "tru",
    "truE",
    "nul",
    "nulll",
    "falsey",
    "True",
    "NaN",
    "Infinity",
    "-Infinity",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "-.5",
    "1.e5",
    "1e",
    "1e+",
    "+1",
    "--1",
    "-",
    "0x1",
    "1_000",
    "0e",
    "1e1.5",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\U0041\"",
    "\"\\'\"",
    "\"\n\"",
    "\"\t\"",
    "\"\u{0}\"",
    "\"\u{1f}\"",
    "\"aaaa\u{1}aaaaaaaaaaaaaaaaaaaa\"",
    "\"aaaaaaaaaaaaaaaa\u{8}\"",
    "'a'",
    "\u{feff}{}",
    "// x\n1",
    "/* */1",
    "1 // x",
    "\u{a0}1",
    "\u{b}1",
    "\u{c}1",
    "\u{2028}1",
    "[1\u{0}]",
    "\u{0}",
    "{\"a\":1}\u{0}",
    "[\"a\",\n4\n,1,",
    "<html>",
    "\\u0031",
    "1e1e1",
    "[\"\\\"]",
    "{\"a\" \"b\"}",
    "{\"a\":\"b\":\"c\"}",
    "undefined",
];

#[test]
fn json_is_json_and_nothing_else_is() {
    for text in GOOD {
        fuzz::check(text.as_bytes());
        RawJson::parse(*text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let message = with(&format!("\"method\":\"x\",\"params\":{{\"a\":{text}}}"));
        assert!(parse(&message).is_ok(), "{message}");
    }
    for text in BAD {
        fuzz::check(text.as_bytes());
        assert!(RawJson::parse(*text).is_err(), "{text:?}");
        let message = with(&format!("\"method\":\"x\",\"params\":{{\"a\":{text}}}"));
        if serde_json::from_str::<Value>(&message).is_err() {
            assert!(
                matches!(refused(&message), EnvelopeError::NotJson { .. }),
                "{message}"
            );
        }
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for bad in [
        &b"\"\xff\""[..],
        b"\"\xc0\x80\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xe2\x82\"",
        b"\xff\xfe{\0}\0",
    ] {
        fuzz::check(bad);
        assert!(
            matches!(
                RawJson::parse(bad.to_vec()),
                Err(EnvelopeError::NotUtf8 { .. })
            ),
            "{bad:?}"
        );
    }
}

#[test]
fn depth_and_size_have_their_limits() {
    let nested = |depth: usize| {
        with(&format!(
            "\"method\":\"x\",\"params\":{}{}",
            "[".repeat(depth),
            "]".repeat(depth)
        ))
    };
    assert!(parse(&nested(511)).is_ok());
    assert_eq!(refused(&nested(512)), EnvelopeError::TooDeep { limit: 512 });
    let objects = "{\"a\":".repeat(100_000);
    assert_eq!(
        refused(&with(&format!("\"method\":\"x\",\"params\":{objects}"))),
        EnvelopeError::TooDeep { limit: 512 }
    );
    let small = Limits {
        max_bytes: 30,
        max_depth: 2,
        ..Limits::default()
    };
    assert!(matches!(
        Envelope::parse(with("\"method\":\"xxxxxx\""), small),
        Err(EnvelopeError::TooLarge {
            bytes: 35,
            limit: 30
        })
    ));
    assert!(Envelope::parse(with("\"method\":\"x\""), small).is_ok());
}

#[test]
fn the_messages_of_a_batch_are_judged_each_for_itself() {
    let good = with("\"method\":\"x\"");
    let text = format!(" [{good} , 5, {good}, []] ");
    let Batch::Many(messages) = Envelope::parse_batch(text, Limits::default()).unwrap() else {
        panic!()
    };
    assert_eq!(
        messages.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true, false]
    );
    assert_eq!(messages[0].as_ref().unwrap().bytes(), good.as_bytes());
    assert!(matches!(
        Envelope::parse_batch(good.clone(), Limits::default()),
        Ok(Batch::One(_))
    ));
    assert_eq!(refused(&format!("[{good}]")), EnvelopeError::Batch);
    for (text, error) in [
        ("[]", EnvelopeError::EmptyBatch),
        ("[1,1,1]", EnvelopeError::BatchTooLong { limit: 2 }),
    ] {
        let limits = Limits {
            max_batch: 2,
            ..Limits::default()
        };
        assert_eq!(Envelope::parse_batch(text, limits).unwrap_err(), error);
    }
    assert!(matches!(
        Envelope::parse_batch(format!("[{good}"), Limits::default()),
        Err(EnvelopeError::NotJson { .. })
    ));
}

/// Any JSON.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A key, often one that matters.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "id",
            "method",
            "params",
            "name",
            "uri",
            "_meta",
            "progressToken",
            "arguments",
            "requestId"
        ])
        .prop_map(str::to_owned),
        ".{0,5}",
    ]
}

/// A message with anything in it.
fn message() -> impl Strategy<Value = Value> {
    let id = prop_oneof![
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from)
    ];
    let params = (
        prop::option::of(".{0,8}"),
        prop::option::of(".{0,8}"),
        prop::option::of(0..9_u64),
        value(),
        value(),
    );
    (id, ".{0,12}", params, value()).prop_map(
        |(id, method, (name, uri, token, arguments, extra), other)| {
            let mut params = Map::new();
            if let Some(name) = name {
                params.insert("name".into(), name.into());
            }
            if let Some(uri) = uri {
                params.insert("uri".into(), uri.into());
            }
            if let Some(token) = token {
                params.insert(
                    "_meta".into(),
                    json!({"progressToken": token, "other": extra}),
                );
            }
            params.insert("arguments".into(), arguments);
            json!({"other": other, "jsonrpc": "2.0", "id": id, "params": params, "method": method})
        },
    )
}

/// The same JSON, spelled with white space and line breaks in every place it may have them.
fn spelled(value: &Value) -> impl Strategy<Value = String> + use<> {
    let value = value.clone();
    prop::collection::vec(
        prop::sample::select(vec!["", "", " ", "\n", "\r\n", "\t"]),
        8,
    )
    .prop_map(move |gaps| {
        let mut next = 0;
        let mut gap = || {
            next += 1;
            gaps[next % gaps.len()]
        };
        let mut out = String::new();
        let (mut in_string, mut escaped) = (false, false);
        for letter in value.to_string().chars() {
            let structural = !in_string && "{}[],:".contains(letter);
            if structural {
                out.push_str(gap());
            }
            out.push(letter);
            if structural {
                out.push_str(gap());
            }
            if letter == '"' && !escaped {
                in_string = !in_string;
            }
            escaped = in_string && letter == '\\' && !escaped;
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_are_those_that_another_reader_finds((value, text) in message().prop_flat_map(|value| {
        let text = spelled(&value);
        (Just(value), text)
    })) {
        fuzz::check(text.as_bytes());
        let message = parse(&text).unwrap();
        let read = |raw: Option<RawJson>| raw.map_or(Value::Null, |raw| raw.read().unwrap());
        prop_assert_eq!(message.method(), value["method"].as_str().unwrap());
        prop_assert_eq!(&read(message.id()), &value["id"]);
        let (name, uri) = (message.name(), message.uri());
        prop_assert_eq!(name.as_deref(), value["params"]["name"].as_str());
        prop_assert_eq!(uri.as_deref(), value["params"]["uri"].as_str());
        prop_assert_eq!(&read(message.arguments()), &value["params"]["arguments"]);
        prop_assert_eq!(&read(message.progress_token()), &value["params"]["_meta"]["progressToken"]);
    }

    #[test]
    fn splicing_changes_just_what_it_says((value, text) in message().prop_flat_map(|value| {
        let text = spelled(&value);
        (Just(value), text)
    }), name in ".{0,20}", id in any::<u64>(), token in ".{0,9}") {
        let (id, token) = (RawJson::number(id), RawJson::string(&token));
        let rewrite = Rewrite { id: Some(&id), name: Some(&name), progress_token: Some(&token), ..Rewrite::default() };
        let spliced: Value = serde_json::from_slice(&parse(&text).unwrap().rewrite(&rewrite)).unwrap();
        let mut expected = value;
        expected["id"] = id.read().unwrap();
        if expected["params"]["name"].is_string() {
            expected["params"]["name"] = name.into();
        }
        if !expected["params"]["_meta"].is_null() {
            expected["params"]["_meta"]["progressToken"] = token.read().unwrap();
        }
        prop_assert_eq!(spliced, expected);
    }

    #[test]
    fn no_end_of_a_message_is_a_message(value in message()) {
        let text = value.to_string();
        for (at, _) in text.char_indices().skip(1) {
            prop_assert!(parse(&text[at..]).is_err(), "{}", &text[at..]);
        }
    }

    #[test]
    fn damaged_messages_break_no_promise(
        value in message(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = value.to_string().into_bytes();
        let (at, cut) = (at.index(bytes.len()), cut.index(bytes.len()));
        fuzz::check(&bytes[..cut]);
        fuzz::check(&bytes[cut..]);
        bytes[at] = byte;
        fuzz::check(&bytes);
        bytes.remove(at);
        fuzz::check(&bytes);
    }

    #[test]
    fn text_that_looks_like_json_breaks_no_promise(text in "[\\[\\]{}:,\"\\\\u0-9a-fen.+\\- \n]{0,40}") {
        fuzz::check(text.as_bytes());
    }

    #[test]
    fn any_bytes_break_no_promise(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        fuzz::check(&bytes);
    }
}
