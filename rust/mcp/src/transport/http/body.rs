//! Bodies of responses: whole, or as a stream of events; bounded either way.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use thiserror::Error;

use super::client::describe;
use super::plain::Rest;
use crate::sse::{Event, Parser};

/// Why a body could not be read to its end.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    #[error("a body of more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{0}")]
    Broken(String),
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Plain(Rest),
    Hyper(Incoming),
}

impl Body {
    /// Bytes that are known to come.
    fn least(&self) -> u64 {
        match self {
            Self::Plain(body) => body.least(),
            Self::Hyper(body) => body.size_hint().lower(),
        }
    }

    /// The next piece; none at the end.
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let body = match self {
            Self::Plain(body) => return Some(body.next().await?.map_err(BodyError::Broken)),
            Self::Hyper(body) => body,
        };
        loop {
            match body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(BodyError::Broken(describe(&error)))),
            }
        }
    }
}

/// Reads a body to its end.
pub(crate) async fn read_whole(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let too_large = BodyError::TooLarge { limit };
    if body.least() > limit as u64 {
        return Err(too_large);
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(data) = body.next().await {
        let data = data?;
        if first.as_ref().map_or(0, Bytes::len) + all.len() + data.len() > limit {
            return Err(too_large);
        }
        match &first {
            None => first = Some(data),
            Some(start) => {
                if all.is_empty() {
                    all.extend_from_slice(start);
                    first = Some(Bytes::new());
                }
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(if all.is_empty() {
        first.unwrap_or_default()
    } else {
        all.freeze()
    })
}

/// A body read as events.
pub(crate) struct Events {
    body: Body,
    piece: Bytes,
    pub(crate) parser: Parser,
}

impl Events {
    pub(crate) fn new(body: Body, limit: usize) -> Self {
        Self {
            body,
            piece: Bytes::new(),
            parser: Parser::new(limit),
        }
    }

    /// Goes on with another body of the same stream: ids and times stay, a half event is dropped.
    pub(crate) fn continue_with(&mut self, body: Body) {
        self.body = body;
        self.piece = Bytes::new();
        self.parser.restart();
    }

    /// The next event; none at the stream's end.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, BodyError> {
        loop {
            let event = self
                .parser
                .next(&mut self.piece)
                .map_err(|error| BodyError::TooLarge { limit: error.limit })?;
            if event.is_some() {
                return Ok(event);
            }
            match self.body.next().await {
                Some(data) => self.piece = data?,
                None => return Ok(None),
            }
        }
    }
}
