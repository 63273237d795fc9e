//! Connections as bytes: usual requests are served without an HTTP library, all others by one, and nobody can tell.

use std::time::Duration;

use backstay_gateway::GatewayConfig;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::support::raw::{Raw, modern, posted};
use super::support::server::{Fake, Offer};
use super::support::{House, SOON};

/// A house with one server, `a`, that is there already.
pub(super) async fn house(offer: fn(Offer) -> Fake) -> (tempfile::TempDir, House, Fake) {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with(GatewayConfig {
        state_dir: dir.path().into(),
        settle_ms: 100,
        ..GatewayConfig::default()
    });
    house.route(&["a"]);
    let fake = offer(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    (dir, house, fake)
}

#[tokio::test]
async fn usual_and_other_requests_share_a_connection() {
    let (_dir, house, _fake) = house(Fake::new).await;
    let mut raw = Raw::open(&house).await;
    let calls = raw.post(1, "tools/call") + &raw.post(2, "tools/call");
    raw.send(&calls).await;
    for id in [1, 2] {
        let (head, body) = raw.answer().await;
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\ndate: "),
            "{head}"
        );
        assert!(body.contains(&format!("\"id\":{id},")), "{body}");
    }
    let get = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", raw.host);
    let mixed = get
        + &raw.post(3, "tools/call")
        + "POST /mcp HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n";
    raw.send(&mixed).await;
    assert_eq!(raw.answer().await.1, "ok\n");
    assert!(raw.answer().await.1.contains("\"id\":3,"));
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let (_dir, house, _fake) = house(Fake::new).await;
    let mut raw = Raw::open(&house).await;
    for byte in raw.post(1, "tools/call").into_bytes() {
        raw.stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(raw.answer().await.1.contains("\"id\":1,"));
}

#[tokio::test]
async fn a_notification_is_accepted_and_a_large_answer_comes_whole() {
    let (_dir, house, fake) = house(Fake::silent).await;
    let mut raw = Raw::open(&house).await;
    let note = raw.post(0, "notifications/x").replace("\"id\":0,", "");
    let length = note.len() - note.find("\r\n\r\n").unwrap() - 4;
    let old = note
        .split("Content-Length: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let note = note.replace(
        &format!("Content-Length: {old}"),
        &format!("Content-Length: {length}"),
    );
    raw.send(&note).await;
    assert!(
        raw.answer()
            .await
            .0
            .starts_with("HTTP/1.1 202 Accepted\r\n")
    );
    let call = raw.post(1, "tools/call");
    raw.send(&call).await;
    let request = fake.next("tools/call").await;
    let large = "x".repeat(300_000);
    fake.answer(&request, json!({ "large": large }));
    assert!(raw.answer().await.1.contains(&large));
}

#[tokio::test]
async fn an_answer_that_takes_long_becomes_a_stream() {
    let (_dir, house, fake) = house(Fake::silent).await;
    let mut raw = Raw::open(&house).await;
    let call = raw.post(1, "tools/call");
    raw.send(&call).await;
    let request = fake.next("tools/call").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(21)).await;
    tokio::time::resume();
    let head = raw.until("\r\n\r\n").await;
    assert!(
        head.contains("text/event-stream") && head.contains("transfer-encoding: chunked"),
        "{head}"
    );
    fake.answer(&request, json!({"late": true}));
    assert!(raw.until("0\r\n\r\n").await.contains("{\"late\":true}"));
    // The connection goes on.
    let ping = raw.post(2, "ping");
    raw.send(&ping).await;
    assert!(raw.answer().await.1.contains("\"id\":2,"));
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_of_it_is_let_go() {
    let (_dir, house, _fake) = house(Fake::new).await;
    let mut connections = Vec::new();
    for part in [0, 10, 100] {
        let mut raw = Raw::open(&house).await;
        let ping = raw.post(1, "ping");
        raw.send(&ping).await;
        raw.answer().await;
        let half = ping[..part].to_owned();
        raw.send(&half).await;
        connections.push(raw);
    }
    // So that what was sent has been read.
    let mut raw = Raw::open(&house).await;
    let ping = raw.post(1, "ping");
    raw.send(&ping).await;
    raw.answer().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    for raw in &mut connections {
        assert!(raw.is_closed().await);
    }
}

#[tokio::test]
async fn what_drains_answers_first() {
    let (_dir, house, fake) = house(Fake::silent).await;
    let (mut waits, mut calls) = (Raw::open(&house).await, Raw::open(&house).await);
    for raw in [&mut waits, &mut calls] {
        let ping = raw.post(1, "ping");
        raw.send(&ping).await;
        raw.answer().await;
    }
    let call = calls.post(2, "tools/call");
    calls.send(&call).await;
    let request = fake.next("tools/call").await;
    let answering = async {
        assert!(waits.is_closed().await);
        fake.answer(&request, json!({"last": true}));
        let (head, body) = calls.answer().await;
        assert!(
            head.contains("connection: close\r\n") && body.contains("last"),
            "{head}{body}"
        );
        assert!(calls.is_closed().await);
    };
    tokio::join!(house.gateway.drain(SOON), answering);
}

#[tokio::test]
async fn a_call_without_a_session_that_takes_long_becomes_a_stream_too() {
    let (_dir, house, fake) = house(Fake::silent).await;
    let mut raw = Raw::open(&house).await;
    let body = modern("tools/call", &json!({"name": "a__work"}));
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "a__work"),
    ];
    let call = posted(&raw.host, &headers, &body);
    raw.send(&call).await;
    let request = fake.next("tools/call").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(21)).await;
    tokio::time::resume();
    let head = raw.until("\r\n\r\n").await;
    assert!(head.contains("text/event-stream"), "{head}");
    fake.answer(&request, json!({"late": true}));
    assert!(raw.until("0\r\n\r\n").await.contains("\"late\":true"));
    // The next one is not waited for: its client goes, and so it is called off.
    raw.send(&call).await;
    let request = fake.next("tools/call").await;
    drop(raw);
    let cancelled = fake.next("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
}
