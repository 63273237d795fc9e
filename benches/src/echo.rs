//! An MCP server that answers as fast as it can, over HTTP and over stdio.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const INITIALIZED: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}"#;
const ANSWER: &str = r#"{"content":[{"type":"text","text":"the answer is as long as the question, more or less, so that both ways cost the same"}]}"#;

/// What a server offers and how long it takes. Cloning gives the same server.
#[derive(Clone, Debug)]
pub struct Echo {
    tools: Arc<str>,
    delay: Option<Duration>,
    events: bool,
}

impl Echo {
    /// A server of so many tools (`echo`, `echo1` …) that answers each call `delay` later.
    pub fn new(tools: usize, delay: Option<Duration>) -> Self {
        let tools: Vec<String> = (0..tools)
            .map(|number| {
                let number = if number == 0 {
                    String::new()
                } else {
                    number.to_string()
                };
                format!(r#"{{"name":"echo{number}","inputSchema":{{"type":"object"}}}}"#)
            })
            .collect();
        Self {
            tools: format!(r#"{{"tools":[{}]}}"#, tools.join(",")).into(),
            delay,
            events: false,
        }
    }

    /// Over HTTP, whether calls are answered by a stream of one event.
    #[must_use]
    pub fn by_events(mut self, events: bool) -> Self {
        self.events = events;
        self
    }

    /// Appends the answer to a message; nothing where it wants none. True: it is to be given later.
    pub fn answer(&self, message: &[u8], out: &mut Vec<u8>) -> bool {
        let text = std::str::from_utf8(message).unwrap_or_default();
        let Some(id) = field(text, "\"id\":") else {
            return false;
        };
        let mut call = false;
        let result = if text.contains("\"tools/call\"") {
            call = true;
            ANSWER
        } else if text.contains("\"initialize\"") {
            INITIALIZED
        } else if text.contains("\"tools/list\"") {
            &self.tools
        } else {
            "{}"
        };
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b",\"result\":");
        out.extend_from_slice(result.as_bytes());
        out.push(b'}');
        call && self.delay.is_some()
    }
}

fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = &text[text.find(key)? + key.len()..];
    rest.find([',', '}']).map(|end| rest[..end].trim())
}

async fn serve(
    echo: Echo,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return Ok(refused);
    }
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let mut out = Vec::with_capacity(256);
    let events = echo.events && memchr::memmem::find(&body, b"\"tools/call\"").is_some();
    if events {
        out.extend_from_slice(b"event: message\ndata: ");
    }
    if echo.answer(&body, &mut out)
        && let Some(delay) = echo.delay
    {
        tokio::time::sleep(delay).await;
    }
    if events {
        out.extend_from_slice(b"\n\n");
    }
    let accepted = out.is_empty();
    let mut response = Response::new(Full::new(Bytes::from(out)));
    if accepted {
        *response.status_mut() = StatusCode::ACCEPTED;
    } else {
        let headers = response.headers_mut();
        headers.insert(
            "content-type",
            http::HeaderValue::from_static(if events {
                "text/event-stream"
            } else {
                "application/json"
            }),
        );
        headers.insert("mcp-session-id", http::HeaderValue::from_static("s"));
    }
    Ok(response)
}

/// Serves over HTTP, for ever.
pub async fn serve_http(echo: Echo, listener: std::net::TcpListener) {
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let echo = echo.clone();
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(move |request| serve(echo.clone(), request)),
                ),
        );
    }
}

/// Serves over a pair of pipes, until the first one ends.
pub fn serve_pipes(echo: &Echo, stdin: impl Read, mut stdout: impl Write + Send + 'static) {
    let mut input = BufReader::with_capacity(64 << 10, stdin);
    let (mut line, mut out) = (Vec::new(), Vec::new());
    let Some(delay) = echo.delay else {
        while next_line(&mut input, &mut line) {
            take(echo, &line, &mut out);
            // One write for all that was there to be read.
            if input.buffer().is_empty() && !out.is_empty() {
                if stdout.write_all(&out).is_err() {
                    return;
                }
                out.clear();
            }
        }
        return;
    };
    // Every call takes as long, so the answers leave in the order in which the calls came; those that came together
    // leave together.
    let (later, due) = mpsc::channel();
    std::thread::spawn(move || write_when_due(&due, stdout));
    let mut waits = false;
    while next_line(&mut input, &mut line) {
        waits |= take(echo, &line, &mut out);
        if input.buffer().is_empty() && !out.is_empty() {
            let when = Instant::now() + if waits { delay } else { Duration::ZERO };
            if later.send((when, std::mem::take(&mut out))).is_err() {
                return;
            }
            waits = false;
        }
    }
}

fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> bool {
    line.clear();
    input.read_until(b'\n', line).is_ok_and(|read| read > 0)
}

fn take(echo: &Echo, line: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let waits = echo.answer(line, out);
    if out.len() > before {
        out.push(b'\n');
    }
    waits
}

#[expect(clippy::disallowed_methods, reason = "to be slow is what it is for")]
fn write_when_due(due: &mpsc::Receiver<(Instant, Vec<u8>)>, mut stdout: impl Write) {
    let mut next = None;
    let mut out = Vec::new();
    while let Some((when, answer)) = next.take().or_else(|| due.recv().ok()) {
        std::thread::sleep(when.saturating_duration_since(Instant::now()));
        out.extend_from_slice(&answer);
        while let Ok((when, answer)) = due.try_recv() {
            if when > Instant::now() {
                next = Some((when, answer));
                break;
            }
            out.extend_from_slice(&answer);
        }
        if stdout.write_all(&out).is_err() {
            return;
        }
        out.clear();
    }
}
