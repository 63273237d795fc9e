//! An MCP server over stdio, written against the protocol itself: one JSON message a line, in and out.
//!
//! `protocol` knows the messages, `text` does the work, and this file moves the lines between them.

mod protocol;
mod text;

use std::io::{self, BufRead, Write};

/// The longest message we read; a client that sends more is told so.
const MAX_MESSAGE: u64 = 16 * 1024 * 1024;

fn main() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more than allowed tells a message that is too long from one that just fits.
        if io::Read::take(&mut input, MAX_MESSAGE + 1).read_until(b'\n', &mut line)? == 0 {
            return Ok(()); // the client closed its end: that is how a session over stdio ends
        }
        let answer = if line.len() as u64 > MAX_MESSAGE {
            skip_line(&mut input, &line)?;
            Some(protocol::refuse_length(MAX_MESSAGE))
        } else if line.trim_ascii().is_empty() {
            None
        } else {
            protocol::answer(&line)
        };
        if let Some(answer) = answer {
            writeln!(output, "{answer}")?;
            output.flush()?;
        }
    }
}

/// Read on to the end of a line that was too long.
fn skip_line(input: &mut impl BufRead, begun: &[u8]) -> io::Result<()> {
    if begun.ends_with(b"\n") {
        return Ok(());
    }
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1);
        input.consume(used);
        if end.is_some() || used == 0 {
            return Ok(());
        }
    }
}
