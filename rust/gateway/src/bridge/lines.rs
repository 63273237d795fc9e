//! Messages as lines.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end; never blank.
    Whole(Bytes),
    /// A line over the limit; it was skipped.
    TooLong,
    /// There are no more.
    End,
}

/// Reads the next line that is not blank.
pub(super) async fn next_line<R: AsyncBufRead + Unpin>(
    input: &mut R,
    limit: usize,
) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let available = input.fill_buf().await?;
        if available.is_empty() {
            return Ok(match (too_long, line.trim_ascii().is_empty()) {
                (true, _) => Line::TooLong,
                (false, true) => Line::End,
                (false, false) => Line::Whole(line.into()),
            });
        }
        let end = memchr::memchr(b'\n', available);
        let taken = end.unwrap_or(available.len());
        too_long |= line.len() + taken > limit;
        if too_long {
            line.clear();
        } else {
            line.extend_from_slice(&available[..taken]);
        }
        input.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            if too_long {
                return Ok(Line::TooLong);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Line::Whole(line.into()));
            }
            line.clear();
        }
    }
}

/// Appends a message as one line: a line break inside it can only be space between tokens.
pub(super) fn append(message: &[u8], out: &mut Vec<u8>) {
    out.extend(message.iter().map(|&byte| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            byte
        }
    }));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_read_whatever_stands_between_them() {
        let mut input: &[u8] = b"{}\r\n\n  \n0123456789\n[]";
        let mut lines = Vec::new();
        loop {
            let line = next_line(&mut input, 5).await.unwrap();
            if line == Line::End {
                break;
            }
            lines.push(line);
        }
        assert_eq!(
            lines,
            [
                Line::Whole("{}\r".into()),
                Line::TooLong,
                Line::Whole("[]".into())
            ]
        );
    }

    #[test]
    fn a_message_is_written_as_one_line() {
        let mut out = Vec::new();
        append(b"{\r\n\"a\":1}", &mut out);
        assert_eq!(out, b"{  \"a\":1}\n");
    }
}
