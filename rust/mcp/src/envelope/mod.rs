//! One JSON-RPC message, read without building it.
//!
//! [`Envelope::parse`] walks the bytes once: the whole must be JSON, and the keys that decide where a
//! message goes must stand there once. What it keeps is where those keys' values stand. Everything a
//! client or a server says beyond that (unknown fields, the spelling of a number, the order of keys)
//! travels on as the bytes it was.

mod error;
mod excerpt;
#[doc(hidden)]
pub mod fuzz;
pub(crate) mod layout;
mod limits;
mod members;
mod rewrite;
pub(crate) mod scan;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

pub use error::EnvelopeError;
pub(crate) use excerpt::excerpt;
use layout::Layout;
pub use limits::Limits;
pub use members::Edit;
pub(crate) use members::{edited, member};
pub use rewrite::Rewrite;
pub(crate) use rewrite::join_lines;
use scan::{Scanner, Span};

use crate::raw::RawJson;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It wants an answer.
    Request,
    /// It wants none.
    Notification,
    /// An answer with a result.
    Response,
    /// An answer with an error.
    Error,
}

/// One message: its bytes, and where in them the parts stand that decide what becomes of it.
#[derive(Clone)]
pub struct Envelope {
    bytes: Bytes,
    kind: Kind,
    layout: Layout,
}

impl Envelope {
    /// Reads one message; a batch is refused.
    pub fn parse(bytes: impl Into<Bytes>, limits: Limits) -> Result<Self, EnvelopeError> {
        let bytes = bytes.into();
        let mut scanner = Scanner::new(&bytes, limits)?;
        if scanner.peek() == Some(b'[') {
            scanner.value(0)?;
            scanner.end()?;
            return Err(EnvelopeError::Batch);
        }
        let layout = Layout::read(&mut scanner, 0);
        if !matches!(
            layout,
            Err(EnvelopeError::NotJson { .. } | EnvelopeError::TooDeep { .. })
        ) {
            scanner.end()?;
        }
        Self::judge(bytes, layout?)
    }

    /// Reads one message, or the messages of a batch where the version has batches (2025-03-26 only).
    ///
    /// Each message of a batch is judged alone: one bad one does not spoil the others.
    pub fn parse_batch(bytes: impl Into<Bytes>, limits: Limits) -> Result<Batch, EnvelopeError> {
        let bytes = bytes.into();
        let mut scanner = Scanner::new(&bytes, limits)?;
        if scanner.peek() != Some(b'[') {
            return Self::parse(bytes, limits).map(Batch::One);
        }
        let mut spans = Vec::new();
        scanner.array(0, |scanner| {
            if spans.len() >= limits.max_batch {
                return Err(EnvelopeError::BatchTooLong {
                    limit: limits.max_batch,
                });
            }
            spans.push(scanner.value(1)?);
            Ok(())
        })?;
        scanner.end()?;
        if spans.is_empty() {
            return Err(EnvelopeError::EmptyBatch);
        }
        Ok(Batch::Many(
            spans
                .into_iter()
                .map(|span| Self::parse(bytes.slice(span.range()), limits))
                .collect(),
        ))
    }

