//! What servers send on their own: notifications to whom they concern, requests to the client whose
//! call they belong to. [`capabilities`](crate::capabilities) says what may be asked of whom.

use std::sync::{Arc, Weak};
use std::time::Duration;

use backstay_mcp::list::List;
use backstay_mcp::modern::input::InputRequest;
use backstay_mcp::{
    CallTag, CloseReason, Envelope, Inbound, RawJson, RejectedTool, Rewrite, RpcError, ServerInfo,
    jsonrpc,
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::call::Call;
use crate::capabilities::{ASKED, Askable, Otherwise};
use crate::config::SessionMode;
use crate::core::Core;
use crate::event::Event;
use crate::fleet::{Instance, Server};
use crate::log_level::LogLevel;
use crate::modern::rounds::Rounds;
use crate::modern::{crossing, parked};
use crate::session::{Keep, Report, Scope, Session};

/// How long a client (and the human before it) may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Hears one connection.
pub(crate) struct FromServer {
    core: Weak<Core>,
    server: Arc<Server>,
    instance: Arc<Instance>,
    epoch: u64,
    /// Why it ended, which may be before anyone knew that it began. Held for one assignment.
    ended: Mutex<Option<CloseReason>>,
}

impl FromServer {
    pub(crate) fn new(
        core: &Arc<Core>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        epoch: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::downgrade(core),
            server: Arc::clone(server),
            instance: Arc::clone(instance),
            epoch,
            ended: Mutex::default(),
        })
    }

    /// Why the connection ended, if it did.
    pub(crate) fn ended(&self) -> Option<CloseReason> {
        self.ended.lock().clone()
    }

    fn call(&self, related: Option<CallTag>) -> Option<Arc<Call>> {
        related.and_then(|tag| self.instance.call(tag.call))
    }

    /// Sends a session what concerns it: before the answer of a call it has in flight here, so that the
    /// order is the server's, else on its GET stream.
    fn deliver(
        calls: &std::collections::HashMap<u64, Arc<Call>>,
        session: &Session,
        message: &Envelope,
    ) {
        match calls.get(&session.number) {
            Some(call) => call.send(message.bytes(), Keep::IfRoom),
            None if session.listens() => {
                session.general().push(message.bytes(), Keep::IfRoom);
            }
            None => {}
        }
    }

    /// A log message goes to the sessions that want its level.
    fn log(&self, core: &Core, message: &Envelope, call: Option<&Arc<Call>>) {
        let level = message
            .level()
            .and_then(|level| level.parse::<LogLevel>().ok());
        // Whoever asked for no level is spared what only others asked for.
        let quiet = if self.server.level().is_some() {
            LogLevel::Info
        } else {
            LogLevel::Debug
        };
        let wanted = |session: &Session| match (session.level(), session.is_modern()) {
            // A modern client hears nothing it did not ask for.
            (None, true) => false,
            (own, _) => level.is_none_or(|level| level >= own.unwrap_or(quiet)),
        };
        if let Some(call) = call {
            if wanted(&call.session) {
                call.send(message.bytes(), Keep::IfRoom);
            }
            return;
        }
        let calls = self.instance.calls_by_session();
        for session in self.audience(core).iter().filter(|session| wanted(session)) {
            Self::deliver(&calls, session, message);
        }
    }

    /// What the server says of changes holds for the answers that are kept of it, too.
    fn make_stale(&self, notification: &Envelope) {
        let freshness = &self.server.freshness;
        match &*notification.method() {
            "notifications/tools/list_changed" | "notifications/resources/list_changed" => {
                freshness.all_stale();
            }
            "notifications/resources/updated" => match notification.uri() {
                Some(uri) => freshness.stale(&uri),
                None => freshness.all_stale(),
            },
            _ => {}
        }
    }

    /// A resource changed: tells who subscribed, by the URI that they know.
    fn updated(&self, core: &Core, message: &Envelope) {
        let Some(uri) = message.uri() else { return };
        let calls = self.instance.calls_by_session();
        for number in self.server.subscribers(&uri) {
            if let Some(listener) = core.modern.listeners.by_number(number) {
                let known = match listener.scope() {
                    Scope::Service(_) => None,
                    Scope::Fleet => core.shown_uri(&self.server, &uri),
                };
                listener.updated(message, known.as_deref());
                continue;
            }
            let Some(session) = core.sessions.by_number(number) else {
                continue;
            };
            let known = match session.scope {
                Scope::Service(_) => None,
                Scope::Fleet => core.shown_uri(&self.server, &uri),
            };
            match known {
                Some(known) if *known != *uri => {
                    let bytes = message.rewrite(&Rewrite {
                        uri: Some(&known),
                        ..Rewrite::default()
                    });
                    match calls.get(&number) {
                        Some(call) => call.send(&bytes, Keep::IfRoom),
                        None => session.general().push(&bytes, Keep::Once),
                    }
                }
                _ => match calls.get(&number) {
                    Some(call) => call.send(message.bytes(), Keep::IfRoom),
                    None => session.general().push(message.bytes(), Keep::Once),
                },
            }
        }
    }

    /// Tells the server how far a client is.
    fn report(&self) -> Report {
        let instance = Arc::clone(&self.instance);
        Arc::new(move |params| {
            if let Some(upstream) = instance.upstream() {
                upstream.notify("notifications/progress", Some(params));
            }
        })
    }

    /// The session that has the instance to itself.
    fn owner(&self, core: &Core) -> Option<Arc<Session>> {
        core.sessions.by_number(self.instance.owner()?)
    }

    /// Whom its messages concern that belong to no call.
    fn audience(&self, core: &Core) -> Vec<Arc<Session>> {
        if self.server.route().session == SessionMode::Isolated {
            return self.owner(core).into_iter().collect();
        }
        core.audience(&self.server.service).collect()
    }
}

