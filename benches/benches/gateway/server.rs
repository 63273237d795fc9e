//! An MCP server that answers as fast as it can: over HTTP on a thread of its own, and over pipes.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;

use backstay_mcp::Pipes;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::middle;

/// The answer to any message; nothing where it wants none.
fn answer(message: &[u8], out: &mut Vec<u8>) {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let Some(id) = field(text, "\"id\":") else {
        return;
    };
    let result = if text.contains("\"initialize\"") {
        r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}"#
    } else if text.contains("\"tools/list\"") {
        r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#
    } else {
        r#"{"content":[{"type":"text","text":"the answer is as long as the question, more or less, so that both ways cost the same"}]}"#
    };
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result.as_bytes());
    out.push(b'}');
}

fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = &text[text.find(key)? + key.len()..];
    rest.find([',', '}']).map(|end| rest[..end].trim())
}

async fn serve(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
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
    answer(&body, &mut out);
    let accepted = out.is_empty();
    let mut response = Response::new(Full::new(Bytes::from(out)));
    if accepted {
        *response.status_mut() = StatusCode::ACCEPTED;
    } else {
        response
            .headers_mut()
            .insert("content-type", "application/json".parse().unwrap());
        response
            .headers_mut()
            .insert("mcp-session-id", "s".parse().unwrap());
    }
    Ok(response)
}

/// Starts the server over HTTP.
pub fn over_http() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    middle::thread("server", async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service_fn(serve)),
            );
        }
    });
    address
}

/// Starts the server at the other end of pipes.
pub fn over_stdio() -> Pipes {
    let (stdin, to_server) = std::io::pipe().unwrap();
    let (from_server, mut stdout) = std::io::pipe().unwrap();
    let journal = rustix::fs::memfd_create("journal", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    std::thread::spawn(move || {
        let mut input = BufReader::with_capacity(64 << 10, stdin);
        let (mut line, mut out) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                return;
            }
            let before = out.len();
            answer(&line, &mut out);
            if out.len() > before {
                out.push(b'\n');
            }
            // One write for all that was there to be read.
            if input.buffer().is_empty() && !out.is_empty() {
                if stdout.write_all(&out).is_err() {
                    return;
                }
                out.clear();
            }
        }
    });
    Pipes {
        stdin: to_server.into(),
        stdout: from_server.into(),
        journal,
    }
}
