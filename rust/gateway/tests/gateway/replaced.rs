//! A server at an HTTP address that is replaced by one of the other era.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_gateway::Event;
use backstay_mcp::Era;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::support::House;

/// A server of 2026-07-28, or of 2025-11-25 without sessions, as the flag says.
async fn server(modern: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let modern = Arc::clone(&modern);
            let service = service_fn(move |request| {
                let is_modern = modern.load(Ordering::SeqCst);
                async move { Ok::<_, Infallible>(answer(request, is_modern).await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

async fn answer(request: Request<Incoming>, modern: bool) -> Response<Full<Bytes>> {
    let speaks_modern = request
        .headers()
        .get("mcp-protocol-version")
        .is_some_and(|version| version == "2026-07-28");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or_default();
    let said = match method {
        _ if speaks_modern != modern => {
            let code = if modern { -32022 } else { -32000 };
            let data = json!({"supported": ["2026-07-28"]});
            json!({"error": {"code": code, "message": "not my version", "data": data}})
        }
        "server/discover" => {
            json!({"result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}})
        }
        "initialize" => {
            json!({"result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "old", "version": "1"}}})
        }
        "tools/list" => {
            json!({"result": {"tools": [{"name": "it", "inputSchema": {"type": "object"}}]}})
        }
        _ => json!({"result": {"content": []}}),
    };
    let status = match (method, said.get("error")) {
        ("", _) => 405,
        (_, Some(_)) => 400,
        _ if message.get("id").is_none() => 202,
        _ => 200,
    };
    let mut answer = json!({"jsonrpc": "2.0", "id": message["id"]});
    for (key, value) in said.as_object().unwrap() {
        answer[key] = value.clone();
    }
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::from(answer.to_string()))
        .unwrap()
}

#[tokio::test]
async fn a_server_that_was_replaced_is_greeted_anew() {
    for begins_modern in [true, false] {
        let modern = Arc::new(AtomicBool::new(begins_modern));
        let address = server(Arc::clone(&modern)).await;
        let dir = tempfile::tempdir().unwrap();
        let house = House::new(dir.path());
        house.routes(vec![
            json!({"service": "far", "transport": "streamable-http",
            "instances": [{"name": "far.1", "url": format!("http://{address}/mcp")}]}),
        ]);
        house.gateway.connect("far.1");
        let eras = |was_modern| {
            if was_modern { Era::Modern } else { Era::Legacy }
        };
        for is_modern in [begins_modern, !begins_modern] {
            modern.store(is_modern, Ordering::SeqCst);
            if is_modern != begins_modern {
                let client = house.client("/mcp").await;
                let answer = client.call(1, "far__it", json!({})).await;
                assert!(answer["error"].is_object(), "{answer}");
                house
                    .wait(|event| matches!(event, Event::ServerClosed { .. }))
                    .await;
            }
            let ready = house
                .wait(|event| matches!(event, Event::ServerReady { .. }))
                .await;
            let Event::ServerReady { era, .. } = ready else {
                unreachable!();
            };
            assert_eq!(era, eras(is_modern));
        }
        let client = house.client("/mcp").await;
        let answer = client.call(1, "far__it", json!({})).await;
        assert_eq!(answer["result"]["content"], json!([]), "{answer}");
    }
}
