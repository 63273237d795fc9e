//! Servers behind the gateway that speak streamable HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use backstay_gateway::Event;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::support::House;

/// What the server saw: the session and the method of each message.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A server with one tool, which reports progress before it answers.
async fn server() -> (SocketAddr, Seen, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let shown = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&shown);
            let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            connections.spawn(async move { drop(served.await) });
        }
    });
    (address, seen, task)
}

async fn answer(
    request: Request<Incoming>,
    seen: Seen,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let refused = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        Ok(response)
    };
    let session = request
        .headers()
        .get("mcp-session-id")
        .map_or("", |id| id.to_str().unwrap())
        .to_owned();
    if request.method() != Method::POST {
        return refused(StatusCode::METHOD_NOT_ALLOWED);
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    let count = {
        let mut seen = seen.lock().unwrap();
        seen.push((session, method.clone()));
        seen.len()
    };
    if message.get("id").is_none() {
        return refused(StatusCode::ACCEPTED);
    }
    let result = match method.as_str() {
        "initialize" => json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "web", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{"name": "work", "inputSchema": {"type": "object"}}]}),
        _ => json!({"tool": message["params"]["name"]}),
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    let token = &message["params"]["_meta"]["progressToken"];
    let (kind, text) = if method == "tools/call" && !token.is_null() {
        let params = json!({"progressToken": token, "progress": 1});
        let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
        (
            "text/event-stream",
            format!("data: {note}\n\ndata: {answer}\n\n"),
        )
    } else {
        ("application/json", answer.to_string())
    };
    let response = Response::builder().header("content-type", kind);
    let response = if method == "initialize" {
        response.header("mcp-session-id", format!("s{count}"))
    } else {
        response
    };
    Ok(response.body(Full::new(text.into())).unwrap())
}

fn route(address: SocketAddr, session: &str) -> Value {
    let instance = json!({"name": "web.1", "url": format!("http://{address}/mcp")});
    json!({"service": "web", "transport": "streamable-http", "session": session, "instances": [instance]})
}

async fn connect(house: &House) {
    house.gateway.connect("web.1");
    house
        .wait(|event| matches!(event, Event::ServerReady { .. }))
        .await;
}

#[tokio::test]
async fn an_http_server_is_called_and_its_progress_heard() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let (address, _seen, _task) = server().await;
    house.routes(vec![route(address, "shared")]);
    connect(&house).await;
    let client = house.client("/mcp").await;
    assert_eq!(client.tools().await, ["web__work"]);
    assert_eq!(
        client.call(1, "web__work", json!({})).await["result"]["tool"],
        "work"
    );
    let params = json!({"name": "web__work", "_meta": {"progressToken": "mine"}});
    let mut stream = client.start(2, "tools/call", params).await;
    assert_eq!(
        stream.message().await.unwrap()["params"],
        json!({"progressToken": "mine", "progress": 1})
    );
    assert_eq!(stream.message().await.unwrap()["result"]["tool"], "work");
}

#[tokio::test]
async fn an_http_server_that_moved_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let (address, _seen, task) = server().await;
    house.routes(vec![route(address, "shared")]);
    connect(&house).await;
    let client = house.client("/mcp").await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let gone = client.call(1, "web__work", json!({})).await;
    assert_eq!(gone["error"]["code"], -32000, "{gone}");
    let (moved, _seen, _task) = server().await;
    house.routes(vec![route(moved, "shared")]);
    connect(&house).await;
    assert_eq!(
        client.call(2, "web__work", json!({})).await["result"]["tool"],
        "work"
    );
}

#[tokio::test]
async fn isolated_clients_have_upstream_sessions_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let (address, seen, _task) = server().await;
    house.routes(vec![route(address, "isolated")]);
    connect(&house).await;
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    for client in [&one, &two, &one, &two] {
        assert_eq!(
            client.call(1, "web__work", json!({})).await["result"]["tool"],
            "work"
        );
    }
    let seen = seen.lock().unwrap();
    let calls: Vec<_> = seen
        .iter()
        .filter(|(_, method)| method == "tools/call")
        .map(|(session, _)| session)
        .collect();
    assert_eq!((calls[0], calls[1]), (calls[2], calls[3]));
    assert_ne!(calls[0], calls[1]);
    let listed = seen
        .iter()
        .find(|(_, method)| method == "tools/list")
        .map(|(session, _)| session)
        .unwrap();
    assert!(
        !calls.contains(&listed),
        "nor is it the session that lists are read by"
    );
}
