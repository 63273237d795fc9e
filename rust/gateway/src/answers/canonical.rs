//! One spelling for JSON that means the same: members in order, no white space, strings escaped alike. Numbers keep
//! their spelling, as readers differ in what they make of them: `1` and `1.0` are two keys, which costs a call and is
//! never wrong.

use std::borrow::Cow;
use std::fmt;

use backstay_mcp::RawJson;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deeper values are not told apart, and not cached.
const DEEPEST: usize = 32;
/// Nor are longer ones.
const LONGEST: usize = 64 << 10;

/// The members of an object, as they stand there.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::new();
                while let Some((Name(name), value)) =
                    map.next_entry::<Name<'de>, &'de RawValue>()?
                {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(Read)
    }
}

/// Appends the one spelling of a value. False where it has none: too long, too deep, a member twice.
pub(super) fn write(value: &str, out: &mut Vec<u8>) -> bool {
    value.len() <= LONGEST && write_value(value, out, 0).is_some()
}

fn write_value(value: &str, out: &mut Vec<u8>, depth: usize) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    let value = value.trim_ascii();
    match value.as_bytes().first()? {
        b'{' => {
            let Members(mut members) = serde_json::from_str(value).ok()?;
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            // Readers differ in which of two they take.
            if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return None;
            }
            out.push(b'{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(name, out);
                out.push(b':');
                write_value(member.get(), out, depth + 1)?;
            }
            out.push(b'}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item.get(), out, depth + 1)?;
            }
            out.push(b']');
        }
        // Without an escape it is spelled as it has to be.
        b'"' if !value.as_bytes().contains(&b'\\') => out.extend_from_slice(value.as_bytes()),
        b'"' => write_text(&serde_json::from_str::<String>(value).ok()?, out),
        _ => out.extend_from_slice(value.as_bytes()),
    }
    Some(())
}

/// Appends a string's one spelling.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = |byte| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(RawJson::string(text).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn one(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write(text, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_means_the_same_is_spelled_the_same() {
        let first = one(r#" { "b" : [1, "\u00e9"], "a":{"y":null,"x":true} } "#).unwrap();
        assert_eq!(first, r#"{"a":{"x":true,"y":null},"b":[1,"é"]}"#);
        assert_eq!(
            Some(first),
            one(r#"{"a":{"x":true,"y":null},"b":[1,"\u00E9"]}"#)
        );
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let large = "[12345678901234567890123,1.0,1e2]";
        assert_eq!(one(large).as_deref(), Some(large));
    }

    #[test]
    fn what_readers_may_differ_on_has_no_spelling() {
        assert_eq!(one(r#"{"a":1,"\u0061":2}"#), None);
        assert_eq!(one(&("[".repeat(40) + &"]".repeat(40))), None);
        assert_eq!(one(&format!("\"{}\"", "x".repeat(LONGEST))), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Two values have one spelling exactly if they are equal, however each was written.
        #[test]
        fn spellings_are_equal_where_values_are(one_value in json(), other in json()) {
            let pretty = |value: &Value| one(&serde_json::to_string_pretty(value).unwrap()).unwrap();
            let plain = |value: &Value| one(&value.to_string()).unwrap();
            prop_assert_eq!(pretty(&one_value), plain(&one_value));
            prop_assert_eq!(one_value == other, plain(&one_value) == plain(&other));
            let back: Value = serde_json::from_str(&plain(&one_value)).unwrap();
            prop_assert_eq!(back, one_value);
        }
    }
}