impl Inbound for FromServer {
    fn notification(&self, notification: Envelope, related: Option<CallTag>) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let call = self.call(related);
        // What is listed is read from the instances that all share.
        let refresh = |lists: &[List]| {
            if !self.instance.private {
                core.refresh(&self.server, &self.instance, lists);
            }
        };
        self.make_stale(&notification);
        match &*notification.method() {
            "notifications/tools/list_changed" => refresh(&[List::Tools]),
            "notifications/prompts/list_changed" => refresh(&[List::Prompts]),
            "notifications/resources/list_changed" => {
                refresh(&[List::Resources, List::ResourceTemplates]);
            }
            "notifications/resources/updated" => self.updated(&core, &notification),
            "notifications/message" => self.log(&core, &notification, call.as_ref()),
            // A modern client learns that by trying again.
            "notifications/elicitation/complete"
                if call.as_ref().is_some_and(|call| call.session.is_modern()) => {}
            _ => {
                if let Some(call) = call {
                    call.send(notification.bytes(), Keep::IfRoom);
                } else {
                    let calls = self.instance.calls_by_session();
                    for session in self.audience(&core) {
                        Self::deliver(&calls, &session, &notification);
                    }
                }
            }
        }
    }

    fn request(
        &self,
        request: Envelope,
        related: Option<CallTag>,
    ) -> BoxFuture<'static, Result<RawJson, RpcError>> {
        let method = request.method().into_owned();
        let Some(askable) = ASKED.iter().find(|askable| askable.method == method) else {
            return Box::pin(std::future::ready(Err(RpcError::method_not_found(&method))));
        };
        let Some(core) = self.core.upgrade() else {
            return Box::pin(std::future::ready(otherwise(
                askable,
                "the gateway is shutting down",
            )));
        };
        let params = request.params().unwrap_or(RawJson::EMPTY_OBJECT);
        let (session, call) = match (self.call(related), self.owner(&core)) {
            (Some(call), _) => (Arc::clone(&call.session), Some(call)),
            (None, Some(owner)) => (owner, None),
            (None, None) => {
                let why = "it belongs to no call of one client, so there is no telling which client to ask";
                return Box::pin(std::future::ready(otherwise(askable, why)));
            }
        };
        if !(askable.served_by)(&session.capabilities, &params) {
            if let Some(rounds) = call.as_ref().and_then(|call| call.rounds())
                && let Ok(required) = RawJson::write(&(askable.required)(&params))
            {
                rounds.lack(required);
            }
            return Box::pin(std::future::ready(otherwise(
                askable,
                "the client did not declare it",
            )));
        }
        let report = request.progress_token().map(|token| (token, self.report()));
        Box::pin(async move { ask(&session, call.as_ref(), &request, report).await })
    }

    fn rejected(&self, tools: &[RejectedTool]) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let tools = tools.iter();
        core.emit(Event::ToolsRejected {
            service: self.server.service.to_string(),
            instance: self.instance.name.to_string(),
            tools: tools
                .map(|tool| (tool.name.clone(), tool.reason.clone()))
                .collect(),
        });
    }

    fn renewed(&self, info: &ServerInfo) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        if self.instance.private {
            return;
        }
        core.remember(&self.instance, info);
        let Some(upstream) = self.instance.upstream() else {
            return;
        };
        self.server.set_info(upstream.info());
        let (core, server, instance) = (core, Arc::clone(&self.server), Arc::clone(&self.instance));
        core.runtime
            .clone()
            .spawn(async move { core.read_everything(&server, &instance, &upstream).await });
    }

    fn closed(&self, reason: &CloseReason) {
        *self.ended.lock() = Some(reason.clone());
        if let Some(core) = self.core.upgrade() {
            core.connection_closed(&self.server, &self.instance, self.epoch, reason);
        }
    }
}

