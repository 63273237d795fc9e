//! Clients: each a session on a kept-alive connection, with one call in flight.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::middle::Middle;

/// What was measured.
pub struct Run {
    pub calls: usize,
    pub seconds: f64,
    pub p99: Duration,
    /// Processor time of whatever stands in the middle, sessions being open already.
    pub cpu: Duration,
}

/// Calls for a while from so many sessions.
pub fn run(middle: &Middle, sessions: usize, time: Duration) -> Run {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let mut clients = Vec::new();
            for _ in 0..sessions {
                clients.push(Client::open(middle).await);
            }
            let before = middle.cpu();
            let started = Instant::now();
            let end = started + time;
            let running: Vec<_> = clients
                .into_iter()
                .map(|client| tokio::spawn(client.calls(end)))
                .collect();
            let mut took = Vec::new();
            for client in running {
                took.extend(client.await.unwrap());
            }
            let seconds = started.elapsed().as_secs_f64();
            let cpu = middle.cpu().saturating_sub(before);
            took.sort_unstable();
            Run {
                calls: took.len(),
                seconds,
                p99: took[took.len() * 99 / 100],
                cpu,
            }
        })
}

struct Client {
    sender: SendRequest<Full<Bytes>>,
    path: &'static str,
    call: Bytes,
    session: String,
}

impl Client {
    async fn open(middle: &Middle) -> Self {
        let stream = TcpStream::connect(middle.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{}","arguments":{{"message":"{}"}}}}}}"#,
            middle.tool,
            "x".repeat(100)
        );
        let mut client = Self {
            sender,
            path: middle.path,
            call: call.into(),
            session: String::new(),
        };
        let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
        client.session = client.post(Bytes::from_static(initialize.as_bytes())).await;
        client
    }

    async fn calls(mut self, end: Instant) -> Vec<Duration> {
        let mut took = Vec::new();
        while Instant::now() < end {
            let started = Instant::now();
            self.post(self.call.clone()).await;
            took.push(started.elapsed());
        }
        took
    }

    /// Posts, and returns the session's id if there is one in the answer.
    async fn post(&mut self, body: Bytes) -> String {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.parse().unwrap();
        let headers = request.headers_mut();
        headers.insert("host", "localhost".parse().unwrap());
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.insert(
            "accept",
            "application/json, text/event-stream".parse().unwrap(),
        );
        if !self.session.is_empty() {
            headers.insert("mcp-session-id", self.session.parse().unwrap());
        }
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let session = response
            .headers()
            .get("mcp-session-id")
            .map_or("", |id| id.to_str().unwrap())
            .to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(
            body.ends_with(b"}") && !body.windows(7).any(|window| window == b"\"error\""),
            "{body:?}"
        );
        session
    }
}
