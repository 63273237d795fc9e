//! Where a body ends: after so many bytes, after its last chunk, or with the connection.

use bytes::{Buf as _, Bytes, BytesMut};

use super::head::Malformed;

/// Longest line that gives a chunk's size.
const MOST_SIZE_LINE: usize = 4 << 10;
/// Most bytes of what follows the last chunk.
const MOST_TRAILERS: usize = 16 << 10;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// What there is of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    /// More has to be read.
    Wanting,
    End,
}

/// Cuts a body out of what is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cutter {
    Length(u64),
    UntilClose,
    /// The size of the next chunk comes.
    Size,
    /// So much of a chunk comes, and its line's end.
    Chunk(u64),
    ChunkEnd,
    /// So many bytes of trailers have come.
    Trailers(usize),
}

impl From<Framing> for Cutter {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Size,
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

impl Cutter {
    /// Bytes that are known to come.
    pub(super) fn least(self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunk(left) => left,
            _ => 0,
        }
    }

    /// The next piece of the body, taken out of the buffer.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            match self {
                Self::Length(0) => return Ok(Piece::End),
                Self::UntilClose => return Ok(part(&mut u64::MAX.clone(), buffer)),
                Self::Chunk(0) => *self = Self::ChunkEnd,
                Self::Length(left) | Self::Chunk(left) => return Ok(part(left, buffer)),
                Self::ChunkEnd => match &buffer[..buffer.len().min(2)] {
                    b"\r\n" => {
                        buffer.advance(2);
                        *self = Self::Size;
                    }
                    b"" | b"\r" => return Ok(Piece::Wanting),
                    _ => return Err(Malformed("the end of a chunk")),
                },
                Self::Size => match take_line(buffer, MOST_SIZE_LINE)? {
                    None => return Ok(Piece::Wanting),
                    Some(line) => {
                        *self = match size(&line)? {
                            0 => Self::Trailers(0),
                            size => Self::Chunk(size),
                        };
                    }
                },
                Self::Trailers(before) => match take_line(buffer, MOST_TRAILERS - *before)? {
                    None => return Ok(Piece::Wanting),
                    Some(line) if line.is_empty() => {
                        *self = Self::Length(0);
                    }
                    Some(line) => *before = (*before + line.len() + 2).min(MOST_TRAILERS),
                },
            }
        }
    }
}

fn part(left: &mut u64, buffer: &mut BytesMut) -> Piece {
    if buffer.is_empty() {
        return Piece::Wanting;
    }
    let size = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= size as u64;
    Piece::Data(buffer.split_to(size).freeze())
}

/// Takes a line and its end; none while the end is not there.
fn take_line(buffer: &mut BytesMut, most: usize) -> Result<Option<BytesMut>, Malformed> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        return if buffer.len() > most {
            Err(Malformed("a line without an end"))
        } else {
            Ok(None)
        };
    };
    if end == 0 || buffer[end - 1] != b'\r' || end > most + 1 {
        return Err(Malformed("a line's end"));
    }
    let mut line = buffer.split_to(end + 1);
    line.truncate(end - 1);
    Ok(Some(line))
}

/// The size that a chunk's line gives; what stands behind it (RFC 9112 §7.1.1) says nothing to us.
fn size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let rest = line[digits..].trim_ascii_start();
    if digits == 0 || digits > 15 || !matches!(rest.first(), None | Some(b';')) {
        return Err(Malformed("the size of a chunk"));
    }
    let digits = std::str::from_utf8(&line[..digits]).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| Malformed("the size of a chunk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body in `text`, read in pieces of a size; and what is left.
    fn read(framing: Framing, text: &str, size: usize) -> Result<(String, String), Malformed> {
        let (mut cutter, mut buffer, mut body) =
            (Cutter::from(framing), BytesMut::new(), Vec::new());
        let mut pieces = text.as_bytes().chunks(size);
        loop {
            match cutter.next(&mut buffer)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::Wanting => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => return Err(Malformed("cut short")),
                },
                Piece::End => break,
            }
        }
        for piece in pieces {
            buffer.extend_from_slice(piece);
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(&body), text(&buffer)))
    }

    #[test]
    fn a_body_ends_where_it_ends_however_it_comes() {
        let chunked =
            "5\r\nhello\r\n1; x=\"y\"\r\n,\r\nB\r\n world and \r\n0\r\nTrailer: t\r\n\r\nrest";
        for size in 1..chunked.len() {
            let read = read(Framing::Chunked, chunked, size);
            assert_eq!(
                read,
                Ok(("hello, world and ".into(), "rest".into())),
                "{size}"
            );
        }
        assert_eq!(
            read(Framing::Length(3), "abcde", 2),
            Ok(("abc".into(), "de".into()))
        );
        assert_eq!(
            read(Framing::Length(0), "x", 1),
            Ok((String::new(), "x".into()))
        );
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bad in [
            "\r\n",
            "g\r\n",
            "5\nhello\r\n",
            "5\r\nhelloX\r\n",
            "-5\r\n",
            "5 5\r\nhello\r\n",
            "1000000000000000\r\n",
            "0\r\nno end\n\r\n",
        ] {
            assert!(read(Framing::Chunked, bad, 100).is_err(), "{bad:?}");
        }
        let endless = "1".repeat(MOST_SIZE_LINE + 10);
        assert_eq!(
            read(Framing::Chunked, &endless, 100),
            Err(Malformed("a line without an end"))
        );
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(MOST_TRAILERS));
        assert!(
            matches!(read(Framing::Chunked, &trailers, 100), Err(Malformed(why)) if why != "cut short")
        );
    }
}
