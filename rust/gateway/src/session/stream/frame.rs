//! How a message is written as a server-sent event, and what its id says.

use std::fmt;
use std::io::Write as _;

use backstay_mcp::RawJson;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

/// How long a client is to wait before it comes back for the rest of a stream.
const RETRY_MS: u32 = 500;

/// The longest request id that an event's id carries.
const LONGEST_REQUEST: usize = 128;

/// Names one event of one stream of one daemon: `<generation>-<stream>-<number>`, and behind it, where the stream is
/// the answer to a request, that request's id. So a daemon that knows nothing of the stream (a former one's, or one
/// too old to be kept) still knows whose answer is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) generation: u32,
    pub(crate) stream: u32,
    pub(crate) number: u64,
    pub(crate) request: Option<RawJson>,
}

impl EventId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '-');
        Some(Self {
            generation: parts.next()?.parse().ok()?,
            stream: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
            request: match parts.next() {
                Some(encoded) => Some(request(encoded)?),
                None => None,
            },
        })
    }
}

fn request(encoded: &str) -> Option<RawJson> {
    let id = RawJson::parse(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    matches!(id.as_bytes(), [b'"' | b'-' | b'0'..=b'9', ..]).then_some(id)
}

impl fmt::Display for EventId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}-{}", self.generation, self.stream, self.number)?;
        match &self.request {
            Some(id) if id.as_bytes().len() <= LONGEST_REQUEST => {
                write!(out, "-{}", URL_SAFE_NO_PAD.encode(id.as_bytes()))
            }
            _ => Ok(()),
        }
    }
}

/// A message as an event; without a message, the event that only tells a client where it is and when to come back.
pub(super) fn write(id: &EventId, message: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(message.len() + 64);
    let _ = writeln!(frame, "id: {id}");
    if message.is_empty() {
        let _ = write!(frame, "retry: {RETRY_MS}\ndata: \n\n");
        return frame.into();
    }
    append(message, &mut frame);
    frame.into()
}

/// A message as an event without an id, for clients that cannot resume (2026-07-28).
pub(super) fn write_bare(message: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(message.len() + 24);
    append(message, &mut frame);
    frame.into()
}

fn append(message: &[u8], frame: &mut Vec<u8>) {
    frame.extend_from_slice(b"event: message\n");
    // JSON may hold line breaks between its tokens; to SSE each is a line of its own.
    for line in message.split(|&byte| byte == b'\n' || byte == b'\r') {
        frame.extend_from_slice(b"data: ");
        frame.extend_from_slice(line);
        frame.push(b'\n');
    }
    frame.push(b'\n');
}

/// The frame without its id.
pub(super) fn body(frame: &[u8]) -> &[u8] {
    frame
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(frame, |end| &frame[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_id_carries_the_request_it_belongs_to() {
        for request in ["7", "-1.5e3", "\"a-b_c\\n\u{e9}\""] {
            let id = EventId {
                generation: 3,
                stream: 7,
                number: 1,
                request: Some(RawJson::parse(request.to_owned()).unwrap()),
            };
            let text = id.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            assert_eq!(EventId::parse(&text), Some(id));
        }
        assert_eq!(EventId::parse("3-7-1").unwrap().request, None);
    }

    #[test]
    fn what_is_no_event_id_is_none() {
        // The last: `{}`, which is no request's id.
        for text in ["", "1", "1-2", "a-b-c", "1-2-3-", "1-2-3-!", "1-2-3-e30"] {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }
}
