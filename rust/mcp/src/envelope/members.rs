//! Other members in an object whose every other byte stays.
//!
//! An edit says what becomes of one key. What is set and was not there comes last; what is removed takes
//! one comma and the white space around it along.

use smallvec::SmallVec;

use super::layout::text;
use super::rewrite::Piece;
use super::scan::{Scanner, Span};
use crate::raw::RawJson;

/// One key of an object, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// It has this value, whatever it had.
    Set(&'a str, &'a RawJson),
    /// It has this value if it had none.
    Default(&'a str, &'a RawJson),
    /// It is not there.
    Remove(&'a str),
}

impl Edit<'_> {
    fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Default(key, _) | Self::Remove(key) => key,
        }
    }

    /// Whether it puts the key where it is missing.
    pub(super) fn adds(&self) -> bool {
        !matches!(self, Self::Remove(_))
    }
}

/// Places and what comes there instead of what stands there.
pub(super) type Patches<'a> = SmallVec<[(Span, Piece<'a>); 16]>;

/// An object with some members edited; anything else stays what it is.
pub(crate) fn edited(object: &[u8], edits: &[Edit<'_>], out: &mut Vec<u8>) {
    let mut patches = Patches::new();
    let end = u32::try_from(object.len()).unwrap_or(0);
    plan(object, Span { start: 0, end }, edits, &[], &mut patches);
    apply(object, &mut patches, out);
}

/// The value of one member of an object that was validated; of several with one key the last, as most readers have it.
pub(crate) fn member<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut found = None;
    let mut scanner = Scanner::again(object);
    let _ = scanner.members(0, |scanner, name| {
        let value = scanner.value(1)?;
        if spells(scanner.slice(name), key) {
            found = Some(scanner.slice(value));
        }
        Ok(())
    });
    found
}

/// Notes what `edits` change in the object at `place`; `meta` comes there as a new `_meta`, if it is not empty.
pub(super) fn plan<'a>(
    bytes: &[u8],
    place: Span,
    edits: &[Edit<'a>],
    meta: &[Edit<'a>],
    patches: &mut Patches<'a>,
) {
    if edits.is_empty() && meta.is_empty() {
        return;
    }
    let object = &bytes[place.range()];
    let mut met: SmallVec<[bool; 16]> = edits.iter().map(|_| false).collect();
    let open = 1 + u32::try_from(leading_space(object)).unwrap_or(0);
    // The end of the last member that stays, and the start of what goes between it and the next that stays.
    let (mut kept, mut any, mut cut) = (open, false, None);
    let mut last = open;
    let shifted = |start: u32, end: u32| Span {
        start: place.start + start,
        end: place.start + end,
    };
    let walked = Scanner::again(object).members(0, |scanner, name| {
        let value = scanner.value(1)?;
        last = value.end;
        let spelled = scanner.slice(name);
        let edit = edits.iter().position(|edit| spells(spelled, edit.key()));
        let stays = match edit.map(|at| (edits[at], std::mem::replace(&mut met[at], true))) {
            Some((Edit::Remove(_), _) | (_, true)) => false,
            Some((Edit::Set(_, to), false)) => {
                patches.push((shifted(value.start, value.end), Piece::Raw(to)));
                true
            }
            Some((Edit::Default(..), false)) | None => true,
        };
        if !stays {
            cut.get_or_insert(name.start);
            return Ok(());
        }
        if let Some(from) = cut.take() {
            patches.push((shifted(from, name.start), Piece::Plain("")));
        }
        (kept, any) = (value.end, true);
        Ok(())
    });
    debug_assert!(walked.is_ok(), "only validated objects are edited");
    if cut.is_some() {
        patches.push((shifted(kept, last), Piece::Plain("")));
        kept = last;
    }
    let end = place.start + kept;
    for (edit, _) in edits.iter().zip(met).filter(|(_, met)| !met) {
        add(edit, end, &mut any, patches);
    }
    if !meta.is_empty() {
        patches.push((Span::at(end), Piece::Plain(comma(any))));
        patches.push((Span::at(end), Piece::Plain("\"_meta\":{")));
        fresh(meta, end, patches);
        patches.push((Span::at(end), Piece::Plain("}")));
    }
}

/// The members of an object that was not there.
pub(super) fn fresh<'a>(edits: &[Edit<'a>], at: u32, patches: &mut Patches<'a>) {
    let mut any = false;
    for edit in edits {
        add(edit, at, &mut any, patches);
    }
}

