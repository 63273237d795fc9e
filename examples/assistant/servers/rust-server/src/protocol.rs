//! The messages: JSON-RPC 2.0 with MCP's handshake and tools.

use serde_json::{Value, json};

use crate::text;

/// The versions we speak, newest first; the first is what we offer a client that speaks another.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;

/// Why a request gets no result.
struct Refusal {
    code: i32,
    message: String,
}

impl Refusal {
    fn params(message: impl Into<String>) -> Self {
        Self {
            code: INVALID_PARAMS,
            message: message.into(),
        }
    }
}

/// The answer to one message; a notification gets none.
pub fn answer(message: &[u8]) -> Option<Value> {
    let Ok(message) = serde_json::from_slice::<Value>(message) else {
        return Some(error(&Value::Null, PARSE_ERROR, "this is not JSON"));
    };
    let Some(method) = message.get("method").and_then(Value::as_str) else {
        // An answer to a request: we send none, so it is nothing of ours.
        let is_answer = message.get("result").is_some() || message.get("error").is_some();
        return (!is_answer).then(|| error(&Value::Null, INVALID_REQUEST, "this is not a request"));
    };
    let id = message.get("id")?;
    let params = message.get("params").unwrap_or(&Value::Null);
    Some(match handle(method, params) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(refusal) => error(id, refusal.code, &refusal.message),
    })
}

/// The answer to a line that is longer than we read.
pub fn refuse_length(limit: u64) -> Value {
    error(
        &Value::Null,
        INVALID_REQUEST,
        &format!("a message may have {limit} bytes"),
    )
}

fn error(id: &Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

fn handle(method: &str, params: &Value) -> Result<Value, Refusal> {
    match method {
        "initialize" => Ok(initialize(params)),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": tools()})),
        "tools/call" => call(params),
        _ => Err(Refusal {
            code: METHOD_NOT_FOUND,
            message: format!("no method `{method}` here"),
        }),
    }
}

fn initialize(params: &Value) -> Value {
    let asked = params["protocolVersion"].as_str().unwrap_or_default();
    let version = VERSIONS
        .iter()
        .find(|&&version| version == asked)
        .unwrap_or(&VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {
            "name": env!("CARGO_PKG_NAME"), "title": "Texts", "version": env!("CARGO_PKG_VERSION"),
        },
        "instructions": "Counts, digests and compares texts that are given in the call.",
    })
}

fn tools() -> Value {
    let text = json!({"type": "string", "description": "The text"});
    let reads = json!({"readOnlyHint": true, "openWorldHint": false});
    json!([
        {
            "name": "statistics",
            "title": "Count a text",
            "description": "Lines, words and characters of a text, its reading time and its most frequent words.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "text": text,
                    "top": {
                        "type": "integer", "minimum": 0, "maximum": 100, "default": 5,
                        "description": "How many of the most frequent words to list",
                    },
                },
                "required": ["text"],
            },
            "annotations": reads,
        },
        {
            "name": "digest",
            "title": "Digest a text",
            "description": "The SHA-256 of a text's UTF-8 bytes, in hexadecimal.",
            "inputSchema": {"type": "object", "properties": {"text": text}, "required": ["text"]},
            "annotations": reads,
        },
        {
            "name": "compare",
            "title": "Compare two texts",
            "description": "What changed from one text to another, line by line.",
            "inputSchema": {
                "type": "object",
                "properties": {"before": text, "after": text},
                "required": ["before", "after"],
            },
            "annotations": reads,
        },
    ])
}

fn call(params: &Value) -> Result<Value, Refusal> {
    let name = params["name"]
        .as_str()
        .ok_or_else(|| Refusal::params("`name` is missing"))?;
    let arguments = &params["arguments"];
    let result = match name {
        "statistics" => {
            let top = match &arguments["top"] {
                Value::Null => 5,
                given => given
                    .as_u64()
                    .filter(|&top| top <= 100)
                    .ok_or_else(|| Refusal::params("`top` is a number from 0 to 100"))?,
            };
            text::statistics(
                argument(arguments, "text")?,
                usize::try_from(top).unwrap_or(100),
            )
        }
        "digest" => json!({"sha256": text::digest(argument(arguments, "text")?)}),
        "compare" => match text::compare(
            argument(arguments, "before")?,
            argument(arguments, "after")?,
        ) {
            Ok(lines) => json!({"equal": lines.is_empty(), "lines": lines}),
            // What the model can do something about is a result, not a protocol error.
            Err(reason) => return Ok(failed(&reason)),
        },
        _ => return Err(Refusal::params(format!("no tool `{name}` here"))),
    };
    Ok(json!({
        "content": [{"type": "text", "text": result.to_string()}],
        "structuredContent": result,
    }))
}

fn failed(reason: &str) -> Value {
    json!({"content": [{"type": "text", "text": reason}], "isError": true})
}

fn argument<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    arguments[name]
        .as_str()
        .ok_or_else(|| Refusal::params(format!("`{name}` is missing, or not a text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(message: &Value) -> Option<Value> {
        answer(message.to_string().as_bytes())
    }

    #[test]
    fn a_client_of_another_version_is_offered_ours() {
        let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "1999-01-01"}});
        assert_eq!(
            ask(&hello).unwrap()["result"]["protocolVersion"],
            VERSIONS[0]
        );
    }

    #[test]
    fn a_notification_gets_no_answer() {
        assert_eq!(
            ask(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})),
            None
        );
    }

    #[test]
    fn what_is_not_json_is_answered_and_survived() {
        assert_eq!(answer(b"{").unwrap()["error"]["code"], PARSE_ERROR);
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let call =
            json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "fly"}});
        assert_eq!(
            ask(&call).unwrap()["error"]["message"],
            "no tool `fly` here"
        );
    }

    #[test]
    fn a_call_answers_with_text_and_structure() {
        let params = json!({"name": "digest", "arguments": {"text": ""}});
        let result =
            &ask(&json!({"id": 2, "method": "tools/call", "params": params})).unwrap()["result"];
        assert!(
            result["structuredContent"]["sha256"]
                .as_str()
                .unwrap()
                .starts_with("e3b0c442")
        );
        assert!(
            result["content"][0]["text"]
                .as_str()
                .unwrap()
                .contains("e3b0c442")
        );
    }
}
