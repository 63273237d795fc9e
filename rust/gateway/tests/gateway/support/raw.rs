//! A connection as bytes, and requests as their text.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{House, SOON};

/// A connection, and what was read of it.
pub struct Raw {
    pub stream: TcpStream,
    text: String,
    /// Of a client that has one.
    pub session: String,
    pub host: String,
}

impl Raw {
    pub async fn open(house: &House) -> Self {
        let session = house.client("/mcp").await.session.unwrap();
        Self {
            stream: TcpStream::connect(house.address).await.unwrap(),
            text: String::new(),
            session,
            host: house.address.to_string(),
        }
    }

    pub fn post(&self, id: u64, method: &str) -> String {
        let params = json!({"name": "a__work", "arguments": {"n": id}});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let (body, host, session) = (body.to_string(), &self.host, &self.session);
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMcp-Session-Id: {session}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads up to and with `end`; at the connection's end, what there was.
    pub async fn until(&mut self, end: &str) -> String {
        let reading = async {
            loop {
                if let Some(at) = self.text.find(end) {
                    return self.text.drain(..at + end.len()).collect();
                }
                let mut bytes = [0; 4096];
                match self.stream.read(&mut bytes).await.unwrap_or(0) {
                    0 => return std::mem::take(&mut self.text),
                    read => self
                        .text
                        .push_str(std::str::from_utf8(&bytes[..read]).unwrap()),
                }
            }
        };
        tokio::time::timeout(SOON, reading)
            .await
            .expect("nothing came")
    }

    /// Head and body of an answer with a length.
    pub async fn answer(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n").await;
        let lower = head.to_ascii_lowercase();
        let length = lower
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        let length: usize = length.unwrap_or_else(|| panic!("{head}")).parse().unwrap();
        while self.text.len() < length {
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "{head}{}", self.text);
            self.text
                .push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        (head, self.text.drain(..length).collect())
    }

    pub async fn is_closed(&mut self) -> bool {
        self.until("\0").await.is_empty()
    }
}

/// A POST of a body with these headers besides those that every POST has.
pub fn posted(host: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut own = String::new();
    for (key, value) in headers {
        own.extend([key, ": ", value, "\r\n"]);
    }
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{own}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The body of a request of 2026-07-28.
pub fn modern(method: &str, params: &Value) -> String {
    let mut params = params.clone();
    let own = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let meta = params["_meta"].as_object().cloned().unwrap_or_default();
    params["_meta"] = own;
    params["_meta"].as_object_mut().unwrap().extend(meta);
    json!({"jsonrpc": "2.0", "id": "m", "method": method, "params": params}).to_string()
}
