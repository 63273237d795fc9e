//! `initialize`: what the gateway says of itself, or of the one server behind a path.

use std::fmt::Write as _;
use std::sync::Arc;

use backstay_mcp::modern::meta::SERVER_INFO;
use backstay_mcp::version::SPOKEN;
use backstay_mcp::{Envelope, RawJson, RpcError, ServerInfo, Version, jsonrpc};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::capabilities;
use crate::core::Core;
use crate::fault;
use crate::session::{Lasting, Scope, Session};

/// Instructions of many servers are joined up to this length.
const MOST_INSTRUCTIONS: usize = 16 << 10;

/// Why no session was opened.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// The request is wrong.
    Wrong(RpcError),
    /// All places are taken.
    Full,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    protocol_version: String,
    #[serde(default)]
    capabilities: Option<Box<RawValue>>,
    #[serde(default)]
    client_info: Option<Box<RawValue>>,
}

/// Opens a session and answers.
pub(crate) async fn initialize(
    core: &Arc<Core>,
    scope: Scope,
    request: &Envelope,
    lasting: Lasting,
) -> Result<(Arc<Session>, Bytes), Unopened> {
    let id = request.id().unwrap_or(RawJson::NULL);
    let params: Params = request
        .params()
        .unwrap_or(RawJson::EMPTY_OBJECT)
        .read()
        .map_err(|error| Unopened::Wrong(fault::invalid_params(format!("initialize: {error}"))))?;
    let object = |raw: Option<Box<RawValue>>| {
        let raw = raw.and_then(|raw| RawJson::parse(String::from(Box::<str>::from(raw))).ok());
        raw.filter(RawJson::is_object)
            .unwrap_or(RawJson::EMPTY_OBJECT)
    };
    let version = Version::negotiate(&params.protocol_version);
    core.settle(|core| core.is_scope_settled(&scope)).await;
    let result = match &scope {
        Scope::Fleet => of_fleet(core, version),
        Scope::Service(service) => of_service(
            core,
            core.server(service)
                .and_then(|server| server.info())
                .as_deref(),
            version,
        ),
    };
    let result = RawJson::write(&result).map_err(|error| {
        Unopened::Wrong(RpcError::new(jsonrpc::INTERNAL_ERROR, error.to_string()))
    })?;
    let session = core
        .sessions
        .create(
            scope,
            version,
            &object(params.capabilities),
            &object(params.client_info),
            lasting,
        )
        .await
        .map_err(|_| Unopened::Full)?;
    Ok((session, jsonrpc::response(&id, &result).into()))
}

/// The answer to `server/discover`: what is spoken here and what can be done, as `initialize` says it.
pub(super) fn discover(core: &Core, scope: &Scope) -> RawJson {
    let version = Version::LATEST;
    let mut said = match scope {
        Scope::Fleet => of_fleet(core, version),
        Scope::Service(service) => {
            let server = core.server(service);
            let info = server.and_then(|server| server.info());
            of_service(core, info.as_deref(), version)
        }
    };
    let mut meta = match said["_meta"].take() {
        Value::Object(meta) => meta,
        _ => Map::new(),
    };
    meta.insert(SERVER_INFO.to_owned(), said["serverInfo"].take());
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": SPOKEN,
        "capabilities": said["capabilities"].take(),
        // Servers come, go and change.
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": meta,
    });
    if let Some(instructions) = said.get_mut("instructions").map(Value::take) {
        result["instructions"] = instructions;
    }
    RawJson::write(&result).unwrap_or(RawJson::EMPTY_OBJECT)
}

fn of_fleet(core: &Core, version: Version) -> Value {
    let servers = core.servers();
    let infos: Vec<_> = servers
        .values()
        .filter_map(|server| Some((Arc::clone(&server.service), server.info()?)))
        .collect();
    let mut result = json!({
        "protocolVersion": version.as_str(),
        "capabilities": capabilities::declared_on_fleet(infos.iter().map(|(_, info)| &info.capabilities)),
        "serverInfo": own_info(core),
    });
    let mut instructions = String::new();
    for (service, info) in &infos {
        let Some(text) = info
            .instructions
            .as_deref()
            .filter(|text| !text.trim().is_empty())
        else {
            continue;
        };
        if instructions.len() + text.len() <= MOST_INSTRUCTIONS {
            let _ = write!(
                instructions,
                "{}# {service}\n{}\n",
                if instructions.is_empty() { "" } else { "\n" },
                text.trim()
            );
        }
    }
    if !instructions.is_empty() {
        result["instructions"] = Value::String(instructions);
    }
    result
}

/// The server's own answer, with our version and what we can pass on of its capabilities.
fn of_service(core: &Core, info: Option<&ServerInfo>, version: Version) -> Value {
    let mut result: Map<String, Value> = info
        .and_then(|info| info.result.read().ok())
        .unwrap_or_default();
    result.insert(
        "protocolVersion".into(),
        Value::String(version.as_str().to_owned()),
    );
    result.insert(
        "capabilities".into(),
        capabilities::declared_on_service(info.map(|info| &info.capabilities)),
    );
    // What a modern server says in place of it, or only to modern clients.
    for key in ["resultType", "supportedVersions", "ttlMs", "cacheScope"] {
        result.remove(key);
    }
    let said = info.and_then(|info| info.server.read::<Value>().ok());
    let named = said.filter(|said| said.get("name").is_some());
    result
        .entry("serverInfo")
        .or_insert_with(|| named.unwrap_or_else(|| own_info(core)));
    Value::Object(result)
}

fn own_info(core: &Core) -> Value {
    json!({"name": "backstay", "title": &*core.fleet(), "version": env!("CARGO_PKG_VERSION")})
}
