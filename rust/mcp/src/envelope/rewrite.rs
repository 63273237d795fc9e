//! Other ids, names and tokens in a message whose every other byte stays.

use bytes::Bytes;

use super::Envelope;
use super::members::{self, Edit, Patches};
use super::scan::Span;
use crate::raw::{RawJson, write_string};

/// What to put in the place of what stands there. A part the message lacks is not added, but for what the
/// edits of `params`, `meta` and `result` set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrite<'a> {
    /// Another `id`.
    pub id: Option<&'a RawJson>,
    /// Another `params.name`.
    pub name: Option<&'a str>,
    /// Another `params.uri`.
    pub uri: Option<&'a str>,
    /// Another `params.ref.name`.
    pub ref_name: Option<&'a str>,
    /// Another `params.ref.uri`.
    pub ref_uri: Option<&'a str>,
    /// Another `params._meta.progressToken`, of a request.
    pub progress_token: Option<&'a RawJson>,
    /// Another `params.progressToken`, of a progress notification.
    pub reported_token: Option<&'a RawJson>,
    /// Another `params.requestId`, of a cancellation.
    pub request_id: Option<&'a RawJson>,
    /// Other members of `params`; `_meta` is not for these.
    pub params: &'a [Edit<'a>],
    /// Other members of `params._meta`.
    pub meta: &'a [Edit<'a>],
    /// Other members of `result`.
    pub result: &'a [Edit<'a>],
}

impl Rewrite<'_> {
    /// Everything as it is.
    pub const NONE: Self = Self {
        id: None,
        name: None,
        uri: None,
        ref_name: None,
        ref_uri: None,
        progress_token: None,
        reported_token: None,
        request_id: None,
        params: &[],
        meta: &[],
        result: &[],
    };
}

/// What is put somewhere.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    Raw(&'a RawJson),
    /// Becomes a JSON string.
    Text(&'a str),
    /// Punctuation.
    Plain(&'static str),
}

impl Piece<'_> {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
            Self::Text(text) => write_string(out, text),
            Self::Plain(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

impl Envelope {
    /// The message with some parts replaced.
    pub fn rewrite(&self, with: &Rewrite<'_>) -> Bytes {
        let mut out = Vec::with_capacity(self.bytes().len() + 32);
        self.rewrite_into(with, &mut out);
        out.into()
    }

    /// Appends the message with some parts replaced.
    pub fn rewrite_into(&self, with: &Rewrite<'_>, out: &mut Vec<u8>) {
        let places = &self.layout;
        let mut edits: [Option<(Span, Piece<'_>)>; 8] = [
            with.id.map(|id| (places.id, Piece::Raw(id))),
            with.name.map(|name| (places.name, Piece::Text(name))),
            with.uri.map(|uri| (places.uri, Piece::Text(uri))),
            with.ref_name
                .map(|name| (places.ref_name, Piece::Text(name))),
            with.ref_uri.map(|uri| (places.ref_uri, Piece::Text(uri))),
            with.progress_token
                .map(|token| (places.token, Piece::Raw(token))),
            with.reported_token
                .map(|token| (places.reported_token, Piece::Raw(token))),
            with.request_id
                .map(|id| (places.request_id, Piece::Raw(id))),
        ];
        if !(with.params.is_empty() && with.meta.is_empty() && with.result.is_empty()) {
            return self.edit_into(with, edits.into_iter().flatten(), out);
        }
        edits.sort_unstable_by_key(|edit| edit.as_ref().map_or(0, |(span, _)| span.start));
        let bytes = self.bytes();
        let mut done = 0;
        for (span, piece) in edits
            .into_iter()
            .flatten()
            .filter(|(span, _)| !span.is_empty())
        {
            out.extend_from_slice(&bytes[done..span.range().start]);
            piece.write(out);
            done = span.range().end;
        }
        out.extend_from_slice(&bytes[done..]);
    }

    /// The rewriting that also changes members: only where a message passes from one era to the other.
    #[cold]
    #[inline(never)]
    fn edit_into<'a>(
        &self,
        with: &Rewrite<'a>,
        fixed: impl Iterator<Item = (Span, Piece<'a>)>,
        out: &mut Vec<u8>,
    ) {
        let places = &self.layout;
        let bytes = self.bytes();
        let mut patches: Patches<'a> = fixed.filter(|(span, _)| !span.is_empty()).collect();
        let is_object = |span: Span| bytes[span.range()].first() == Some(&b'{');
        if is_object(places.result) {
            members::plan(bytes, places.result, with.result, &[], &mut patches);
        }
        let sets_meta = with.meta.iter().any(Edit::adds);
        if is_object(places.meta) {
            members::plan(bytes, places.meta, with.meta, &[], &mut patches);
        } else if !places.meta.is_empty() && sets_meta {
            patches.push((places.meta, Piece::Plain("{")));
            members::fresh(with.meta, places.meta.end, &mut patches);
            patches.push((Span::at(places.meta.end), Piece::Plain("}")));
        }
        let new_meta = if places.meta.is_empty() && sets_meta {
            with.meta
        } else {
            &[]
        };
        if is_object(places.params) {
            members::plan(bytes, places.params, with.params, new_meta, &mut patches);
        } else if places.params.is_empty()
            && !places.method.is_empty()
            && (!new_meta.is_empty() || with.params.iter().any(Edit::adds))
        {
            let end = places.method.end;
            patches.push((Span::at(end), Piece::Plain(",\"params\":{")));
            members::fresh_with_meta(with.params, new_meta, end, &mut patches);
            patches.push((Span::at(end), Piece::Plain("}")));
        }
        members::apply(bytes, &mut patches, out);
    }
}

/// Makes one line of a message that was appended to `out` at `from`: in valid JSON a line break can only
/// be white space between tokens, and becomes a space.
pub(crate) fn join_lines(out: &mut [u8], from: usize) {
    let mut rest = &mut out[from..];
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        rest[at] = b' ';
        rest = &mut rest[at + 1..];
    }
}
