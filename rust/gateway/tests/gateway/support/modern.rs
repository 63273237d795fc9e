//! A client of 2026-07-28: every request says everything.

use http::Method;
use serde_json::{Value, json};

use super::House;
use super::client::{Client, Reply};

pub const VERSION: &str = "2026-07-28";
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What it asks from one path with.
#[derive(Clone)]
pub struct Modern {
    plain: Client,
    pub capabilities: Value,
}

impl Modern {
    pub fn new(house: &House, path: &str, capabilities: Value) -> Self {
        let plain = Client {
            address: house.address,
            path: path.into(),
            session: None,
            opened: Value::Null,
        };
        Self {
            plain,
            capabilities,
        }
    }

    pub fn meta(&self) -> Value {
        json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        })
    }

    /// The message of a request.
    pub fn message(&self, id: impl Into<Value>, method: &str, mut params: Value) -> Value {
        let mut meta = self.meta();
        if let Some(own) = params["_meta"].as_object() {
            meta.as_object_mut().unwrap().extend(own.clone());
        }
        params["_meta"] = meta;
        json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
    }

    /// Sends a message with these headers besides those every POST has.
    pub async fn send(&self, headers: &[(&str, &str)], message: &Value) -> Reply {
        let mut all = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        all.extend_from_slice(headers);
        self.plain
            .send(Method::POST, &all, message.to_string())
            .await
    }

    /// Any other HTTP request.
    pub async fn http(&self, method: Method, headers: &[(&str, &str)]) -> Reply {
        self.plain.send(method, headers, "").await
    }

    pub async fn start(&self, id: impl Into<Value>, method: &str, params: Value) -> Reply {
        let name = params["name"].as_str().or(params["uri"].as_str());
        let name = name.unwrap_or_default().to_owned();
        let mut headers = vec![("mcp-protocol-version", VERSION), ("mcp-method", method)];
        if ["tools/call", "prompts/get", "resources/read"].contains(&method) {
            headers.push(("mcp-name", &name));
        }
        let message = self.message(id, method, params);
        self.send(&headers, &message).await
    }

    pub async fn request(&self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        let reply = self.start(id, method, params).await;
        assert!(!reply.is_stream(), "the answer became a stream");
        reply.json().await
    }

    pub async fn call(&self, id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.request(id, "tools/call", params).await
    }
}
