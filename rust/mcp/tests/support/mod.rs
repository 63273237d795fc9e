//! A server at the other end of two pipes that does exactly what a test says, and a listener for what it sends.
#![allow(unreachable_pub, clippy::unnecessary_wraps, reason = "tests share it")]
#![allow(dead_code, reason = "each test program uses its own part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

pub mod http;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::{
    Call, CallSink, CallTag, CloseReason, Envelope, Era, HandshakeError, Inbound, Outgoing, Pipes,
    RawJson, Rewrite, RpcError, Target, Upstream, UpstreamConfig,
};
use futures_util::future::BoxFuture;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// No test waits longer than this for what it expects.
pub const SOON: Duration = Duration::from_secs(20);

/// The server's side of its stdin and stdout.
pub struct FakeServer {
    stdin: BufReader<Receiver>,
    stdout: Sender,
}

/// The keeper's copies of our side; a daemon that dies leaves them open.
pub struct Kept {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub journal: OwnedFd,
}

impl Kept {
    pub fn pipes(&self) -> Pipes {
        Pipes {
            stdin: self.stdin.try_clone().unwrap(),
            stdout: self.stdout.try_clone().unwrap(),
            journal: self.journal.try_clone().unwrap(),
        }
    }
}

/// A server and its pipes.
pub fn server() -> (FakeServer, Kept) {
    let (stdin, our_stdin) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (our_stdout, stdout) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let journal = memfd_create("journal", MemfdFlags::CLOEXEC).unwrap();
    let server = FakeServer {
        stdin: BufReader::new(Receiver::from_owned_fd(stdin).unwrap()),
        stdout: Sender::from_owned_fd(stdout).unwrap(),
    };
    (
        server,
        Kept {
            stdin: our_stdin,
            stdout: our_stdout,
            journal,
        },
    )
}

impl FakeServer {
    /// The next line of stdin, as text.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(SOON, self.stdin.read_line(&mut line))
            .await
            .expect("nothing came on stdin")
            .unwrap();
        assert!(
            line.ends_with('\n') || line.is_empty(),
            "half a line: {line}"
        );
        line
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// The next message, which must be a request of this method; returns it.
    pub async fn expect(&mut self, method: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["method"], method, "{message}");
        message
    }

    /// Waits until stdin is closed.
    pub async fn end_of_input(&mut self) {
        let mut rest = String::new();
        timeout(SOON, self.stdin.read_to_string(&mut rest))
            .await
            .expect("stdin stays open")
            .unwrap();
        assert_eq!(rest, "");
    }

    /// Closes stdin; what is returned keeps stdout open.
    pub fn close_stdin(self) -> Sender {
        self.stdout
    }

    /// Writes bytes to stdout.
    pub async fn print(&mut self, bytes: impl AsRef<[u8]>) {
        self.stdout.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Writes a message to stdout.
    pub async fn say(&mut self, message: Value) {
        self.print(format!("{message}\n")).await;
    }

    /// Answers a request.
    pub async fn answer(&mut self, request: &Value, result: Value) {
        self.say(json!({"jsonrpc": "2.0", "id": request["id"], "result": result}))
            .await;
    }

    /// The next request, which must be what a modern server wants.
    pub async fn expect_modern(&mut self, method: &str) -> Value {
        let request = self.expect(method).await;
        assert_eq!(modern_fault(&request), None, "{request}");
        request
    }

    /// Greets as a server that is modern and nothing else, found out in the way of stdio.
    pub async fn greet_modern(&mut self) {
        let request = self.expect("initialize").await;
        self.say(modern_fault(&request).unwrap()).await;
        let request = self.expect_modern("server/discover").await;
        self.answer(&request, discovered()).await;
    }

    /// Opens the stream that is asked for next; gives its id.
    pub async fn open_stream(&mut self) -> Value {
        let request = self.expect_modern("subscriptions/listen").await;
        self.acknowledge(&request).await;
        request
    }

    /// Acknowledges a stream.
    pub async fn acknowledge(&mut self, request: &Value) {
        let mut params = json!({"notifications": request["params"]["notifications"]});
        params["_meta"]["io.modelcontextprotocol/subscriptionId"] = request["id"].clone();
        self.say(json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params}))
            .await;
    }

    /// Tells something on a stream.
    pub async fn tell(&mut self, stream: &Value, method: &str, mut params: Value) {
        params["_meta"]["io.modelcontextprotocol/subscriptionId"] = stream["id"].clone();
        self.say(json!({"jsonrpc": "2.0", "method": method, "params": params}))
            .await;
    }

    /// Shakes hands properly.
    pub async fn greet(&mut self) {
        self.greet_as("2025-11-25").await;
    }

    /// Shakes hands in some version.
    pub async fn greet_as(&mut self, version: &str) {
        let request = self.expect("initialize").await;
        self.answer(&request, hello(version)).await;
        self.expect("notifications/initialized").await;
    }
}

/// What every request to a modern server must say; the answer to one that does not.
pub fn modern_fault(request: &Value) -> Option<Value> {
    let meta = &request["params"]["_meta"];
    let refuse = |code: i64, message: &str| {
        let supported = json!({"supported": ["2026-07-28"], "requested": "?"});
        Some(
            json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message, "data": supported}}),
        )
    };
    match meta["io.modelcontextprotocol/protocolVersion"].as_str() {
        _ if matches!(
            request["method"].as_str(),
            Some("ping" | "logging/setLevel" | "resources/subscribe")
        ) =>
        {
            refuse(-32601, "no such method")
        }
        None => refuse(-32602, "not modern"),
        Some("2026-07-28") if meta["io.modelcontextprotocol/clientCapabilities"].is_object() => {
            None
        }
        Some("2026-07-28") => refuse(-32602, "no capabilities"),
        Some(_) => refuse(-32022, "not my version"),
    }
}

