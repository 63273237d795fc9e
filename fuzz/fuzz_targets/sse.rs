//! Event streams: the same events however the bytes are cut, and what was read can be written and read again.
#![no_main]

use backstay_mcp::sse::{Event, EventTooLarge, Parser, write_event};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 256;

fn read(stream: &[u8], size: usize) -> (Vec<Event>, Result<(), EventTooLarge>) {
    let mut parser = Parser::new(LIMIT);
    let mut events = Vec::new();
    for piece in stream.chunks(size) {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() {
            match parser.next(&mut piece) {
                Ok(event) => events.extend(event),
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, Ok(()))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, stream)) = bytes.split_first() else {
        return;
    };
    let (events, end) = read(stream, stream.len().max(1));
    let (cut, cut_end) = read(stream, usize::from(*size).max(1));
    if end.is_ok() && cut_end.is_ok() {
        assert_eq!(events, cut, "it matters how the stream was cut");
    }
    for event in events {
        assert!(event.data.len() <= LIMIT, "larger than allowed");
        let mut written = Vec::new();
        write_event(
            &mut written,
            Some(&event.name),
            Some(&event.id),
            &event.data,
        );
        let mut parser = Parser::new(LIMIT);
        let again = parser.next(&mut Bytes::from(written));
        let Ok(Some(again)) = again else {
            // Names and ids are text, and text made of what was none is longer.
            assert!(
                event.name.contains('\u{fffd}')
                    || event.id.contains('\u{fffd}')
                    || event.name.len() + event.id.len() > LIMIT
            );
            continue;
        };
        assert_eq!(again.data, event.data, "not read as written");
    }
});