/// The same, and a new `_meta` among them.
pub(super) fn fresh_with_meta<'a>(
    edits: &[Edit<'a>],
    meta: &[Edit<'a>],
    at: u32,
    patches: &mut Patches<'a>,
) {
    fresh(edits, at, patches);
    if !meta.is_empty() {
        let any = edits.iter().any(Edit::adds);
        patches.push((Span::at(at), Piece::Plain(comma(any))));
        patches.push((Span::at(at), Piece::Plain("\"_meta\":{")));
        fresh(meta, at, patches);
        patches.push((Span::at(at), Piece::Plain("}")));
    }
}

fn add<'a>(edit: &Edit<'a>, at: u32, any: &mut bool, patches: &mut Patches<'a>) {
    let (Edit::Set(key, value) | Edit::Default(key, value)) = *edit else {
        return;
    };
    let at = Span::at(at);
    patches.push((at, Piece::Plain(comma(*any))));
    patches.push((at, Piece::Text(key)));
    patches.push((at, Piece::Plain(":")));
    patches.push((at, Piece::Raw(value)));
    *any = true;
}

/// Appends `bytes` with the patches in their places.
pub(super) fn apply(bytes: &[u8], patches: &mut Patches<'_>, out: &mut Vec<u8>) {
    // Stable: what is put at one place stays in its order.
    patches.sort_by_key(|(span, _)| (span.start, span.end));
    let mut done = 0;
    for (span, piece) in patches {
        let range = span.range();
        // Inside what was removed.
        if range.start < done {
            continue;
        }
        out.extend_from_slice(&bytes[done..range.start]);
        piece.write(out);
        done = range.end;
    }
    out.extend_from_slice(&bytes[done..]);
}

fn comma(any: bool) -> &'static str {
    if any { "," } else { "" }
}

