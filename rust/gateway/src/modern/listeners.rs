//! `subscriptions/listen`: a stream of changes, open until its client closes it.
//!
//! A listener hears what it asked for and nothing else, each message tagged with its request's id. What it wants
//! of a server's resources is asked of the server once for everybody who wants it.

use std::sync::Arc;

use backstay_mcp::modern::meta::SUBSCRIPTION_ID;
use backstay_mcp::{Edit, Envelope, RawJson, Rewrite, RpcError, jsonrpc};
use dashmap::DashMap;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::core::Core;
use crate::fault;
use crate::fleet::{Destination, Server};
use crate::session::{EventStream, Keep, Scope};

/// Resources one listener may ask for.
const MOST_RESOURCES: usize = 1024;
/// What may come before the acknowledgement is out.
const MOST_EARLY: usize = 256;

/// What a client asks to hear of.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: Vec<String>,
}

/// Everybody who listens.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    live: DashMap<u64, Arc<Listener>, ahash::RandomState>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Listener {
    /// What it goes by among sessions and listeners.
    number: u64,
    scope: Scope,
    /// The client's id of the request: the subscription's name.
    id: RawJson,
    lists: [Option<&'static str>; 3],
    stream: Arc<EventStream>,
    /// What came before the acknowledgement, which is to be first. None once it is out. Held for a few instructions.
    early: Mutex<Option<Vec<Vec<u8>>>>,
}

impl Listeners {
    pub(crate) fn by_number(&self, number: u64) -> Option<Arc<Listener>> {
        self.live.get(&number).map(|found| Arc::clone(&found))
    }

    /// Tells everybody on this path who wants to hear that a list changed.
    pub(crate) fn list_changed(&self, scope: &Scope, method: &str) {
        for listener in &self.live {
            if listener.scope == *scope && listener.lists.contains(&Some(method)) {
                listener.say(method);
            }
        }
    }

    /// Ends every stream in good order: each request gets its result.
    pub(crate) fn close(&self) {
        for listener in &self.live {
            listener.close();
        }
    }
}

impl Listener {
    /// The path it listens on.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    fn say(&self, method: &str) {
        let params = self.tagged(&RawJson::EMPTY_OBJECT);
        self.push(jsonrpc::notification(method, Some(&params)));
    }

    /// Passes on that a resource changed, by the URI that the client knows.
    pub(crate) fn updated(&self, notification: &Envelope, known: Option<&str>) {
        let message = notification.rewrite(&Rewrite {
            uri: known,
            meta: &[Edit::Set(SUBSCRIPTION_ID, &self.id)],
            ..Rewrite::default()
        });
        self.push(message.to_vec());
    }

    fn push(&self, message: Vec<u8>) {
        let mut early = self.early.lock();
        match &mut *early {
            Some(waiting) if waiting.len() < MOST_EARLY => waiting.push(message),
            Some(_) => {}
            None => self.stream.push(&message, Keep::Once),
        }
    }

    /// Says what it will hear of, and then what came meanwhile.
    fn acknowledge(&self, honoured: &Value) {
        let params = RawJson::write(&json!({ "notifications": honoured }));
        let params = self.tagged(&params.unwrap_or(RawJson::EMPTY_OBJECT));
        let method = "notifications/subscriptions/acknowledged";
        let message = jsonrpc::notification(method, Some(&params));
        let mut early = self.early.lock();
        self.stream.push(&message, Keep::Always);
        for message in early.take().unwrap_or_default() {
            self.stream.push(&message, Keep::Once);
        }
    }

    fn close(&self) {
        let result = self.tagged(&RawJson::EMPTY_OBJECT);
        let complete = RawJson::string("complete");
        let result = result.with_members(&[Edit::Set("resultType", &complete)]);
        self.stream
            .push(&jsonrpc::response(&self.id, &result), Keep::Always);
        self.stream.finish();
    }

    fn tagged(&self, object: &RawJson) -> RawJson {
        let meta = RawJson::EMPTY_OBJECT.with_members(&[Edit::Set(SUBSCRIPTION_ID, &self.id)]);
        object.with_members(&[Edit::Set("_meta", &meta)])
    }
}

