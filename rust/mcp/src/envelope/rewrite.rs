//! Other ids, names and tokens in a message whose every other byte stays.

use bytes::Bytes;

use super::Envelope;
use super::scan::Span;
use crate::raw::{RawJson, write_string};

/// What to put in the place of what stands there. A part the message lacks is not added.
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
}

enum Piece<'a> {
    Raw(&'a RawJson),
    Text(&'a str),
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
        edits.sort_unstable_by_key(|edit| edit.as_ref().map_or(0, |(span, _)| span.start));
        let bytes = self.bytes();
        let mut done = 0;
        for (span, piece) in edits
            .into_iter()
            .flatten()
            .filter(|(span, _)| !span.is_empty())
        {
            out.extend_from_slice(&bytes[done..span.range().start]);
            match piece {
                Piece::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
                Piece::Text(text) => write_string(out, text),
            }
            done = span.range().end;
        }
        out.extend_from_slice(&bytes[done..]);
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
