//! Why bytes are not a message.

use thiserror::Error;

/// Why bytes are not a message that may be passed on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Longer than allowed.
    #[error("a message of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Nested deeper than allowed.
    #[error("the message nests deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where.
        at: usize,
    },
    /// Not JSON.
    #[error("not JSON: expected {expected} at byte {at}")]
    NotJson {
        /// Where.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// An array where only single messages are allowed.
    #[error("batches are not part of this protocol version")]
    Batch,
    /// An array without messages.
    #[error("an empty batch")]
    EmptyBatch,
    /// An array with too many messages.
    #[error("a batch of more than {limit} messages")]
    BatchTooLong {
        /// The limit.
        limit: usize,
    },
    /// JSON, but not an object.
    #[error("not a JSON-RPC message: not an object")]
    NotAnObject,
    /// `jsonrpc` is missing or not `"2.0"`.
    #[error("not a JSON-RPC message: `jsonrpc` is not \"2.0\"")]
    NotJsonRpc,
    /// A key that decides where a message goes stands there twice; readers differ in which one they take.
    #[error("the key `{key}` stands there twice")]
    DuplicateKey {
        /// The key.
        key: &'static str,
    },
    /// A key that some readers take for another (Go's ignores case).
    #[error("a key that some readers take for `{key}`")]
    LookalikeKey {
        /// The key it can be taken for.
        key: &'static str,
    },
    /// A key has a value of the wrong kind.
    #[error("`{key}` is not {expected}")]
    WrongKind {
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Neither a method nor a result nor an error, or several of them.
    #[error("neither a request nor a notification nor an answer")]
    Shapeless,
}

impl EnvelopeError {
    /// The JSON-RPC code to answer with.
    pub fn code(&self) -> i64 {
        match self {
            Self::NotUtf8 { .. } | Self::NotJson { .. } => crate::jsonrpc::PARSE_ERROR,
            Self::WrongKind { key, .. } if key.starts_with("params.") => {
                crate::jsonrpc::INVALID_PARAMS
            }
            _ => crate::jsonrpc::INVALID_REQUEST,
        }
    }
}
