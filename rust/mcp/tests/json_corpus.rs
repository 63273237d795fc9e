//! The envelope against a corpus of JSON texts: what is JSON passes byte for byte, what is none is refused.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

use backstay_mcp::{Envelope, Limits};
use bytes::Bytes;

const CORPUS: &str = include_str!("corpus/json.txt");

struct Case {
    class: char,
    name: &'static str,
    text: Vec<u8>,
}

fn cases() -> Vec<Case> {
    CORPUS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (head, text) = line.split_once('\t').unwrap();
            let (class, name) = head.split_once(' ').unwrap();
            Case {
                class: class.chars().next().unwrap(),
                name,
                text: bytes(text),
            }
        })
        .collect()
}

/// Reads `%XX` as the byte that it is.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    out
}

fn message(text: &[u8]) -> Bytes {
    let begin =
        br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"v":"#;
    Bytes::from([begin.as_slice(), text, b"}}}"].concat())
}

#[test]
fn json_passes_byte_for_byte_and_what_is_none_is_refused() {
    let mut wrong = Vec::new();
    for case in cases() {
        let message = message(&case.text);
        let parsed = Envelope::parse(message.clone(), Limits::default());
        let good = match (case.class, &parsed) {
            ('y', Ok(envelope)) => *envelope.bytes() == message,
            ('n', Err(error)) => matches!(error.code(), -32700 | -32600),
            ('i', _) => true,
            _ => false,
        };
        if !good {
            wrong.push(format!("{} {}", case.class, case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_text_alone_is_no_message_whatever_it_is() {
    for case in cases() {
        let parsed = Envelope::parse(Bytes::from(case.text.clone()), Limits::default());
        assert!(parsed.is_err(), "{}", case.name);
    }
}

#[test]
fn the_corpus_says_what_another_strict_reader_says() {
    for case in cases() {
        let read = serde_json::from_slice::<&serde_json::value::RawValue>(&case.text);
        let json = read.is_ok() && std::str::from_utf8(&case.text).is_ok();
        match case.class {
            'y' => assert!(json, "{}", case.name),
            'n' => assert!(!json, "{}", case.name),
            _ => {}
        }
    }
    assert!(cases().len() > 140);
}
