//! An MCP server that is a task at the other end of three pipes.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use backstay_mcp::Pipes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::SOON;

/// What a server answers to a request that it does not answer by itself.
type Answer = Arc<dyn Fn(&Value) -> Option<Value> + Send + Sync>;

/// What a server offers.
#[derive(Clone)]
pub struct Offer {
    pub capabilities: Value,
    pub tools: Vec<Value>,
    pub resources: Vec<Value>,
    pub templates: Vec<Value>,
    pub prompts: Vec<Value>,
    pub instructions: Option<String>,
    /// It speaks 2026-07-28 and nothing else.
    pub modern: bool,
}

impl Default for Offer {
    fn default() -> Self {
        let changed = json!({"listChanged": true, "subscribe": true});
        Self {
            capabilities: json!({"tools": changed, "prompts": changed, "resources": changed, "logging": {}, "completions": {}}),
            tools: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            prompts: Vec::new(),
            instructions: None,
            modern: false,
        }
    }
}

impl Offer {
    pub fn tools(names: &[&str]) -> Self {
        let tools = names
            .iter()
            .map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))
            .collect();
        Self {
            tools,
            ..Self::default()
        }
    }

    pub fn modern(names: &[&str]) -> Self {
        Self {
            modern: true,
            ..Self::tools(names)
        }
    }
}

/// See the module.
pub struct Fake {
    pipes: Mutex<Option<Pipes>>,
    out: mpsc::UnboundedSender<String>,
    /// Everything it received and did not answer by itself.
    received: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
    /// What it offers; may be changed while it runs.
    pub offer: Arc<Mutex<Offer>>,
    /// Ends the process, so to speak.
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// A server that echoes the arguments of its tools.
    pub fn new(offer: Offer) -> Self {
        Self::answering(offer, |request| {
            let params = &request["params"];
            match request["method"].as_str()? {
                "tools/call" => Some(
                    json!({"content": [{"type": "text", "text": params["arguments"].to_string()}], "tool": params["name"]}),
                ),
                "prompts/get" => Some(json!({"messages": [], "prompt": params["name"]})),
                "resources/read" => {
                    Some(json!({"contents": [{"uri": params["uri"], "text": "x"}]}))
                }
                "completion/complete" => {
                    Some(json!({"completion": {"values": [params["ref"]["name"]]}}))
                }
                _ => Some(json!({})),
            }
        })
    }

    /// A server that receives requests and answers none by itself, but the handshake and lists.
    pub fn silent(offer: Offer) -> Self {
        Self::answering(offer, |_| None)
    }