    fn judge(bytes: Bytes, layout: Layout) -> Result<Self, EnvelopeError> {
        let at = |span: Span| &bytes[span.range()];
        if layout::text(at(layout.jsonrpc)).as_deref() != Some("2.0") {
            return Err(EnvelopeError::NotJsonRpc);
        }
        let kind = match (
            layout.method.is_empty(),
            layout.result.is_empty(),
            layout.error.is_empty(),
        ) {
            (false, true, true) if layout.id.is_empty() => Kind::Notification,
            (false, true, true) => Kind::Request,
            (true, false, true) => Kind::Response,
            (true, true, false) => Kind::Error,
            _ => return Err(EnvelopeError::Shapeless),
        };
        let string = |span: Span, key| match at(span).first() {
            None | Some(b'"') if span.is_empty() || layout::text(at(span)).is_some() => Ok(()),
            _ => Err(EnvelopeError::WrongKind {
                key,
                expected: "a string",
            }),
        };
        let token = |span: Span, key| match at(span).first() {
            None | Some(b'"' | b'-' | b'0'..=b'9') => Ok(()),
            _ => Err(EnvelopeError::WrongKind {
                key,
                expected: "a string or a number",
            }),
        };
        match kind {
            // JSON-RPC answers what it could not read with a null id.
            Kind::Error if layout.id.is_empty() || at(layout.id) == b"null" => {}
            Kind::Response if layout.id.is_empty() => return Err(EnvelopeError::Shapeless),
            Kind::Request | Kind::Response | Kind::Error => token(layout.id, "id")?,
            Kind::Notification => {}
        }
        string(layout.method, "method")?;
        if !matches!(at(layout.params).first(), None | Some(b'{' | b'[')) {
            return Err(EnvelopeError::WrongKind {
                key: "params",
                expected: "an object",
            });
        }
        token(layout.token, "params._meta.progressToken")?;
        Ok(Self {
            bytes,
            kind,
            layout,
        })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole message.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same, in memory of its own.
    pub(crate) fn alone(&self) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(&self.bytes),
            ..self.clone()
        }
    }

    /// `id` as it is spelled. A null id counts as none.
    pub fn id(&self) -> Option<RawJson> {
        self.raw(self.layout.id)
            .filter(|id| id.as_bytes() != b"null")
    }

    /// `id` as it is spelled, borrowed.
    pub fn id_bytes(&self) -> &[u8] {
        self.at(self.layout.id)
    }

    /// `method`; empty for an answer.
    pub fn method(&self) -> Cow<'_, str> {
        self.text(self.layout.method).unwrap_or_default()
    }

    /// `params`.
    pub fn params(&self) -> Option<RawJson> {
        self.raw(self.layout.params)
    }

    /// `result`.
    pub fn result(&self) -> Option<RawJson> {
        self.raw(self.layout.result)
    }

    /// `error`.
    pub fn error(&self) -> Option<RawJson> {
        self.raw(self.layout.error)
    }

    /// `params.name`, if it is a string.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        self.text(self.layout.name)
    }

    /// `params.uri`, if it is a string.
    pub fn uri(&self) -> Option<Cow<'_, str>> {
        self.text(self.layout.uri)
    }

    /// `params.ref.name`, if it is a string.
    pub fn ref_name(&self) -> Option<Cow<'_, str>> {
        self.text(self.layout.ref_name)
    }

    /// `params.ref.uri`, if it is a string.
    pub fn ref_uri(&self) -> Option<Cow<'_, str>> {
        self.text(self.layout.ref_uri)
    }

    /// `params.cursor`, if it is a string.
    pub fn cursor(&self) -> Option<Cow<'_, str>> {
        self.text(self.layout.cursor)
    }

    /// `params.level`, if it is a string.
    pub fn level(&self) -> Option<Cow<'_, str>> {
        self.text(self.layout.level)
    }

    /// `params.protocolVersion`, if it is a string.
    pub fn protocol_version(&self) -> Option<Cow<'_, str>> {
        self.text(self.layout.version)
    }

    /// `params.arguments`.
    pub fn arguments(&self) -> Option<RawJson> {
        self.raw(self.layout.arguments)
    }

    /// `params._meta`.
    pub fn meta(&self) -> Option<RawJson> {
        self.raw(self.layout.meta)
    }

    /// `params._meta.progressToken` of a request, as it is spelled.
    pub fn progress_token(&self) -> Option<RawJson> {
        self.raw(self.layout.token)
    }

    /// `params.progressToken` of a progress notification, as it is spelled.
    pub fn reported_token(&self) -> Option<RawJson> {
        self.raw(self.layout.reported_token)
    }

    /// `params.requestId` of a cancellation, as it is spelled.
    pub fn request_id(&self) -> Option<RawJson> {
        self.raw(self.layout.request_id)
    }

    /// `params.inputResponses` of a retry (2026-07-28).
    pub fn input_responses(&self) -> Option<RawJson> {
        self.raw(self.layout.input_responses)
    }

    /// `params.requestState` of a retry (2026-07-28), as it is spelled.
    pub fn request_state(&self) -> Option<RawJson> {
        self.raw(self.layout.request_state)
    }

    /// `params._meta`, borrowed; empty where there is none.
    pub fn meta_bytes(&self) -> &[u8] {
        self.at(self.layout.meta)
    }

    /// `result`, borrowed; empty where there is none.
    pub fn result_bytes(&self) -> &[u8] {
        self.at(self.layout.result)
    }

    fn at(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    fn raw(&self, span: Span) -> Option<RawJson> {
        (!span.is_empty()).then(|| RawJson::trusted(self.bytes.slice(span.range())))
    }

    fn text(&self, span: Span) -> Option<Cow<'_, str>> {
        let bytes = self.at(span);
        if bytes.first() == Some(&b'"') {
            layout::text(bytes)
        } else {
            None
        }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(200)];
        write!(out, "{:?} {}", self.kind, String::from_utf8_lossy(shown))
    }
}

/// What [`Envelope::parse_batch`] found.
#[derive(Clone, Debug)]
pub enum Batch {
    /// A single message.
    One(Envelope),
    /// An array of messages, each good or bad for itself; never empty.
    Many(Vec<Result<Envelope, EnvelopeError>>),
}