/// A proper result of `server/discover`, of a server that tells when its tools change.
pub fn discovered() -> Value {
    json!({
        "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
        "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "2"}},
    })
}

/// A proper result of `initialize`.
pub fn hello(version: &str) -> Value {
    json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "fake", "version": "1"}})
}

/// What an upstream heard from its server.
#[derive(Debug)]
pub enum Heard {
    Notification(Envelope, Option<CallTag>),
    Request(Envelope, Option<CallTag>),
    Renewed,
    Closed(CloseReason),
}

/// Passes on what it hears; answers requests with their own parameters, but `hang` never.
pub struct Listener(
    mpsc::UnboundedSender<Heard>,
    mpsc::UnboundedSender<&'static str>,
);

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

impl Inbound for Listener {
    fn notification(&self, notification: Envelope, related: Option<CallTag>) {
        let _ = self.0.send(Heard::Notification(notification, related));
    }

    fn request(
        &self,
        request: Envelope,
        related: Option<CallTag>,
    ) -> BoxFuture<'static, Result<RawJson, RpcError>> {
        let method = request.method().into_owned();
        let params = request.params().unwrap_or(RawJson::EMPTY_OBJECT);
        let _ = self.0.send(Heard::Request(request, related));
        let dropped = Dropped(self.1.clone());
        Box::pin(async move {
            match method.as_str() {
                "hang" => {
                    let _dropped = dropped;
                    std::future::pending().await
                }
                "fail" => Err(RpcError::method_not_found("fail")),
                _ => Ok(params),
            }
        })
    }

    fn renewed(&self, _: &backstay_mcp::ServerInfo) {
        let _ = self.0.send(Heard::Renewed);
    }

    fn closed(&self, reason: &CloseReason) {
        let _ = self.0.send(Heard::Closed(reason.clone()));
    }
}

/// What a test's listener hears.
pub struct Ear {
    pub heard: mpsc::UnboundedReceiver<Heard>,
    pub dropped: mpsc::UnboundedReceiver<&'static str>,
}

impl Ear {
    pub async fn next(&mut self) -> Heard {
        timeout(SOON, self.heard.recv())
            .await
            .expect("nothing was heard")
            .unwrap()
    }

    /// Waits until the work on a request is dropped.
    pub async fn dropped(&mut self) {
        let dropped = timeout(SOON, self.dropped.recv()).await;
        assert!(dropped.expect("nothing was dropped").is_some());
    }

    pub async fn closed(&mut self) -> CloseReason {
        loop {
            if let Heard::Closed(reason) = self.next().await {
                return reason;
            }
        }
    }
}

pub fn listener() -> (Arc<Listener>, Ear) {
    let (tell, heard) = mpsc::unbounded_channel();
    let (drops, dropped) = mpsc::unbounded_channel();
    (Arc::new(Listener(tell, drops)), Ear { heard, dropped })
}

/// The configuration the tests use: no long waits.
pub fn config(target: Target) -> UpstreamConfig {
    UpstreamConfig {
        // Tests of sessions begin with one; those of finding the era say so.
        era: Some(Era::Legacy),
        start_timeout: SOON,
        call_timeout: SOON,
        ..UpstreamConfig::new("fake", "fake.1", target)
    }
}

/// Connects to a server that greets properly.
pub async fn connected() -> (Arc<Upstream>, FakeServer, Kept, Ear) {
    connected_as("2025-11-25").await
}

/// Connects to a server that greets in some version.
pub async fn connected_as(version: &str) -> (Arc<Upstream>, FakeServer, Kept, Ear) {
    let (mut server, kept) = server();
    let (inbound, ear) = listener();
    let (upstream, ()) = tokio::join!(
        Upstream::connect(config(Target::Stdio(kept.pipes())), inbound),
        server.greet_as(version)
    );
    (upstream.unwrap(), server, kept, ear)
}

/// Connects while the server does something; the error is what counts.
pub async fn refused(config: UpstreamConfig, server: impl Future<Output = ()>) -> HandshakeError {
    let (inbound, mut ear) = listener();
    let (outcome, ()) = tokio::join!(Upstream::connect(config, inbound), server);
    let error = outcome.err().expect("the handshake went well");
    assert!(
        ear.heard.try_recv().is_err(),
        "a failed handshake is told twice"
    );
    error
}

/// A call of a client session.
pub fn tag(session: u64, call: u64) -> Option<CallTag> {
    Some(CallTag { session, call })
}

/// A client's request, as it would be forwarded.
pub fn request(text: &str) -> Envelope {
    Envelope::parse(text.to_owned(), backstay_mcp::Limits::default()).unwrap()
}

/// A client's call that is passed on unchanged.
pub fn forward(envelope: &Envelope, tag: Option<CallTag>) -> Call<'_> {
    Call {
        message: Outgoing::Forward {
            envelope,
            rewrite: &Rewrite::NONE,
        },
        tag,
        timeout: None,
        sink: None,
        modern: None,
    }
}

/// Keeps progress.
pub struct Progress(mpsc::UnboundedSender<Envelope>);

impl CallSink for Progress {
    fn progress(&self, notification: Envelope) {
        let _ = self.0.send(notification);
    }
}

pub fn progress() -> (Option<Arc<dyn CallSink>>, mpsc::UnboundedReceiver<Envelope>) {
    let (tell, told) = mpsc::unbounded_channel();
    (Some(Arc::new(Progress(tell))), told)
}
