//! The heads of answers, as bytes.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;

/// Usual heads fit.
pub(super) const ROOM: usize = 160;

/// The head of an answer that is JSON of a length.
pub(super) fn json(length: usize, closing: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n");
    end(Some(length as u64), closing, out);
}

/// The head of any answer. Without a length its body comes in chunks.
pub(super) fn any(parts: &Parts, length: Option<u64>, closing: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(
        parts
            .status
            .canonical_reason()
            .unwrap_or_default()
            .as_bytes(),
    );
    out.extend_from_slice(b"\r\n");
    for (name, value) in &parts.headers {
        if [CONTENT_LENGTH, TRANSFER_ENCODING, DATE].contains(name) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    end(length, closing, out);
}

fn end(length: Option<u64>, closing: bool, out: &mut Vec<u8>) {
    if let Some(length) = length {
        out.extend_from_slice(b"content-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    } else {
        out.extend_from_slice(b"transfer-encoding: chunked");
    }
    out.extend_from_slice(if closing {
        b"\r\nconnection: close\r\ndate: "
    } else {
        b"\r\ndate: "
    });
    date(out);
    out.extend_from_slice(b"\r\n\r\n");
}

/// The size of a chunk, in front of it.
pub(super) fn chunk(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{length:x}\r\n").as_bytes());
}

/// When it is, as HTTP spells it (RFC 9110 §5.6.7); spelled once a second.
fn date(out: &mut Vec<u8>) {
    struct Spelled(Duration, String);
    thread_local! {
        static LAST: RefCell<Spelled> = const { RefCell::new(Spelled(Duration::MAX, String::new())) };
    }
    let now = SystemTime::now();
    let second = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let second = Duration::from_secs(second.as_secs());
    LAST.with_borrow_mut(|last| {
        if last.0 != second {
            *last = Spelled(second, httpdate::fmt_http_date(now));
        }
        out.extend_from_slice(last.1.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};

    use super::*;

    #[test]
    fn a_head_says_how_its_body_ends() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::ACCEPTED;
        response.headers_mut().insert("a", "b".parse().unwrap());
        response
            .headers_mut()
            .insert("content-length", "9".parse().unwrap());
        let (parts, ()) = response.into_parts();
        let head = |length, closing| {
            let mut out = Vec::new();
            any(&parts, length, closing, &mut out);
            String::from_utf8(out).unwrap()
        };
        let whole = head(Some(0), false);
        assert!(
            whole.starts_with("HTTP/1.1 202 Accepted\r\na: b\r\ncontent-length: 0\r\ndate: "),
            "{whole}"
        );
        assert!(whole.ends_with(" GMT\r\n\r\n"), "{whole}");
        let stream = head(None, true);
        assert!(
            stream.contains("\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"),
            "{stream}"
        );
        assert!(!stream.contains("content-length"), "{stream}");
    }

    #[test]
    fn chunks_are_sized_in_hexadecimal() {
        let mut out = Vec::new();
        chunk(31, &mut out);
        assert_eq!(out, b"1f\r\n");
    }
}
