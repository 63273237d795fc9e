//! What must hold for an answer of any bytes whatever; the property tests and the fuzzer both call it.

use super::framing::{Cutter, Piece};
use super::{BytesMut, head};

/// What was read: the status, the body and how much was used, or that it is none.
type Read = Result<Option<(u16, Vec<u8>, usize, bool)>, ()>;

/// Panics if it matters how an answer is cut into pieces, or if more comes out than went in.
///
/// # Panics
/// That is what it is for.
pub fn check(bytes: &[u8]) {
    let Some((size, answer)) = bytes.split_first() else {
        return;
    };
    let whole = read(answer, answer.len().max(1));
    let cut = read(answer, usize::from(*size).max(1));
    // A line that is too long may be noticed before or after its end.
    if let (Ok(whole), Ok(cut)) = (&whole, &cut) {
        assert_eq!(whole, cut, "it matters how it was cut");
    }
    if let Ok(Some((_, body, used, _))) = whole {
        assert!(
            body.len() <= used && used <= answer.len(),
            "more came out than went in"
        );
    }
}

fn read(answer: &[u8], size: usize) -> Read {
    let mut pieces = answer.chunks(size);
    let mut buffer = BytesMut::new();
    let mut taken = 0;
    let mut more = |buffer: &mut BytesMut| {
        pieces.next().map(|piece| {
            buffer.extend_from_slice(piece);
            taken += piece.len();
        })
    };
    let head = loop {
        match head::read(&buffer) {
            Ok(Some(head)) => break head,
            Ok(None) if more(&mut buffer).is_some() => {}
            Ok(None) => return Ok(None),
            Err(_) => return Err(()),
        }
    };
    let _ = buffer.split_to(head.length);
    let mut cutter = Cutter::from(head.framing);
    let mut body = Vec::new();
    let ended = loop {
        match cutter.next(&mut buffer) {
            Ok(Piece::Data(data)) => body.extend_from_slice(&data),
            Ok(Piece::Wanting) if more(&mut buffer).is_some() => {}
            Ok(Piece::Wanting) => break false,
            Ok(Piece::End) => break true,
            Err(_) => return Err(()),
        }
    };
    Ok(Some((
        head.status.as_u16(),
        body,
        taken - buffer.len(),
        ended,
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_not_matter_how_an_answer_is_cut(
            size: u8,
            head in "(HTTP/1.[01] [0-9]{3} \r\n)?([a-z-]{1,3}: x\r\n)?(content-length: [0-9]{1,2}\r\n|transfer-encoding: chunked\r\n)?(\r\n)?",
            body in "([0-9a-f]{1,2}(;x)?\r\n[a-z]{0,20}(\r\n)?){0,4}(0\r\n)?(\r\n)?",
        ) {
            check(&[&[size], head.as_bytes(), body.as_bytes()].concat());
        }
    }
}
