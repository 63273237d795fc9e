//! Results: which kind they are, and what a legacy server's lacks.

use bytes::Bytes;

use crate::envelope::{Edit, Envelope, Rewrite, layout, member};
use crate::raw::RawJson;

/// The key that says which kind a result is.
pub const RESULT_TYPE: &str = "resultType";
/// How long a result is fresh.
pub const TTL_MS: &str = "ttlMs";
/// Who may cache a result.
pub const CACHE_SCOPE: &str = "cacheScope";

/// Which kind a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// The call is done. What a result without a kind is.
    Complete,
    /// The client is asked for something first.
    InputRequired,
    /// A kind of an extension (a task, for one).
    Other,
}

impl ResultKind {
    /// Reads the kind of a result object.
    pub fn of(result: &[u8]) -> Self {
        match member(result, RESULT_TYPE).map(layout::text) {
            None => Self::Complete,
            Some(Some(kind)) if kind == "complete" => Self::Complete,
            Some(Some(kind)) if kind == "input_required" => Self::InputRequired,
            Some(_) => Self::Other,
        }
    }
}

/// Whether results of this method say how long they may be cached.
pub fn is_cacheable(method: &str) -> bool {
    matches!(
        method,
        "server/discover"
            | "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    )
}

static COMPLETE: RawJson = RawJson::from_static("\"complete\"");
static STALE: RawJson = RawJson::from_static("0");
static PRIVATE: RawJson = RawJson::from_static("\"private\"");

static PLAIN: [Edit<'static>; 1] = [Edit::Default(RESULT_TYPE, &COMPLETE)];
static CACHEABLE: [Edit<'static>; 3] = [
    Edit::Default(RESULT_TYPE, &COMPLETE),
    Edit::Default(TTL_MS, &STALE),
    Edit::Default(CACHE_SCOPE, &PRIVATE),
];

/// What a legacy server's result needs for a modern client: it is complete, stale at once, and nobody else's.
pub fn edits(method: &str) -> &'static [Edit<'static>] {
    if is_cacheable(method) {
        &CACHEABLE
    } else {
        &PLAIN
    }
}

/// A legacy server's answer for a modern client, under the client's id; an error only changes its code.
pub fn to_modern(answer: &Envelope, id: &RawJson, method: &str) -> Bytes {
    if let Some(error) = answer.error() {
        return match super::errors::to_modern(error.as_bytes()) {
            Some(other) => {
                let mut out = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(b",\"error\":");
                out.extend_from_slice(other.as_bytes());
                out.push(b'}');
                out.into()
            }
            None => answer.rewrite(&Rewrite {
                id: Some(id),
                ..Rewrite::default()
            }),
        };
    }
    answer.rewrite(&Rewrite {
        id: Some(id),
        result: edits(method),
        ..Rewrite::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn modern(answer: &'static str, method: &str) -> String {
        let answer = Envelope::parse(answer, Limits::default()).unwrap();
        let id = RawJson::string("theirs");
        String::from_utf8(to_modern(&answer, &id, method).to_vec()).unwrap()
    }

    #[test]
    fn a_legacy_result_gains_what_it_lacks_and_keeps_what_it_says() {
        assert_eq!(
            modern(
                r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#,
                "tools/call"
            ),
            r#"{"jsonrpc":"2.0","id":"theirs","result":{"content":[],"resultType":"complete"}}"#
        );
        assert_eq!(
            modern(
                r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[],"ttlMs":5.0}}"#,
                "tools/list"
            ),
            r#"{"jsonrpc":"2.0","id":"theirs","result":{"tools":[],"ttlMs":5.0,"resultType":"complete","cacheScope":"private"}}"#
        );
    }

    #[test]
    fn a_legacy_error_changes_its_code_only_where_the_versions_differ() {
        assert_eq!(
            modern(
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"m","data":{"uri":"u"}}}"#,
                "resources/read"
            ),
            r#"{"jsonrpc":"2.0","id":"theirs","error":{"code":-32602,"message":"m","data":{"uri":"u"}}}"#
        );
        assert_eq!(
            modern(
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"m"}}"#,
                "x"
            ),
            r#"{"jsonrpc":"2.0","id":"theirs","error":{"code":-1,"message":"m"}}"#
        );
    }

    #[test]
    fn a_result_s_kind_is_read_and_none_means_complete() {
        for (result, kind) in [
            ("{}", ResultKind::Complete),
            (r#"{"resultType":"complete"}"#, ResultKind::Complete),
            (
                r#"{"a":{"resultType":"x"},"resultType":"input_required"}"#,
                ResultKind::InputRequired,
            ),
            (r#"{"resultType":"task"}"#, ResultKind::Other),
            (r#"{"resultType":1}"#, ResultKind::Other),
        ] {
            assert_eq!(ResultKind::of(result.as_bytes()), kind, "{result}");
        }
    }
}
