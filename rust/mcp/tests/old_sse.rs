//! An upstream over the HTTP+SSE transport of 2024-11-05, against a real server.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use backstay_mcp::{
    Call, CallError, CloseReason, Endpoint, HandshakeError, Target, Upstream, Version,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use support::http::{event, events, serve, status, stream};
use support::{Heard, config, hello, listener, refused};
use tokio::sync::mpsc::UnboundedSender;

type Stream = Arc<Mutex<Option<UnboundedSender<String>>>>;

/// A server with one event stream; it echoes calls, and `end` ends the stream.
async fn old_server() -> (SocketAddr, Stream) {
    let out: Stream = Arc::default();
    let shared = Arc::clone(&out);
    let (address, _log) = serve(move |asked| {
        let out = Arc::clone(&shared);
        async move {
            let say = |message: Value| out.lock().as_ref().unwrap().send(event(&message)).unwrap();
            let answer = |result: Value| {
                say(json!({"jsonrpc": "2.0", "id": asked.body["id"], "result": result}));
            };
            match (asked.parts.uri.path(), asked.what().as_str()) {
                ("/sse", "GET") => {
                    let (body, tell) = stream();
                    tell.send(": hello\nevent: endpoint\ndata: /messages?session=1\n\n".into())
                        .unwrap();
                    *out.lock() = Some(tell);
                    return body;
                }
                ("/messages", "POST initialize") => answer(hello("2024-11-05")),
                ("/messages", "POST end") => *out.lock() = None,
                ("/messages", "POST refuse") => return status(503, "not now"),
                ("/messages", "POST ask") => {
                    say(json!({"jsonrpc": "2.0", "id": 7, "method": "roots/list", "params": {}}));
                    answer(json!({}));
                }
                ("/messages", _) if !asked.body["method"].is_null() => {
                    answer(asked.body["params"].clone());
                }
                ("/messages", _) => {}
                _ => return status(405, "use GET"),
            }
            status(202, "Accepted")
        }
    })
    .await;
    (address, out)
}

fn url(address: SocketAddr, path: &str) -> Endpoint {
    Endpoint {
        url: format!("http://{address}{path}"),
        headers: Vec::new(),
    }
}

#[tokio::test]
async fn calls_are_posted_and_answered_in_the_stream() {
    let (address, _out) = old_server().await;
    let (inbound, mut ear) = listener();
    let upstream = Upstream::connect(config(Target::Sse(url(address, "/sse"))), inbound)
        .await
        .unwrap();
    assert_eq!(upstream.info().version, Some(Version::V2024_11_05));
    let params = backstay_mcp::RawJson::parse("{\"n\":1}").unwrap();
    let reply = upstream
        .call(Call::new("echo", Some(params.clone())))
        .await
        .unwrap();
    assert_eq!(reply.outcome(), Ok(params));
    upstream.call(Call::new("ask", None)).await.unwrap();
    assert!(matches!(ear.next().await, Heard::Request(..)));
    let error = upstream.call(Call::new("refuse", None)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`fake.1` answered 503: it failed, and said: not now"
    );
    let error = upstream.call(Call::new("end", None)).await.unwrap_err();
    assert_eq!(
        error,
        CallError::Closed {
            instance: "fake.1".into(),
            reason: CloseReason::StreamEnded,
            sent: true,
        }
    );
    assert_eq!(ear.closed().await, CloseReason::StreamEnded);
}

#[tokio::test]
async fn a_streamable_address_that_is_an_old_one_is_found_out() {
    let (address, _out) = old_server().await;
    let upstream = Upstream::connect(config(Target::Http(url(address, "/sse"))), listener().0)
        .await
        .unwrap();
    assert_eq!(upstream.info().version, Some(Version::V2024_11_05));
    upstream.call(Call::new("ask", None)).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_on_another_host_is_refused() {
    let (address, _log) =
        serve(|_| async { events("event: endpoint\ndata: http://other.example/\n\n") }).await;
    let error = refused(config(Target::Sse(url(address, "/sse"))), async {}).await;
    assert!(error.to_string().contains("on another host"), "{error}");
}

#[tokio::test]
async fn an_address_without_an_event_stream_is_described() {
    let (address, _log) = serve(|_| async { status(200, "hello") }).await;
    let error = refused(config(Target::Sse(url(address, "/sse"))), async {}).await;
    assert!(
        matches!(error, HandshakeError::Http { status: 200, .. }),
        "{error}"
    );
    let (address, _log) = serve(|_| async { events("data: x\n\n") }).await;
    let error = refused(config(Target::Sse(url(address, "/sse"))), async {}).await;
    assert!(
        error
            .to_string()
            .ends_with("its event stream ended before it named an endpoint"),
        "{error}"
    );
}
