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
    pub(crate) meta: Span,
    /// `params._meta.progressToken`.
    pub(crate) token: Span,
}

impl Layout {
    /// Reads the object that comes next. `depth` containers are open around it.
    pub(crate) fn read(scanner: &mut Scanner<'_>, depth: usize) -> Result<Self, EnvelopeError> {
        let mut it = Self::default();
        if scanner.peek() != Some(b'{') {
            scanner.value(depth)?;
            return Err(EnvelopeError::NotAnObject);
        }
        let mut doubt = Doubt::default();
        let mut params_doubt = Doubt::default();
        scanner.object(depth, |scanner, key| {
            let known = recognise(key, &ENVELOPE_KEYS, &mut doubt);
            let slot = match known {
                Some("jsonrpc") => &mut it.jsonrpc,
                Some("id") => &mut it.id,
                Some("method") => &mut it.method,
                Some("result") => &mut it.result,
                Some("error") => &mut it.error,
                Some("params") => {
                    doubt.twice(it.params, "params");
                    it.params = it.read_params(scanner, depth + 1, &mut params_doubt)?;
                    return Ok(());
                }
                _ => return scanner.value(depth + 1).map(drop),
            };
            let before = *slot;
            *slot = scanner.value(depth + 1)?;
            doubt.twice(before, known.unwrap_or_default());
            Ok(())
        })?;
        // Only now: that the whole is JSON comes before what is wrong with it.
        doubt.settle()?;
        let routed =
            text(scanner.slice(it.method)).is_some_and(|method| ROUTED.contains(&&*method));
        match params_doubt.0 {
            Some(EnvelopeError::LookalikeKey { .. }) if !routed => Ok(it),
            Some(error) => Err(error),
            None => Ok(it),
        }
    }

    fn read_params(
        &mut self,
        scanner: &mut Scanner<'_>,
        depth: usize,
        doubt: &mut Doubt,
    ) -> Result<Span, EnvelopeError> {
        if scanner.peek() != Some(b'{') {
            return scanner.value(depth);
        }
        scanner.object(depth, |scanner, key| {
            let known = recognise(key, &PARAM_KEYS, doubt);
            let slot = match known {
                Some("name") => &mut self.name,
                Some("uri") => &mut self.uri,
                Some("cursor") => &mut self.cursor,
                Some("level") => &mut self.level,
                Some("arguments") => &mut self.arguments,
                Some("requestId") => &mut self.request_id,
                Some("progressToken") => &mut self.reported_token,
                Some("protocolVersion") => &mut self.version,
                Some("_meta") => {
                    doubt.twice(self.meta, "params._meta");
                    self.meta = self.read_meta(scanner, depth + 1, doubt)?;
                    return Ok(());
                }
                Some("ref") => {
                    doubt.twice(self.reference, "params.ref");
                    self.reference = self.read_reference(scanner, depth + 1, doubt)?;
                    return Ok(());
                }
                _ => return scanner.value(depth + 1).map(drop),
            };
            let before = *slot;
            *slot = scanner.value(depth + 1)?;
            doubt.twice(before, known.unwrap_or_default());
            Ok(())
        })
    }

    fn read_meta(
        &mut self,
        scanner: &mut Scanner<'_>,
        depth: usize,
        doubt: &mut Doubt,
    ) -> Result<Span, EnvelopeError> {
        if scanner.peek() != Some(b'{') {
            return scanner.value(depth);
        }
        scanner.object(depth, |scanner, key| {
            let value = scanner.value(depth + 1)?;
            if recognise(key, &["progressToken"], doubt).is_some() {
                doubt.twice(self.token, "progressToken");
                self.token = value;
            }
            Ok(())
        })
    }

    fn read_reference(
        &mut self,
        scanner: &mut Scanner<'_>,
        depth: usize,
        doubt: &mut Doubt,
    ) -> Result<Span, EnvelopeError> {
        if scanner.peek() != Some(b'{') {
            return scanner.value(depth);
        }
        scanner.object(depth, |scanner, key| {
            let slot = match recognise(key, &["name", "uri"], doubt) {
                Some("name") => &mut self.ref_name,
                Some(_) => &mut self.ref_uri,
                None => return scanner.value(depth + 1).map(drop),
            };
            let before = *slot;
            *slot = scanner.value(depth + 1)?;
            doubt.twice(before, "ref");
            Ok(())
        })
    }
}

const ENVELOPE_KEYS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const PARAM_KEYS: [&str; 10] = [
    "name",
    "uri",
    "cursor",
    "level",
    "arguments",
    "requestId",
    "progressToken",
    "protocolVersion",
    "_meta",
    "ref",
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

/// The first reason not to trust a message that is otherwise JSON.
#[derive(Default)]
struct Doubt(Option<EnvelopeError>);

impl Doubt {
    fn twice(&mut self, before: Span, key: &'static str) {
        if !before.is_empty() {
            self.0.get_or_insert(EnvelopeError::DuplicateKey { key });
        }
    }

    fn settle(self) -> Result<(), EnvelopeError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Which of the known keys this one is, `key` being a valid JSON string with its quotes.
fn recognise(key: &[u8], known: &[&'static str], doubt: &mut Doubt) -> Option<&'static str> {
    let text = text(key);
    let Some(text) = text else {
        return None; // a lone surrogate: no known key has one
    };
    for &candidate in known {
        if candidate == text {
            return Some(candidate);
        }
    }
    let lookalike = known.iter().find(|candidate| folds_to(&text, candidate));
    if let Some(&key) = lookalike {
        doubt.0.get_or_insert(EnvelopeError::LookalikeKey { key });
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
