//! Calls that are made when a server becomes ready, so that its first clients find their answers kept.
//!
//! The list is a file of lines, each `{"tool": …, "arguments": …}` or `{"resource": …}`. A line that cannot be read is
//! passed over: a cold answer is no fault.

use std::path::PathBuf;
use std::sync::Arc;

use backstay_mcp::{Envelope, Limits, RawJson, jsonrpc};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;

use crate::call::Call;
use crate::core::Core;
use crate::fleet::Server;
use crate::requests;
use crate::session::{Scope, Session};

/// Calls that are made at a time.
const AT_A_TIME: usize = 4;
/// Lines that are read.
const MOST_LINES: usize = 1000;
const MOST_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Tool {
        tool: String,
        #[serde(default)]
        arguments: Option<serde_json::Map<String, serde_json::Value>>,
    },
    Resource {
        resource: String,
    },
}

impl Line {
    fn request(self, id: u64) -> Option<Envelope> {
        let (method, params) = match self {
            Self::Tool { tool, arguments } => (
                "tools/call",
                json!({"name": tool, "arguments": arguments.unwrap_or_default()}),
            ),
            Self::Resource { resource } => ("resources/read", json!({"uri": resource})),
        };
        let params = RawJson::write(&params).ok()?;
        let message = jsonrpc::request(&RawJson::number(id), method, Some(&params));
        Envelope::parse(message, Limits::default()).ok()
    }
}

fn read(path: &PathBuf) -> Vec<Envelope> {
    use std::io::Read as _;

    let mut text = String::new();
    let Ok(file) = std::fs::File::open(path) else {
        return Vec::new();
    };
    if file.take(MOST_BYTES).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    let lines = text.lines().take(MOST_LINES).zip(1..);
    lines
        .filter_map(|(line, id)| serde_json::from_str::<Line>(line).ok()?.request(id))
        .collect()
}

impl Core {
    /// Makes the calls that a server's list names, a few at a time, as a client of nobody's.
    pub(crate) fn warm(self: &Arc<Self>, server: &Arc<Server>) {
        let Some(path) = server.caching().and_then(|rules| rules.route.warm.clone()) else {
            return;
        };
        let (core, server) = (Arc::clone(self), Arc::clone(server));
        self.runtime.spawn(async move {
            let read = tokio::task::spawn_blocking(move || read(&path)).await;
            let session = Session::passing(
                core.sessions.number(),
                core.config.generation,
                Scope::Service(Arc::clone(&server.service)),
                RawJson::EMPTY_OBJECT,
                RawJson::EMPTY_OBJECT,
                None,
            );
            futures_util::stream::iter(read.unwrap_or_default())
                .for_each_concurrent(AT_A_TIME, |request| {
                    let id = request.id().unwrap_or(RawJson::NULL);
                    let call = Call::new(Arc::clone(&session), id, core.tag(&session), false);
                    let core = Arc::clone(&core);
                    async move {
                        requests::answer(&core, &call, &request).await;
                    }
                })
                .await;
        });
    }
}