fn leading_space(object: &[u8]) -> usize {
    object
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// Whether a valid JSON string spells `key`, escapes or not.
fn spells(string: &[u8], key: &str) -> bool {
    if memchr::memchr(b'\\', string).is_none() {
        return string.get(1..string.len() - 1) == Some(key.as_bytes());
    }
    text(string).as_deref() == Some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;
    use crate::{Envelope, Limits, Rewrite};

    fn with(object: &str, edits: &[Edit<'_>]) -> String {
        let mut out = Vec::new();
        edited(object.as_bytes(), edits, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_removed_member_takes_one_comma_along_wherever_it_stands() {
        for (before, after) in [
            (r#"{"x":1}"#, "{}"),
            (r#"{ "x" : 1 , "b":2.0 }"#, r#"{ "b":2.0 }"#),
            (r#"{"a":1, "x":[{"x":2}], "b":2}"#, r#"{"a":1, "b":2}"#),
            (r#"{"a": 1, "x":1 }"#, r#"{"a": 1 }"#),
            (r#"{"a":1,"x":1,"x":2}"#, r#"{"a":1}"#),
            (r#"{"x":0,"x":1,"a":1}"#, r#"{"a":1}"#),
            (r#"{"\u0078":1,"a":1}"#, r#"{"a":1}"#),
            (r#"{"a":{"x":1}}"#, r#"{"a":{"x":1}}"#),
            ("{ }", "{ }"),
        ] {
            assert_eq!(with(before, &[Edit::Remove("x")]), after, "{before}");
        }
    }

    #[test]
    fn a_set_member_replaces_its_value_or_comes_last() {
        let one = RawJson::number(1);
        for (before, after) in [
            ("{}", r#"{"x":1}"#),
            (r#"{"a": 2.50 }"#, r#"{"a": 2.50,"x":1 }"#),
            (r#"{"x": {"y":1} ,"a":0}"#, r#"{"x": 1 ,"a":0}"#),
            (r#"{"x":5,"a":0,"x":6}"#, r#"{"x":1,"a":0}"#),
        ] {
            assert_eq!(with(before, &[Edit::Set("x", &one)]), after, "{before}");
        }
        assert_eq!(
            with(r#"{"x":null}"#, &[Edit::Default("x", &one)]),
            r#"{"x":null}"#
        );
        assert_eq!(with("{}", &[Edit::Default("x", &one)]), r#"{"x":1}"#);
    }

    #[test]
    fn removing_and_setting_meet_at_the_end() {
        let one = RawJson::number(1);
        let edits = [
            Edit::Remove("a"),
            Edit::Set("b", &one),
            Edit::Set("c", &one),
        ];
        assert_eq!(with(r#"{"a":0}"#, &edits), r#"{"b":1,"c":1}"#);
        assert_eq!(with(r#"{"k":1,"a":0}"#, &edits), r#"{"k":1,"b":1,"c":1}"#);
    }

    fn rewritten(message: &str, with: &Rewrite<'_>) -> String {
        let message = Envelope::parse(message.to_owned(), Limits::default()).unwrap();
        String::from_utf8(message.rewrite(with).to_vec()).unwrap()
    }

    #[test]
    fn meta_is_made_where_it_is_missing() {
        let (id, one) = (RawJson::number(9), RawJson::number(1));
        let with = Rewrite {
            id: Some(&id),
            progress_token: Some(&id),
            meta: &[Edit::Set("k", &one)],
            ..Rewrite::default()
        };
        for (before, after) in [
            (
                r#"{"jsonrpc":"2.0","method":"m","id":1}"#,
                r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"k":1}},"id":9}"#,
            ),
            (
                r#"{"params":{},"jsonrpc":"2.0","method":"m","id":1}"#,
                r#"{"params":{"_meta":{"k":1}},"jsonrpc":"2.0","method":"m","id":9}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1.0,"_meta":null}}"#,
                r#"{"jsonrpc":"2.0","id":9,"method":"m","params":{"a":1.0,"_meta":{"k":1}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":"t"},"z":1}}"#,
                r#"{"jsonrpc":"2.0","id":9,"method":"m","params":{"_meta":{"progressToken":9,"k":1},"z":1}}"#,
            ),
        ] {
            assert_eq!(rewritten(before, &with), after, "{before}");
        }
    }

    #[test]
    fn parts_and_members_are_replaced_in_one_pass() {
        let (id, state) = (RawJson::number(9), RawJson::string("s"));
        let with = Rewrite {
            id: Some(&id),
            name: Some("own"),
            params: &[
                Edit::Remove("inputResponses"),
                Edit::Set("requestState", &state),
            ],
            meta: &[Edit::Remove("gone"), Edit::Remove("progressToken")],
            progress_token: Some(&id),
            ..Rewrite::default()
        };
        assert_eq!(
            rewritten(
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a__own","inputResponses":{},"_meta":{"progressToken":1,"gone":2}}}"#,
                &with
            ),
            r#"{"jsonrpc":"2.0","id":9,"method":"m","params":{"name":"own","_meta":{},"requestState":"s"}}"#
        );
    }

    #[test]
    fn an_answer_s_result_is_edited_in_place() {
        let done = RawJson::string("complete");
        let with = Rewrite {
            result: &[Edit::Default("resultType", &done)],
            ..Rewrite::default()
        };
        assert_eq!(
            rewritten(r#"{"jsonrpc":"2.0","id":1,"result":{"a":1e3}}"#, &with),
            r#"{"jsonrpc":"2.0","id":1,"result":{"a":1e3,"resultType":"complete"}}"#
        );
    }

    fn objects() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d\\\\\"é]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-d\\\\\"é]{1,2}", value, 0..6)
            .prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn an_edited_object_reads_as_the_edited_map(
            object in objects(),
            edits in prop::collection::btree_map("[a-d\\\\\"é]{1,2}", 0..3u8, 0..6),
            pretty in any::<bool>(),
        ) {
            let spelled = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
            let one = RawJson::number(1);
            let list: Vec<Edit<'_>> = edits.iter().map(|(key, kind)| match kind {
                0 => Edit::Remove(key),
                1 => Edit::Set(key, &one),
                _ => Edit::Default(key, &one),
            }).collect();
            let mut expected = object;
            for (key, kind) in &edits {
                match kind {
                    0 => drop(expected.remove(key)),
                    1 => drop(expected.insert(key.clone(), Value::from(1))),
                    _ => drop(expected.entry(key.clone()).or_insert(Value::from(1))),
                }
            }
            let out = with(&spelled, &list);
            prop_assert_eq!(serde_json::from_str::<Map<String, Value>>(&out).unwrap(), expected);
            prop_assert_eq!(with(&spelled, &[]), spelled);
        }
    }
}
