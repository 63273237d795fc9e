//! JSON-RPC 2.0: error codes, errors, and the few messages this side writes itself.

use serde::Deserialize;
use thiserror::Error;

use crate::raw::{RawJson, write_string};

/// Invalid JSON was received.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is not a valid request.
pub const INVALID_REQUEST: i64 = -32600;
/// The method does not exist or is not available.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters are wrong.
pub const INVALID_PARAMS: i64 = -32602;
/// Something failed inside.
pub const INTERNAL_ERROR: i64 = -32603;
/// A resource does not exist (2024-11-05 to 2025-11-25).
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// The SDKs' own code for a connection that ended under a request.
pub const CONNECTION_CLOSED: i64 = -32000;
/// The SDKs' own code for a request that took too long.
pub const REQUEST_TIMEOUT: i64 = -32001;
/// Requests come faster than they may. Ours, in the range that the specification leaves to implementations.
pub const LIMIT_EXCEEDED: i64 = -32005;

/// An error as JSON-RPC carries it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// What kind of error, by the constants of [`jsonrpc`](self).
    pub code: i64,
    /// One sentence.
    pub message: String,
    /// Anything more, as the server spelled it.
    pub data: Option<RawJson>,
}

impl RpcError {
    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The answer to a method that is not there.
    pub fn method_not_found(method: &str) -> Self {
        Self::new(
            METHOD_NOT_FOUND,
            format!("method `{method}` is not available"),
        )
    }

    /// Reads an error object; what it lacks is filled with an internal error's.
    pub fn read(raw: &RawJson) -> Self {
        #[derive(Deserialize)]
        struct Object {
            code: Option<serde_json::Number>,
            message: Option<serde_json::Value>,
            data: Option<Box<serde_json::value::RawValue>>,
        }
        let Ok(object) = raw.read::<Object>() else {
            return Self::new(
                INTERNAL_ERROR,
                format!("an error that is not an error object: {}", raw.as_str()),
            );
        };
        Self {
            code: object
                .code
                .and_then(|code| code.as_i64())
                .unwrap_or(INTERNAL_ERROR),
            message: match object.message {
                Some(serde_json::Value::String(text)) => text,
                Some(other) => other.to_string(),
                None => "an error without a message".to_owned(),
            },
            data: object
                .data
                .map(|data| RawJson::trusted(String::from(Box::<str>::from(data)).into())),
        }
    }

    /// Appends the error object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"code\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.code).as_bytes());
        out.extend_from_slice(b",\"message\":");
        write_string(out, &self.message);
        if let Some(data) = &self.data {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(data.as_bytes());
        }
        out.push(b'}');
    }
}

/// A request.
pub fn request(id: &RawJson, method: &str, params: Option<&RawJson>) -> Vec<u8> {
    let mut out = open(64 + method.len() + params.map_or(0, |params| params.as_bytes().len()));
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.as_bytes());
    close_call(out, method, params)
}

/// A notification.
pub fn notification(method: &str, params: Option<&RawJson>) -> Vec<u8> {
    close_call(
        open(64 + method.len() + params.map_or(0, |params| params.as_bytes().len())),
        method,
        params,
    )
}

/// A successful answer.
pub fn response(id: &RawJson, result: &RawJson) -> Vec<u8> {
    let mut out = open(64 + result.as_bytes().len());
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result.as_bytes());
    out.push(b'}');
    out
}

/// An answer that says what went wrong; without an id where the request's could not be read.
pub fn error(id: Option<&RawJson>, error: &RpcError) -> Vec<u8> {
    let mut out = open(96 + error.message.len());
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.map_or(b"null", |id| id.as_bytes()));
    out.extend_from_slice(b",\"error\":");
    error.write(&mut out);
    out.push(b'}');
    out
}

fn open(capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    out
}

fn close_call(mut out: Vec<u8>, method: &str, params: Option<&RawJson>) -> Vec<u8> {
    out.extend_from_slice(b",\"method\":");
    write_string(&mut out, method);
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params.as_bytes());
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Envelope, Kind, Limits};

    fn read(bytes: Vec<u8>) -> Envelope {
        Envelope::parse(bytes, Limits::default()).unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let id = RawJson::string("a\"b");
        let params = RawJson::parse("{\"name\":\"x\"}").unwrap();
        let message = read(request(&id, "tools/call", Some(&params)));
        assert_eq!(
            (message.kind(), message.id(), message.name().as_deref()),
            (Kind::Request, Some(id.clone()), Some("x"))
        );
        assert_eq!(read(notification("ping", None)).kind(), Kind::Notification);
        assert_eq!(read(response(&id, &params)).result(), Some(params));
        let wrong = RpcError {
            code: -1,
            message: "no\n".into(),
            data: Some(RawJson::NULL),
        };
        let message = read(error(None, &wrong));
        assert_eq!(message.kind(), Kind::Error);
        assert_eq!(RpcError::read(&message.error().unwrap()).message, "no\n");
    }

    #[test]
    fn an_error_object_with_nothing_in_it_is_still_an_error() {
        let error = RpcError::read(&RawJson::EMPTY_OBJECT);
        assert_eq!(
            (error.code, error.message.as_str()),
            (INTERNAL_ERROR, "an error without a message")
        );
        assert_eq!(
            RpcError::read(&RawJson::string("boom")).code,
            INTERNAL_ERROR
        );
    }
}
