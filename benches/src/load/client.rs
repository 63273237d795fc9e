//! One client: a session, over a connection of its own or a share of one.

use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::net::TcpStream;

use super::http1::{self, Stream};
use super::http2;
use super::options::Options;
use super::tls::Secure;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
/// What each request of 2026-07-28 says of itself.
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"load","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
/// Where `--vary` writes a number, in a call's arguments.
const NUMBER: &str = "000000000000";

/// A session that makes the same call again and again.
pub(super) enum Client {
    Http1 {
        connection: http1::Connection,
        call: Vec<u8>,
        /// Where its number is, if each call has another.
        number: Option<usize>,
        /// What ends it, if it is to be.
        end: Option<Vec<u8>>,
    },
    Http2 {
        connection: http2::Connection,
        call: Request<Full<Bytes>>,
    },
}

/// Connects to the endpoint.
pub(super) async fn connect(
    options: &Options,
    secure: Option<&Secure>,
) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(options.address).await?;
    stream.set_nodelay(true)?;
    Ok(match secure {
        Some(secure) => Box::new(secure.connect(options.address, stream).await?),
        None => Box::new(stream),
    })
}

impl Client {
    /// Opens a session over a connection of its own.
    pub(super) async fn http1(options: &Options, stream: Box<dyn Stream>) -> io::Result<Self> {
        let mut connection = http1::Connection::new(stream);
        if options.modern {
            let call = http1::request(options, "", &call(options));
            return Ok(Self::Http1 {
                connection,
                number: number_in(options, &call),
                call,
                end: None,
            });
        }
        let initialize = http1::request(options, "", INITIALIZE);
        let head = connection.ask(&initialize).await?;
        let session = http1::header(&head, "mcp-session-id").unwrap_or_default();
        let initialized = http1::request(options, session, INITIALIZED);
        let call = http1::request(options, session, &call(options));
        connection.ask(&initialized).await?;
        Ok(Self::Http1 {
            connection,
            number: number_in(options, &call),
            call,
            end: options.end.then(|| http1::end(options, session)),
        })
    }

    /// Opens a session over a connection that it shares.
    pub(super) async fn http2(
        options: &Options,
        mut connection: http2::Connection,
    ) -> io::Result<Self> {
        let initialize = http2::request(options, "", INITIALIZE)?;
        let session = connection.ask(&initialize).await?.session;
        let session = session.unwrap_or_default();
        let initialized = http2::request(options, &session, INITIALIZED)?;
        connection.ask(&initialized).await?;
        let call = http2::request(options, &session, &call(options))?;
        Ok(Self::Http2 { connection, call })
    }

    /// Ends the session, where that is asked for.
    pub(super) async fn end(self) {
        if let Self::Http1 {
            mut connection,
            end: Some(end),
            ..
        } = self
        {
            // Who does not answer has forgotten it too.
            let _ = connection.ask(&end).await;
        }
    }

    /// One call; false where its answer is no result.
    pub(super) async fn make(&mut self) -> io::Result<bool> {
        match self {
            Self::Http1 {
                connection,
                call,
                number,
                ..
            } => {
                if let Some(at) = *number {
                    let next = format!("{:012}", NEXT.fetch_add(1, Ordering::Relaxed));
                    call[at..at + NUMBER.len()].copy_from_slice(next.as_bytes());
                }
                let good = connection.ask(call).await?.starts_with("HTTP/1.1 200");
                Ok(good && is_result(&connection.body))
            }
            Self::Http2 { connection, call } => {
                let answer = connection.ask(call).await?;
                Ok(answer.good && is_result(&answer.body))
            }
        }
    }
}

/// Begins where the clock is, so that the numbers of an earlier run are not asked for again.
static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    AtomicU64::new(now.unwrap_or_default().as_secs() % 100_000 * 10_000_000)
});

fn is_result(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"\"result\"").is_some()
}

fn number_in(options: &Options, call: &[u8]) -> Option<usize> {
    memchr::memmem::find(call, NUMBER.as_bytes()).filter(|_| options.vary)
}

fn call(options: &Options) -> String {
    let method = options.method();
    if options.method.is_some() {
        let params = if options.modern {
            format!(r#","params":{{{META}}}"#)
        } else {
            String::new()
        };
        return format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#);
    }
    let meta = if options.modern {
        format!(",{META}")
    } else {
        String::new()
    };
    let mut arguments = options.arguments.clone();
    if options.vary {
        let end = arguments.rfind('}').unwrap_or_default();
        arguments.insert_str(end, &format!(r#","number":"{NUMBER}""#));
    }
    let tool = &options.tool;
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"{tool}","arguments":{arguments}{meta}}}}}"#
    )
}