/// A listener as long as its client reads.
pub(crate) struct Listening {
    core: Arc<Core>,
    listener: Arc<Listener>,
    /// What it hears of, by the server's own URIs.
    resources: Vec<Arc<Destination>>,
}

impl Listening {
    pub(crate) fn stream(&self) -> &Arc<EventStream> {
        &self.listener.stream
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let number = self.listener.number;
        self.core.modern.listeners.live.remove(&number);
        for to in &self.resources {
            if to.server.unsubscribe(&to.own, number) {
                self.core.unsubscribe_upstream(&to.server, &to.own);
            }
        }
    }
}

/// Begins to listen: what is asked for is asked of the servers, and the stream begins with what of it they grant.
pub(crate) async fn listen(
    core: &Arc<Core>,
    scope: Scope,
    request: &Envelope,
) -> Result<Listening, RpcError> {
    let filter: Filter = request
        .params()
        .and_then(|params| params.member("notifications"))
        .ok_or_else(|| fault::invalid_params("subscriptions/listen needs `notifications`"))?
        .read()
        .map_err(|error| fault::invalid_params(format!("`notifications`: {error}")))?;
    if filter.resource_subscriptions.len() > MOST_RESOURCES {
        let message = format!("at most {MOST_RESOURCES} resources can be subscribed to at a time");
        return Err(fault::invalid_params(message));
    }
    core.settle(|core| core.is_scope_settled(&scope)).await;
    let offers = offered(core, &scope);
    let lists = [
        ("toolsListChanged", filter.tools_list_changed && offers[0]),
        (
            "promptsListChanged",
            filter.prompts_list_changed && offers[1],
        ),
        (
            "resourcesListChanged",
            filter.resources_list_changed && offers[2],
        ),
    ];
    let methods = [
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
    ];
    let mut wanted = [None; 3];
    for (place, (method, (_, honoured))) in wanted.iter_mut().zip(methods.into_iter().zip(lists)) {
        *place = honoured.then_some(method);
    }
    let listener = Arc::new(Listener {
        number: core.sessions.number(),
        scope,
        id: request.id().unwrap_or(RawJson::NULL),
        lists: wanted,
        stream: EventStream::bare(),
        early: Mutex::new(Some(Vec::new())),
    });
    let live = &core.modern.listeners.live;
    live.insert(listener.number, Arc::clone(&listener));
    let mut listening = Listening {
        core: Arc::clone(core),
        listener,
        resources: Vec::new(),
    };
    let mut honoured = Map::new();
    for (key, _) in lists.into_iter().filter(|(_, honoured)| *honoured) {
        honoured.insert(key.to_owned(), Value::Bool(true));
    }
    let mut granted = Vec::new();
    for uri in filter.resource_subscriptions {
        if let Some(to) = subscribe(core, &listening.listener, &uri).await {
            listening.resources.push(to);
            granted.push(Value::String(uri));
        }
    }
    if !granted.is_empty() {
        honoured.insert("resourceSubscriptions".to_owned(), Value::Array(granted));
    }
    listening.listener.acknowledge(&Value::Object(honoured));
    Ok(listening)
}

/// Which kinds of lists this path has: tools, prompts, resources.
fn offered(core: &Core, scope: &Scope) -> [bool; 3] {
    let info = match scope {
        Scope::Fleet => None,
        Scope::Service(service) => core.server(service).and_then(|server| server.info()),
    };
    info.map_or([true; 3], |info| {
        let offers = &info.capabilities;
        [offers.tools(), offers.prompts(), offers.resources()]
    })
}

/// Has a listener hear of a resource; none where its server does not say when it changes.
async fn subscribe(core: &Arc<Core>, listener: &Listener, uri: &str) -> Option<Arc<Destination>> {
    let to = core.locate(&listener.scope, uri).ok()?;
    let able = |server: &Server| {
        let info = server.info();
        info.is_some_and(|info| info.capabilities.resources_subscribe())
    };
    if !able(&to.server) {
        return None;
    }
    // Known before it is asked for: an update may come before the answer.
    let first = to.server.subscribers(&to.own).is_empty();
    to.server.subscribe(&to.own, listener.number);
    if first && !core.subscribe_upstream(&to.server, &to.own).await {
        to.server.unsubscribe(&to.own, listener.number);
        return None;
    }
    Some(to)
}
