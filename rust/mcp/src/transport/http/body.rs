//! Bodies of responses: whole, or as a stream of events; bounded either way.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use thiserror::Error;

use super::client::describe;
use crate::sse::{Event, Parser};

/// Why a body could not be read to its end.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    #[error("a body of more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{0}")]
    Broken(String),
}

/// Reads a body to its end.
pub(crate) async fn read_whole(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let too_large = BodyError::TooLarge { limit };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large);
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame
            .map_err(|error| BodyError::Broken(describe(&error)))?
            .into_data()
        else {
            continue;
        };
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
    body: Incoming,
    piece: Bytes,
    pub(crate) parser: Parser,
}

impl Events {
    pub(crate) fn new(body: Incoming, limit: usize) -> Self {
        Self {
            body,
            piece: Bytes::new(),
            parser: Parser::new(limit),
        }
    }

    /// Goes on with another body of the same stream: ids and times stay, a half event is dropped.
    pub(crate) fn continue_with(&mut self, body: Incoming) {
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
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            if let Ok(data) = frame
                .map_err(|error| BodyError::Broken(describe(&error)))?
                .into_data()
            {
                self.piece = data;
            }
        }
    }
}