    pub fn answering(
        offer: Offer,
        answer: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        let (stdin, to_server) = std::io::pipe().unwrap();
        let (from_server, stdout) = std::io::pipe().unwrap();
        let journal = rustix::fs::memfd_create("journal", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let pipes = Pipes {
            stdin: to_server.into(),
            stdout: from_server.into(),
            journal,
        };
        let (out, lines) = mpsc::unbounded_channel();
        let (told, received) = mpsc::unbounded_channel();
        let offer = Arc::new(Mutex::new(offer));
        let task = tokio::spawn(run(
            stdin.into(),
            stdout.into(),
            lines,
            out.clone(),
            told,
            Arc::clone(&offer),
            Arc::new(answer),
        ));
        Self {
            pipes: Mutex::new(Some(pipes)),
            out,
            received: tokio::sync::Mutex::new(received),
            offer,
            task,
        }
    }

    /// The gateway's ends; once.
    pub fn pipes(&self) -> Pipes {
        self.pipes.lock().unwrap().take().unwrap()
    }

    /// Duplicates of the gateway's ends, as the keeper would keep them for a next daemon.
    pub fn kept(&self) -> Pipes {
        let pipes = self.pipes.lock().unwrap();
        let pipes = pipes.as_ref().unwrap();
        let dup = |fd: &OwnedFd| fd.try_clone().unwrap();
        Pipes {
            stdin: dup(&pipes.stdin),
            stdout: dup(&pipes.stdout),
            journal: dup(&pipes.journal),
        }
    }

    /// Sends a message.
    pub fn send(&self, message: &Value) {
        self.out.send(message.to_string()).unwrap();
    }

    pub fn notify(&self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    pub fn ask(&self, id: Value, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    pub fn answer(&self, request: &Value, result: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
    }

    /// The next message of this method (or, for an empty one, the next answer).
    pub async fn next(&self, method: &str) -> Value {
        let mut received = self.received.lock().await;
        let found = async {
            loop {
                let message = received.recv().await.unwrap();
                if message["method"].as_str().unwrap_or_default() == method {
                    return message;
                }
            }
        };
        tokio::time::timeout(SOON, found)
            .await
            .unwrap_or_else(|_| panic!("the server never received {method:?}"))
    }

    /// Whatever it received so far and nobody looked at.
    pub async fn rest(&self) -> Vec<Value> {
        let mut received = self.received.lock().await;
        std::iter::from_fn(|| received.try_recv().ok()).collect()
    }

    /// Ends it, as a crash would.
    pub fn kill(&self) {
        self.task.abort();
    }
}

async fn run(
    stdin: OwnedFd,
    stdout: OwnedFd,
    mut lines: mpsc::UnboundedReceiver<String>,
    out: mpsc::UnboundedSender<String>,
    told: mpsc::UnboundedSender<Value>,
    offer: Arc<Mutex<Offer>>,
    answer: Answer,
) {
    let mut input = BufReader::new(pipe::Receiver::from_owned_fd(stdin).unwrap()).lines();
    let mut output = pipe::Sender::from_owned_fd(stdout).unwrap();
    loop {
        tokio::select! {
            line = input.next_line() => {
                let Ok(Some(line)) = line else { return };
                let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if let Some(line) = own_refusal(&message, &offer.lock().unwrap()) {
                    let _ = out.send(line);
                    // What is listened to is for tests to see.
                    let _ = told.send(message);
                    continue;
                }
                let result = own_answer(&message, &offer.lock().unwrap()).or_else(|| {
                    let _ = told.send(message.clone());
                    message.get("id").filter(|_| message.get("method").is_some()).and_then(|_| answer(&message))
                });
                if let Some(result) = result {
                    let _ = out.send(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string());
                }
            }
            line = lines.recv() => {
                let line = line.unwrap() + "\n";
                if output.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A modern server knows no handshake; what is listened to is acknowledged, and stays unanswered.
fn own_refusal(message: &Value, offer: &Offer) -> Option<String> {
    if !offer.modern {
        return None;
    }
    let params = &message["params"];
    Some(match message["method"].as_str()? {
        "initialize" => {
            let error = json!({"code": -32601, "message": "no such method"});
            json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string()
        }
        "subscriptions/listen" => {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": message["id"]});
            let said = json!({"_meta": meta, "notifications": params["notifications"]});
            json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": said}).to_string()
        }
        _ => return None,
    })
}

fn own_answer(message: &Value, offer: &Offer) -> Option<Value> {
    Some(match message["method"].as_str()? {
        "initialize" => {
            let mut result = json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": offer.capabilities,
                "serverInfo": {"name": "fake", "version": "1"},
            });
            if let Some(instructions) = &offer.instructions {
                result["instructions"] = json!(instructions);
            }
            result
        }
        "server/discover" if offer.modern => json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": offer.capabilities,
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1"}},
            "ttlMs": 0,
            "cacheScope": "private",
        }),
        "tools/list" => json!({"tools": offer.tools}),
        "prompts/list" => json!({"prompts": offer.prompts}),
        "resources/list" => json!({"resources": offer.resources}),
        "resources/templates/list" => json!({"resourceTemplates": offer.templates}),
        _ => return None,
    })
}
