//! Server-sent events: an incremental reader that is bounded, and a writer.
//!
//! By the rules of the HTML standard ("9.2.6 Interpreting an event stream"), but that the data stays bytes: what is in
//! it is judged as a message, where it must be UTF-8 anyway.

use std::time::Duration;

use bytes::{Buf, Bytes};
use thiserror::Error;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `event:`; empty means `message`.
    pub name: String,
    /// `data:`, its lines joined by `\n`.
    pub data: Bytes,
    /// The last `id:` up to and with this event; empty if there was none.
    pub id: String,
}

impl Event {
    /// Whether it carries a message (and not, say, only an id to resume from).
    pub fn is_message(&self) -> bool {
        (self.name.is_empty() || self.name == "message") && !self.data.is_empty()
    }
}

/// An event is larger than allowed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an event of more than {limit} bytes")]
pub struct EventTooLarge {
    /// The limit.
    pub limit: usize,
}

/// Reads events out of bytes that come in pieces.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    /// The start of a line that has not ended.
    line: Vec<u8>,
    event: Event,
    data: Vec<u8>,
    has_data: bool,
    retry: Option<Duration>,
    /// A `\r` ended the last line, and a `\n` may belong to it.
    after_return: bool,
    begun: bool,
}

/// Ids beyond this are not kept: they would go into a header.
const LONGEST_ID: usize = 4096;

impl Parser {
    /// A reader of events with at most `limit` bytes of data.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            event: Event::default(),
            data: Vec::new(),
            has_data: false,
            retry: None,
            after_return: false,
            begun: false,
        }
    }

    /// The last id that came.
    pub fn last_id(&self) -> &str {
        &self.event.id
    }

    /// The reconnection time that came, if any did.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Another stream begins, which goes on where the last one ended: only the id and the time stay.
    pub fn restart(&mut self) {
        let id = std::mem::take(&mut self.event.id);
        *self = Self {
            event: Event {
                id,
                ..Event::default()
            },
            retry: self.retry,
            ..Self::new(self.limit)
        };
    }

    /// Takes a piece up to the end of the next event, and returns that if there is one. Call it until the piece is empty.
    pub fn next(&mut self, piece: &mut Bytes) -> Result<Option<Event>, EventTooLarge> {
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_return) && piece[0] == b'\n' {
                piece.advance(1);
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', piece) else {
                self.keep(piece)?;
                piece.clear();
                return Ok(None);
            };
            self.after_return = piece[end] == b'\r';
            let rest = piece.split_to(end + 1);
            let event = if self.line.is_empty() {
                self.line_ended(&rest[..end])?
            } else {
                self.keep(&rest[..end])?;
                let line = std::mem::take(&mut self.line);
                self.line_ended(&line)?
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        // A line's field name comes on top of its data.
        if self.line.len() + bytes.len() > self.limit + 16 {
            return Err(EventTooLarge { limit: self.limit });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn line_ended(&mut self, mut line: &[u8]) -> Result<Option<Event>, EventTooLarge> {
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.event_ended());
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(at) => (
                &line[..at],
                line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..]),
            ),
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                // Lines are joined by a byte, which counts too.
                let joined = usize::from(self.has_data);
                if self.data.len() + joined + value.len() > self.limit {
                    return Err(EventTooLarge { limit: self.limit });
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.event.name =
                    String::from_utf8_lossy(&value[..value.len().min(LONGEST_ID)]).into_owned();
            }
            b"id" if value.len() <= LONGEST_ID && !value.contains(&0) => {
                self.event.id = String::from_utf8_lossy(value).into_owned();
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let milliseconds = std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok());
                self.retry = milliseconds.map(Duration::from_millis);
            }
            _ => {}
        }
        Ok(None)
    }

    fn event_ended(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.event.name);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let data = Bytes::from(std::mem::take(&mut self.data));
        Some(Event {
            name,
            data,
            id: self.event.id.clone(),
        })
    }
}

/// Appends an event. Line breaks in a name or id, where no event can have them, become spaces.
pub fn write_event(out: &mut Vec<u8>, name: Option<&str>, id: Option<&str>, data: &[u8]) {
    let mut field = |key: &[u8], value: &str| {
        out.extend_from_slice(key);
        out.extend(value.bytes().map(|byte| {
            if matches!(byte, b'\n' | b'\r' | 0) {
                b' '
            } else {
                byte
            }
        }));
        out.push(b'\n');
    };
    if let Some(name) = name {
        field(b"event: ", name);
    }
    if let Some(id) = id {
        field(b"id: ", id);
    }
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..end]);
        out.push(b'\n');
        match rest.get(end) {
            None => break,
            Some(b'\r') if rest.get(end + 1) == Some(&b'\n') => rest = &rest[end + 2..],
            Some(_) => rest = &rest[end + 1..],
        }
    }
    out.push(b'\n');
}

