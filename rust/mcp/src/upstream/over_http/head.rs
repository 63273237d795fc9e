//! The headers of a request to a modern server, which mirror its body.
//!
//! Which arguments are mirrored is the tools' own to say, in their schemas; what they said last is kept here. A tool
//! that says it in a way that is not allowed is no tool for clients of HTTP (2026-07-28, "Custom Headers from Tool
//! Parameters").

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::call::{ModernCall, Outgoing};
use super::HttpLink;
use crate::envelope::{Envelope, Limits};
use crate::modern::headers::{METHOD, NAME, PARAM_PREFIX, PROTOCOL_VERSION, encode, name};
use crate::modern::param::{Mirror, mirrors};
use crate::raw::RawJson;
use crate::version::MODERN;

/// What tools want mirrored, by their names; tools that want nothing are not in it.
#[derive(Debug, Default)]
pub(in super::super) struct Mirrors(RwLock<Arc<HashMap<String, Vec<Mirror>>>>);

/// A tool that no client of HTTP may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedTool {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Mirrors {
    /// Learns what the tools of a whole list want, and takes out of the list those that may not be shown.
    pub(in super::super) fn learn(&self, tools: &mut Vec<RawJson>) -> Vec<RejectedTool> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Tool<'a> {
            name: String,
            #[serde(borrow, default)]
            input_schema: Option<&'a RawValue>,
        }
        let mut wanted = HashMap::new();
        let mut rejected = Vec::new();
        tools.retain(|tool| {
            let Ok(tool) = serde_json::from_slice::<Tool<'_>>(tool.as_bytes()) else {
                return true;
            };
            let Some(schema) = tool.input_schema else {
                return true;
            };
            match mirrors(&RawJson::trusted(schema.get().to_owned().into())) {
                Ok(mirrors) => {
                    if !mirrors.is_empty() {
                        wanted.insert(tool.name, mirrors);
                    }
                    true
                }
                Err(fault) => {
                    rejected.push(RejectedTool {
                        name: tool.name,
                        reason: fault.to_string(),
                    });
                    false
                }
            }
        });
        *self.0.write() = Arc::new(wanted);
        rejected
    }

    fn write(&self, tool: &str, arguments: Option<&RawJson>, head: &mut HeaderMap) {
        let wanted = Arc::clone(&self.0.read());
        let (Some(mirrors), Some(arguments)) = (wanted.get(tool), arguments) else {
            return;
        };
        for mirror in mirrors {
            if let Some(value) = mirror.value(arguments)
                && let Ok(key) = HeaderName::try_from(&mirror.header)
            {
                set(head, key, &encode(&value));
            }
        }
    }
}

impl HttpLink {
    /// The headers of a request that is written in `body`.
    pub(in super::super) fn head(
        &self,
        message: &Outgoing<'_>,
        body: &[u8],
        modern: Option<&ModernCall>,
    ) -> HeaderMap {
        let mut head = opening(&message.method());
        let key = HeaderName::from_static(NAME);
        match message {
            Outgoing::Forward { envelope, rewrite } => {
                let shown = name(envelope);
                let renamed = rewrite.name.or(rewrite.uri).map(Cow::Borrowed);
                if let Some(name) = shown.map(|shown| renamed.unwrap_or(shown)) {
                    set(&mut head, key, &encode(&name));
                    if envelope.method() == "tools/call" {
                        self.mirrors
                            .write(&name, envelope.arguments().as_ref(), &mut head);
                    }
                }
            }
            // Rare, so that it may be read once more.
            Outgoing::New { .. } => {
                let limits = Limits::with_max_bytes(body.len());
                if let Ok(written) = Envelope::parse(body.to_vec(), limits)
                    && let Some(name) = name(&written)
                {
                    set(&mut head, key, &encode(&name));
                    self.mirrors
                        .write(&name, written.arguments().as_ref(), &mut head);
                }
            }
        }
        // What nobody here knows is the server's to judge.
        for (key, value) in modern.iter().flat_map(|modern| &modern.headers) {
            if key.as_str().starts_with(PARAM_PREFIX) && !head.contains_key(key) {
                head.append(key, value.clone());
            }
        }
        head
    }
}

/// The headers that every message to a modern server has.
pub(super) fn opening(method: &str) -> HeaderMap {
    let mut head = HeaderMap::with_capacity(4);
    head.insert(
        HeaderName::from_static(PROTOCOL_VERSION),
        HeaderValue::from_static(MODERN),
    );
    set(&mut head, HeaderName::from_static(METHOD), method);
    head
}

/// Sets a header; a method that no header can say is left for the server to miss.
fn set(head: &mut HeaderMap, key: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        head.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(texts: &[&str]) -> Vec<RawJson> {
        texts
            .iter()
            .map(|&text| RawJson::parse(text.to_owned()).unwrap())
            .collect()
    }

    #[test]
    fn tools_that_may_not_be_shown_are_taken_out_and_named() {
        let mut list = tools(&[
            r#"{"name":"plain","inputSchema":{"type":"object"}}"#,
            r#"{"name":"bad","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}}"#,
            r#"{"name":"good","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}"#,
            r#"{"no":"name"}"#,
        ]);
        let mirrors = Mirrors::default();
        let rejected = mirrors.learn(&mut list);
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0].name, "bad");
        assert_eq!(list.len(), 3);
        let mut head = HeaderMap::new();
        let arguments = RawJson::parse(r#"{"a":"ü"}"#).unwrap();
        mirrors.write("good", Some(&arguments), &mut head);
        mirrors.write("plain", Some(&arguments), &mut head);
        assert_eq!(head["mcp-param-a"], "=?base64?w7w=?=");
        assert_eq!(head.len(), 1);
    }
}
