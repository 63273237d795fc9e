//! Where the parts of a message stand that decide what becomes of it.

use std::borrow::Cow;

use super::error::EnvelopeError;
use super::scan::{Scanner, Span};

/// The places of one message; everything else in it is nobody's business here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) jsonrpc: Span,
    pub(crate) id: Span,
    pub(crate) method: Span,
    pub(crate) params: Span,
    pub(crate) result: Span,
    pub(crate) error: Span,
    pub(crate) name: Span,
    pub(crate) uri: Span,
    pub(crate) cursor: Span,
    pub(crate) level: Span,
    pub(crate) arguments: Span,
    /// `params.requestId` of a cancellation.
    pub(crate) request_id: Span,
    /// `params.progressToken` of a progress notification.
    pub(crate) reported_token: Span,
    /// `params.protocolVersion` of `initialize`.
    pub(crate) version: Span,
    /// `params.ref` of `completion/complete`, and its `name` and `uri`.
    pub(crate) reference: Span,
    pub(crate) ref_name: Span,
    pub(crate) ref_uri: Span,
    /// `params.inputResponses` and `params.requestState` of a retry (2026-07-28).
    pub(crate) input_responses: Span,
    pub(crate) request_state: Span,
    pub(crate) meta: Span,
    /// `params._meta.progressToken`.
    pub(crate) token: Span,
}

/// A key that is looked for: where its value's place is noted, and what is looked for inside it.
struct Key {
    name: &'static str,
    place: fn(&mut Layout) -> &mut Span,
    inside: &'static [Key],
}

const fn key(name: &'static str, place: fn(&mut Layout) -> &mut Span) -> Key {
    Key {
        name,
        place,
        inside: &[],
    }
}

static MESSAGE: &[Key] = &[
    key("jsonrpc", |it| &mut it.jsonrpc),
    key("id", |it| &mut it.id),
    key("method", |it| &mut it.method),
    Key {
        name: "params",
        place: |it| &mut it.params,
        inside: PARAMS,
    },
    key("result", |it| &mut it.result),
    key("error", |it| &mut it.error),
];

static PARAMS: &[Key] = &[
    key("name", |it| &mut it.name),
    key("arguments", |it| &mut it.arguments),
    Key {
        name: "_meta",
        place: |it| &mut it.meta,
        inside: &[key("progressToken", |it| &mut it.token)],
    },
    key("uri", |it| &mut it.uri),
    key("cursor", |it| &mut it.cursor),
    key("level", |it| &mut it.level),
    key("requestId", |it| &mut it.request_id),
    key("progressToken", |it| &mut it.reported_token),
    key("protocolVersion", |it| &mut it.version),
    key("inputResponses", |it| &mut it.input_responses),
    key("requestState", |it| &mut it.request_state),
    Key {
        name: "ref",
        place: |it| &mut it.reference,
        inside: &[
            key("name", |it| &mut it.ref_name),
            key("uri", |it| &mut it.ref_uri),
        ],
    },
];

/// Methods that are routed or judged by what their parameters name.
const ROUTED: [&str; 6] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
];

/// The first reasons not to trust a message that is otherwise JSON.
#[derive(Default)]
struct Doubts {
    /// A known key stands there twice.
    twice: Option<&'static str>,
    /// A key of the message itself can be taken for this one.
    lookalike: Option<&'static str>,
    /// A key of its parameters can.
    lookalike_param: Option<&'static str>,
}

impl Layout {
    /// Reads the object that comes next. `depth` containers are open around it.
    pub(crate) fn read(scanner: &mut Scanner<'_>, depth: usize) -> Result<Self, EnvelopeError> {
        if scanner.peek() != Some(b'{') {
            scanner.value(depth)?;
            return Err(EnvelopeError::NotAnObject);
        }
        let mut it = Self::default();
        let mut doubts = Doubts::default();
        it.read_object(scanner, depth, MESSAGE, &mut doubts)?;
        // Only now: that the whole is JSON comes before what is wrong with it.
        let routed =
            || text(scanner.slice(it.method)).is_some_and(|method| ROUTED.contains(&&*method));
        if let Some(key) = doubts.twice {
            return Err(EnvelopeError::DuplicateKey { key });
        }
        if let Some(key) = doubts
            .lookalike
            .or_else(|| doubts.lookalike_param.filter(|_| routed()))
        {
            return Err(EnvelopeError::LookalikeKey { key });
        }
        Ok(it)
    }

    /// Notes where the values of `keys` stand in the object that comes next, and in objects within it.
    fn read_object(
        &mut self,
        scanner: &mut Scanner<'_>,
        depth: usize,
        keys: &'static [Key],
        doubts: &mut Doubts,
    ) -> Result<Span, EnvelopeError> {
        scanner.object(depth, |scanner, spelled| {
            let Some(known) = recognise(spelled, keys, doubts) else {
                return scanner.value(depth + 1).map(drop);
            };
            let value = if !known.inside.is_empty() && scanner.peek() == Some(b'{') {
                self.read_object(scanner, depth + 1, known.inside, doubts)?
            } else {
                scanner.value(depth + 1)?
            };
            let before = std::mem::replace((known.place)(self), value);
            if !before.is_empty() {
                doubts.twice.get_or_insert(known.name);
            }
            Ok(())
        })
    }
}

/// Which of the keys this one is, `spelled` being a valid JSON string with its quotes.
fn recognise(spelled: &[u8], keys: &'static [Key], doubts: &mut Doubts) -> Option<&'static Key> {
    // None has a lone surrogate, which is no text.
    let text = text(spelled)?;
    if let Some(known) = keys.iter().find(|key| key.name == text) {
        return Some(known);
    }
    if let Some(like) = keys.iter().find(|key| folds_to(&text, key.name)) {
        let doubt = if std::ptr::eq(keys, MESSAGE) {
            &mut doubts.lookalike
        } else {
            &mut doubts.lookalike_param
        };
        doubt.get_or_insert(like.name);
    }
    None
}

/// Whether a reader that ignores case, as Go's does, takes `text` for `key`.
fn folds_to(text: &str, key: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    text.len() <= key.len() * 3 && text.chars().map(fold).eq(key.chars().map(fold))
}

/// The text of a valid JSON string; none where an escape names half a character.
pub(crate) fn text(string: &[u8]) -> Option<Cow<'_, str>> {
    let inside = string.get(1..string.len().checked_sub(1)?)?;
    if memchr::memchr(b'\\', inside).is_none() {
        return std::str::from_utf8(inside).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(string)
        .ok()
        .map(Cow::Owned)
}