/// Appends the time after which a client whose stream ended should come back.
pub fn write_retry(out: &mut Vec<u8>, after: Duration) {
    out.extend_from_slice(format!("retry: {}\n\n", after.as_millis()).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a text gives, cut into pieces of `size`, with its last id and time.
    fn parse(text: &[u8], size: usize) -> (Vec<Event>, Parser) {
        let mut parser = Parser::new(1000);
        let mut events = Vec::new();
        for piece in text.chunks(size) {
            let mut piece = Bytes::copy_from_slice(piece);
            while !piece.is_empty() {
                events.extend(parser.next(&mut piece).unwrap());
            }
        }
        (events, parser)
    }

    fn event(name: &str, id: &str, data: &'static str) -> Event {
        Event {
            name: name.into(),
            id: id.into(),
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    #[test]
    fn the_standards_examples_are_read_however_they_are_cut() {
        let text = b"\xef\xbb\xbf: hello\r\ndata: YHOO\rdata:+2\ndata: 10\n\nevent: add\nid: 7\ndata:  x\r\n\r\ndata\n\ndata\ndata\n\nid\nretry: 15\n\ndata: lost";
        for size in 1..text.len() {
            let (events, parser) = parse(text, size);
            let expected = [
                event("", "", "YHOO\n+2\n10"),
                event("add", "7", " x"),
                event("", "7", ""),
                event("", "7", "\n"),
            ];
            assert_eq!(events, expected, "in pieces of {size}");
            assert_eq!(
                (parser.last_id(), parser.retry()),
                ("", Some(Duration::from_millis(15)))
            );
        }
    }

    #[test]
    fn an_event_with_only_an_id_gives_no_event_but_the_id() {
        let (events, parser) = parse(b"id: 5\n\n", 3);
        assert_eq!((events.len(), parser.last_id()), (0, "5"));
        let (events, _) = parse(b"id: 5\ndata:\n\n", 3);
        assert!(!events[0].is_message());
    }

    #[test]
    fn endless_lines_and_endless_events_are_refused() {
        let mut parser = Parser::new(100);
        let mut outcome = Ok(None);
        for _ in 0..20 {
            outcome = parser.next(&mut Bytes::from_static(b"data: xxxxxxxx"));
        }
        assert_eq!(outcome, Err(EventTooLarge { limit: 100 }));
        let mut parser = Parser::new(100);
        for _ in 0..20 {
            outcome = parser.next(&mut Bytes::from_static(b"data: xxxxxxxx\n"));
        }
        assert_eq!(outcome, Err(EventTooLarge { limit: 100 }));
    }

    #[test]
    fn the_bytes_that_join_lines_count_too() {
        let read = |stream: &'static [u8]| Parser::new(7).next(&mut Bytes::from_static(stream));
        let event = read(b"data: abc\ndata: def\n\n").unwrap().unwrap();
        assert_eq!(&*event.data, b"abc\ndef");
        assert_eq!(
            read(b"data: abc\ndata: defg\n\n"),
            Err(EventTooLarge { limit: 7 })
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(
            name in "[a-z]{0,8}", id in "[!-~]{1,8}", data in "[a-z\n\r{}\" ]{0,40}", size in 1_usize..20,
        ) {
            let mut out = Vec::new();
            write_retry(&mut out, Duration::from_millis(3));
            write_event(&mut out, Some(&name), Some(&id), data.as_bytes());
            let (events, parser) = parse(&out, size);
            let joined = data.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(events, [Event { name, id, data: joined.into() }]);
            prop_assert_eq!(parser.retry(), Some(Duration::from_millis(3)));
        }

        #[test]
        fn no_bytes_make_it_panic_or_grow(text in prop::collection::vec(any::<u8>(), 0..3000), size in 1_usize..50) {
            let mut parser = Parser::new(64);
            'pieces: for piece in text.chunks(size) {
                let mut piece = Bytes::copy_from_slice(piece);
                while !piece.is_empty() {
                    if parser.next(&mut piece).is_err() {
                        break 'pieces;
                    }
                }
                prop_assert!(parser.line.len() <= 80 && parser.data.len() <= 65);
            }
        }
    }
}
