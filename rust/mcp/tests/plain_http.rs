//! An upstream over HTTP without TLS, against servers that answer with bytes of a test's own.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_mcp::{Call, CallError, Endpoint, Target, Upstream};
use serde_json::{Value, json};
use support::{config, hello, listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request's head and its message.
async fn read(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1);
            let length: usize =
                length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            if body.len() >= length {
                return Some((
                    head.to_owned(),
                    serde_json::from_str(body).unwrap_or_default(),
                ));
            }
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await.unwrap_or(0) {
            0 => return None,
            read => text.push_str(std::str::from_utf8(&bytes[..read]).unwrap()),
        }
    }
}

fn whole(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Connects to a server that answers calls of a tool with what `answer` makes of their id; it counts its connections.
/// Returned pieces are written one by one; an empty one closes the connection.
async fn connect(
    answer: impl Fn(&Value) -> Vec<String> + Send + Sync + 'static,
) -> (Arc<Upstream>, Arc<AtomicUsize>) {
    let listener_ = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener_.local_addr().unwrap();
    let (connections, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener_.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                while let Some((head, message)) = read(&mut stream).await {
                    let pieces = match message["method"].as_str().unwrap_or_default() {
                        _ if head.starts_with("GET") => vec![whole("405 Method Not Allowed", "")],
                        "initialize" => {
                            let result = hello("2025-11-25");
                            let opened =
                                json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
                            vec![whole("200 OK", &opened.to_string())]
                        }
                        "tools/call" => answer(&message["id"]),
                        _ => vec![whole("202 Accepted", "")],
                    };
                    for piece in pieces {
                        if piece.is_empty() || stream.write_all(piece.as_bytes()).await.is_err() {
                            return;
                        }
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
    });
    let target = Target::Http(Endpoint {
        url: format!("http://{address}/mcp"),
        headers: vec![],
    });
    let (inbound, _ear) = listener();
    let upstream = Upstream::connect(config(target), inbound).await.unwrap();
    (upstream, connections)
}

fn answered(id: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": {"a": "b"}}).to_string()
}

async fn call(upstream: &Upstream) -> Result<Value, CallError> {
    let reply = upstream.call(Call::new("tools/call", None)).await?;
    Ok(serde_json::from_slice(reply.outcome().unwrap().as_bytes()).unwrap())
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let (upstream, connections) = connect(|id| vec![whole("200 OK", &answered(id))]).await;
    call(&upstream).await.unwrap();
    let before = connections.load(Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(call(&upstream).await.unwrap(), json!({"a": "b"}));
    }
    assert_eq!(connections.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn an_answer_may_come_in_chunks_behind_other_heads_and_cut_anywhere() {
    let (upstream, _) = connect(|id| {
        let body = answered(id);
        let (first, rest) = body.split_at(7);
        let text = format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:X};x=y\r\n{rest}\r\n0\r\nT: t\r\n\r\n",
            first.len(),
            rest.len()
        );
        text.as_bytes().chunks(3).map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(call(&upstream).await.unwrap(), json!({"a": "b"}));
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_failure() {
    let (upstream, connections) =
        connect(|id| vec![whole("200 OK", &answered(id)), String::new()]).await;
    let before = connections.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(call(&upstream).await.unwrap(), json!({"a": "b"}));
        // The server's task closes it, and this runtime hears of that, before the next call.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert!(connections.load(Ordering::SeqCst) >= before + 4);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_asked_for_twice() {
    let (upstream, _) =
        connect(|_| vec!["HTTP/1.1 200 OK\r\nContent-Le".into(), String::new()]).await;
    assert!(matches!(
        call(&upstream).await,
        Err(CallError::Unreachable { sent: true, .. })
    ));
    let (upstream, _) = connect(|_| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
        vec![head.into(), String::new()]
    })
    .await;
    assert!(matches!(
        call(&upstream).await,
        Err(CallError::NoAnswer { .. })
    ));
}

#[tokio::test]
async fn what_is_no_http_is_said_and_spoils_nothing() {
    let turn = AtomicUsize::new(0);
    let (upstream, _) = connect(move |id| {
        let bad = [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        ];
        let turn = turn.fetch_add(1, Ordering::SeqCst);
        vec![
            bad.get(turn)
                .map_or_else(|| whole("200 OK", &answered(id)), |bad| (*bad).to_owned()),
        ]
    })
    .await;
    for _ in 0..3 {
        assert!(matches!(
            call(&upstream).await,
            Err(CallError::Unreachable { .. })
        ));
    }
    assert_eq!(call(&upstream).await.unwrap(), json!({"a": "b"}));
}

#[tokio::test]
async fn what_follows_an_answer_unasked_is_no_answer_to_the_next_call() {
    let (upstream, _) = connect(|id| {
        let forged = whole(
            "200 OK",
            &json!({"jsonrpc": "2.0", "id": 0, "result": {"forged": 1}}).to_string(),
        );
        vec![whole("200 OK", &answered(id)) + &forged]
    })
    .await;
    for _ in 0..3 {
        assert_eq!(call(&upstream).await.unwrap(), json!({"a": "b"}));
    }
}

#[tokio::test]
async fn a_large_request_that_is_refused_unread_is_told_why() {
    let listener_ = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener_.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut unread = Vec::new();
        while let Ok((mut stream, _)) = listener_.accept().await {
            let Some((head, message)) = first(&mut stream).await else {
                continue;
            };
            let text = if head.starts_with("GET") {
                whole("405 Method Not Allowed", "")
            } else if message.contains("initialize\"") {
                let opened =
                    json!({"jsonrpc": "2.0", "id": id(&message), "result": hello("2025-11-25")});
                whole("200 OK", &opened.to_string())
            } else if message.contains("tools/call") {
                whole("413 Content Too Large", "")
            } else {
                whole("202 Accepted", "")
            };
            let text = text.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
            stream.write_all(text.as_bytes()).await.unwrap();
            // Neither read further nor closed: only the answer can end the call.
            unread.push(stream);
        }
    });
    let target = Target::Http(Endpoint {
        url: format!("http://{address}/mcp"),
        headers: vec![],
    });
    let (inbound, _ear) = listener();
    let upstream = Upstream::connect(config(target), inbound).await.unwrap();
    let params = backstay_mcp::RawJson::write(&json!({"x": "x".repeat(8 << 20)})).unwrap();
    let error = upstream
        .call(Call::new("tools/call", Some(params)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::Http { status: 413, .. }),
        "{error}"
    );
    serving.abort();
}

/// A request's head, and as much of its body as came with it.
async fn first(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        let read = stream
            .read(&mut bytes)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("GET") || !body.is_empty() => {
                return Some((head.to_owned(), body.to_owned()));
            }
            _ => {}
        }
    }
}

fn id(message: &str) -> u64 {
    let rest = message.split("\"id\":").nth(1).unwrap();
    rest.split([',', '}']).next().unwrap().parse().unwrap()
}
