//! A plain HTTP client that speaks streamable HTTP no better than it must.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::SOON;

/// An answer: what came at once, or a stream to be read.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    buffer: String,
}

impl Reply {
    pub fn is_stream(&self) -> bool {
        self.headers
            .get("content-type")
            .is_some_and(|kind| kind == "text/event-stream")
    }

    /// The whole body.
    pub async fn text(self) -> String {
        let whole = tokio::time::timeout(SOON, self.body.collect())
            .await
            .expect("the body never ends")
            .unwrap();
        self.buffer + std::str::from_utf8(&whole.to_bytes()).unwrap()
    }

    pub async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The next event of a stream: its id and its data; none at the end.
    pub async fn event(&mut self) -> Option<(String, String)> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let frame: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| {
                    let lines: Vec<_> = frame
                        .lines()
                        .filter_map(|line| line.strip_prefix(name))
                        .collect();
                    lines.join("\n")
                };
                return Some((field("id: "), field("data: ")));
            }
            let frame = tokio::time::timeout(SOON, self.body.frame())
                .await
                .expect("no event came")?;
            let data = frame.unwrap().into_data().unwrap();
            self.buffer.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next message of a stream.
    pub async fn message(&mut self) -> Option<Value> {
        loop {
            let (_, data) = self.event().await?;
            if !data.is_empty() {
                return Some(serde_json::from_str(&data).unwrap());
            }
        }
    }
}

/// One session.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub path: String,
    pub session: Option<String>,
    /// The answer to `initialize`.
    pub opened: Value,
}

impl Client {
    pub async fn open(address: SocketAddr, path: &str, capabilities: Value) -> Self {
        Self::open_as(address, path, capabilities, "2025-11-25").await
    }

    pub async fn open_as(
        address: SocketAddr,
        path: &str,
        capabilities: Value,
        version: &str,
    ) -> Self {
        let mut client = Self {
            address,
            path: path.into(),
            session: None,
            opened: Value::Null,
        };
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "test", "version": "1"}});
        let reply = client
            .post(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            .await;
        assert_eq!(reply.status, StatusCode::OK);
        client.session = Some(reply.headers["mcp-session-id"].to_str().unwrap().to_owned());
        client.opened = reply.json().await;
        let reply = client
            .post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        client
    }

    /// Any request, on a connection of its own.
    pub async fn send(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(&self.path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let reply = tokio::time::timeout(SOON, sender.send_request(request))
            .await
            .expect("no answer")
            .unwrap();
        let (head, body) = reply.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            body,
            buffer: String::new(),
        }
    }

    /// POSTs text as this session.
    pub async fn post_text(&self, body: impl Into<Bytes>) -> Reply {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        if let Some(session) = &self.session {
            headers.push(("mcp-session-id", session));
        }
        self.send(Method::POST, &headers, body).await
    }

    pub async fn post(&self, message: &Value) -> Reply {
        self.post_text(message.to_string()).await
    }

    /// A request whose answer is JSON.
    pub async fn request(&self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        let reply = self.start(id, method, params).await;
        assert!(!reply.is_stream(), "the answer became a stream");
        reply.json().await
    }

    /// A request whose answer may be a stream.
    pub async fn start(&self, id: impl Into<Value>, method: &str, params: Value) -> Reply {
        self.post(&json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params}))
            .await
    }

    pub async fn call(&self, id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
        self.request(
            id,
            "tools/call",
            json!({"name": tool, "arguments": arguments}),
        )
        .await
    }

    pub async fn notify(&self, method: &str, params: Value) {
        let reply = self
            .post(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
            .await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
    }

    /// Opens the GET stream, behind an event if there is one.
    pub async fn listen(&self, after: Option<&str>) -> Reply {
        let mut headers = vec![
            ("accept", "text/event-stream"),
            ("mcp-session-id", self.session.as_deref().unwrap()),
        ];
        if let Some(after) = after {
            headers.push(("last-event-id", after));
        }
        self.send(Method::GET, &headers, "").await
    }

    pub async fn names(&self, list: &str, key: &str, name: &str) -> Vec<String> {
        let answer = self.request(900, list, json!({})).await;
        let entries = answer["result"][key]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        entries
            .iter()
            .map(|entry| entry[name].as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn tools(&self) -> Vec<String> {
        self.names("tools/list", "tools", "name").await
    }
}
