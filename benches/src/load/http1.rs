//! HTTP/1.1 by hand: a request is one write of prepared bytes, an answer is looked at no closer than needed.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::options::{LEGACY, MODERN, Options};

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A message as bytes; the body is what it ends with.
pub(super) fn request(options: &Options, session: &str, body: &str) -> Vec<u8> {
    with_method("POST", options, session, body)
}

/// The end of a session as bytes.
pub(super) fn end(options: &Options, session: &str) -> Vec<u8> {
    with_method("DELETE", options, session, "")
}

fn with_method(method: &str, options: &Options, session: &str, body: &str) -> Vec<u8> {
    let session = if options.modern {
        let (method, tool) = (options.method(), &options.tool);
        let name = if options.method.is_none() {
            format!("mcp-name: {tool}\r\n")
        } else {
            String::new()
        };
        format!("mcp-method: {method}\r\n{name}")
    } else if session.is_empty() {
        String::new()
    } else {
        format!("mcp-session-id: {session}\r\n")
    };
    let version = if options.modern { MODERN } else { LEGACY };
    let token = options
        .token
        .as_ref()
        .map(|token| format!("authorization: Bearer {token}\r\n"));
    format!(
        "{method} {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: {version}\r\n{session}{}content-length: {}\r\n\r\n{body}",
        options.path,
        options.address,
        token.unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}

/// One connection, kept alive.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// After [`ask`](Self::ask), the answer's body.
    pub(super) body: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            body: Vec::with_capacity(4096),
        }
    }

    /// Sends a request and reads its answer whole; returns the head.
    pub(super) async fn ask(&mut self, request: &[u8]) -> io::Result<String> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.body.clear();
        let head = loop {
            if let Some(end) = memchr::memmem::find(&self.body, b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let text = String::from_utf8_lossy(&self.body[..head]).into_owned();
        self.body.drain(..head);
        if let Some(length) = header(&text, "content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            while self.body.len() < length {
                self.read().await?;
            }
        } else if header(&text, "transfer-encoding").is_some() {
            while !self.body.ends_with(b"0\r\n\r\n") {
                self.read().await?;
            }
        }
        Ok(text)
    }

    async fn read(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// A header's value in a head.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}