fn otherwise(askable: &Askable, why: &str) -> Result<RawJson, RpcError> {
    match askable.otherwise {
        Otherwise::NoRoots => Ok(no_roots()),
        Otherwise::Refuse => Err(RpcError::new(
            jsonrpc::INVALID_REQUEST,
            format!("{} is not possible here: {why}", askable.capability),
        )),
    }
}

fn no_roots() -> RawJson {
    RawJson::parse(r#"{"roots":[]}"#).unwrap_or(RawJson::EMPTY_OBJECT)
}

/// Asks a legacy client what a modern server wants of it before its call can go on.
pub(crate) async fn ask_for(call: &Arc<Call>, request: &Envelope) -> Result<RawJson, RpcError> {
    let method = request.method();
    let params = request.params().unwrap_or(RawJson::EMPTY_OBJECT);
    let Some(askable) = ASKED.iter().find(|askable| askable.method == method) else {
        let message = format!("the server asks for `{method}`, which no client has");
        return Err(RpcError::new(jsonrpc::INTERNAL_ERROR, message));
    };
    if !(askable.served_by)(&call.session.capabilities, &params) {
        return otherwise(askable, "the client did not declare it");
    }
    ask(&call.session, Some(call), request, None).await
}

/// Asks a client. If the server loses interest (this future is dropped), the client is told.
async fn ask(
    session: &Arc<Session>,
    call: Option<&Arc<Call>>,
    request: &Envelope,
    report: Option<(RawJson, Report)>,
) -> Result<RawJson, RpcError> {
    let _asks = call.map(Call::asks);
    if let Some(rounds) = call.and_then(|call| call.rounds()) {
        return ask_in_result(session, rounds, request).await;
    }
    let question = session.asked.open(report).map_err(|refused| {
        RpcError::new(
            jsonrpc::INTERNAL_ERROR,
            format!("the client cannot be asked: {refused:?}"),
        )
    })?;
    let message = request.rewrite(&Rewrite {
        id: Some(&question.id),
        progress_token: Some(&question.id),
        ..Rewrite::default()
    });
    match call {
        Some(call) if call.may_stream() => call.send(&message, Keep::Always),
        _ if session.listens() => session.general().push(&message, Keep::Always),
        _ => {
            return Err(RpcError::new(
                jsonrpc::INTERNAL_ERROR,
                "the client takes no event stream, so it cannot be asked",
            ));
        }
    }
    let mut withdraw = Withdraw {
        session,
        call,
        id: Some(question.id.clone()),
    };
    let answer = question.answer(PATIENCE).await;
    withdraw.id = None;
    answer
}

/// Asks a modern client, with the result of the request that waits.
async fn ask_in_result(
    session: &Session,
    rounds: &Rounds,
    request: &Envelope,
) -> Result<RawJson, RpcError> {
    let too_much = || {
        RpcError::new(
            jsonrpc::INTERNAL_ERROR,
            "the client cannot be asked: too many questions are open",
        )
    };
    let question = session.asked.open(None).map_err(|_| too_much())?;
    let key: String = question.id.read().unwrap_or_default();
    let asked = InputRequest {
        key: key.clone(),
        method: request.method().into_owned(),
        params: crossing::asked_of_modern(request),
    };
    if !rounds.ask(asked) {
        return Err(too_much());
    }
    let _closes = Closes { rounds, key };
    question.answer(parked::PATIENCE).await
}

/// The question is no longer open, however it ended.
struct Closes<'a> {
    rounds: &'a Rounds,
    key: String,
}

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.rounds.close(&self.key);
    }
}

/// Tells the client that nobody waits for its answer any more.
struct Withdraw<'a> {
    session: &'a Arc<Session>,
    call: Option<&'a Arc<Call>>,
    id: Option<RawJson>,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let mut params = b"{\"requestId\":".to_vec();
        params.extend_from_slice(id.as_bytes());
        params.push(b'}');
        let Ok(params) = RawJson::parse(params) else {
            return;
        };
        let message = jsonrpc::notification("notifications/cancelled", Some(&params));
        match self.call {
            Some(call) => call.send(&message, Keep::IfRoom),
            None => self.session.general().push(&message, Keep::IfRoom),
        }
    }
}
