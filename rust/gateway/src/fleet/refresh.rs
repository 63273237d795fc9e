//! What a server offers is read when it becomes ready and when it says that it changed; what clients
//! asked of a former connection (log level, subscriptions) is asked of the new one.
//!
//! A modern server that does not tell of changes says how long its lists are fresh. Who asks for one that is not any
//! more gets what there is, and it is read again meanwhile; what has changed is announced as any change is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backstay_mcp::list::{self, List, ListLimits};
use backstay_mcp::{Call, Era, Outgoing, RawJson, ServerInfo, Upstream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::catalog::{Catalog, LISTS};
use super::instance::Instance;
use super::server::Server;
use crate::core::Core;
use crate::event::Event;
use crate::log_level::LogLevel;
use crate::session::Scope;

/// Longest time for one page of a list.
const PAGE_TIME: Duration = Duration::from_secs(30);
/// A list is not read again before so long, however short it is said to be fresh.
const LEAST_FRESH: Duration = Duration::from_secs(5);
/// Longest time for what is asked of a server on many clients' behalf.
const CARE_TIME: Duration = Duration::from_secs(5);

/// Which lists of an instance are to be read again. One reader at a time; what is announced meanwhile is read after.
#[derive(Debug, Default)]
pub(crate) struct Refreshing(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    wanted: [bool; 4],
    running: bool,
}

impl Refreshing {
    /// Notes a wish. True where nobody is reading.
    fn want(&self, lists: &[List]) -> bool {
        let mut pending = self.0.lock();
        for list in lists {
            pending.wanted[*list as usize] = true;
        }
        !std::mem::replace(&mut pending.running, true)
    }

    /// What to read now; nothing ends the reading.
    fn take(&self) -> Vec<List> {
        let mut pending = self.0.lock();
        let wanted = std::mem::take(&mut pending.wanted);
        let lists: Vec<_> = LISTS
            .into_iter()
            .filter(|list| wanted[*list as usize])
            .collect();
        pending.running = !lists.is_empty();
        lists
    }
}

/// When a list that was just read is to be read again; none where the server tells of changes, or has a session.
fn stale_from(info: &ServerInfo, list: List, fresh_for: Option<Duration>) -> Option<Instant> {
    let tells = match list {
        List::Tools => info.capabilities.tools_list_changed(),
        List::Prompts => info.capabilities.prompts_list_changed(),
        List::Resources | List::ResourceTemplates => info.capabilities.resources_list_changed(),
    };
    if tells || info.era() == Era::Legacy {
        return None;
    }
    Instant::now().checked_add(fresh_for.unwrap_or_default().max(LEAST_FRESH))
}

fn offers(info: &ServerInfo, list: List) -> bool {
    match list {
        List::Tools => info.capabilities.tools(),
        List::Prompts => info.capabilities.prompts(),
        List::Resources | List::ResourceTemplates => info.capabilities.resources(),
    }
}

/// Reads lists into a catalog. A list that cannot be read stays as it was.
async fn read_lists(upstream: &Upstream, lists: &[List], catalog: &mut Catalog) {
    let info = upstream.info();
    let limits = ListLimits {
        timeout: Some(PAGE_TIME),
        ..ListLimits::default()
    };
    for &list in lists {
        if !offers(&info, list) {
            catalog.set(list, Vec::new());
            catalog.set_stale(list, None);
            continue;
        }
        let mut fresh_for = None;
        if let Ok(listed) = list::read(upstream, list, limits).await {
            catalog.set(list, listed.items);
            fresh_for = listed.fresh_for;
        }
        catalog.set_stale(list, stale_from(&info, list, fresh_for));
    }
}

impl Core {
    /// A connection is new: reads its lists, publishes them, and asks of it what was asked of the former one.
    pub(crate) async fn read_everything(
        self: &Arc<Self>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        upstream: &Arc<Upstream>,
    ) {
        let mut catalog = Catalog::default();
        read_lists(upstream, &LISTS, &mut catalog).await;
        if !instance
            .upstream()
            .is_some_and(|current| Arc::ptr_eq(&current, upstream))
        {
            return;
        }
        self.publish_catalog(server, Arc::new(catalog));
        self.publisher.done().await;
        self.restore_subscriptions(server);
        if upstream.info().capabilities.logging()
            && let Some(level) = server.level().or(self.sessions.level())
        {
            server.change_level(Some(level));
            set_level(upstream, level).await;
        }
        let again: Vec<_> = server
            .subscribed()
            .iter()
            .map(|uri| uri_params(uri))
            .collect();
        if upstream.is_modern() {
            // One stream carries them all, so that it is opened once where all are wanted at once.
            let asked = again
                .iter()
                .map(|params| ask(upstream, "resources/subscribe", params));
            futures_util::future::join_all(asked).await;
            return;
        }
        for params in &again {
            ask(upstream, "resources/subscribe", params).await;
        }
    }

    /// Somebody asks for a list: where it is not fresh any more, it is read again.
    pub(crate) fn look_at_age(self: &Arc<Self>, scope: &Scope, list: List) {
        if !self.ages.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let look = |server: &Arc<Server>| {
            if server
                .catalog()
                .is_some_and(|catalog| catalog.is_stale(list, now))
                && let Some((instance, _)) = server.ready().first()
            {
                self.refresh(server, instance, &[list]);
            }
        };
        match scope {
            Scope::Fleet => self.servers().values().for_each(look),
            Scope::Service(service) => self.server(service).iter().for_each(look),
        }
    }

    /// A list of this instance may have changed.
    pub(crate) fn refresh(
        self: &Arc<Self>,
        server: &Arc<Server>,
        instance: &Arc<Instance>,
        lists: &[List],
    ) {
        if !instance.refreshing.want(lists) {
            return;
        }
        let (core, server, instance) = (Arc::clone(self), Arc::clone(server), Arc::clone(instance));
        self.runtime.spawn(async move {
            loop {
                let lists = instance.refreshing.take();
                if lists.is_empty() {
                    return;
                }
                let Some(upstream) = instance.upstream() else {
                    continue;
                };
                let mut catalog = server
                    .catalog()
                    .map(|catalog| (*catalog).clone())
                    .unwrap_or_default();
                read_lists(&upstream, &lists, &mut catalog).await;
                let counts = catalog.counts(&server.route().tools);
                if core.publish_catalog(&server, Arc::new(catalog)) {
                    core.publisher.done().await;
                    core.emit(Event::ServerChanged {
                        service: server.service.to_string(),
                        instance: instance.name.to_string(),
                        counts,
                    });
                }
            }
        });
    }

    /// Sets every server that logs to the most verbose level that any session asked for.
    pub(crate) async fn spread_level(&self) {
        let level = self.sessions.level();
        let mut asked = Vec::new();
        for server in self.servers().values() {
            if !server
                .info()
                .is_some_and(|info| info.capabilities.logging())
            {
                continue;
            }
            if let Some(level) = server.change_level(level) {
                asked.extend(
                    server
                        .ready()
                        .into_iter()
                        .map(|(_, upstream)| (upstream, level)),
                );
            }
        }
        futures_util::future::join_all(
            asked
                .iter()
                .map(|(upstream, level)| set_level(upstream, *level)),
        )
        .await;
    }

    /// Sets what a session has to itself to the level it asked for.
    pub(crate) async fn set_own_level(&self, session: u64, level: LogLevel) {
        for server in self.servers().values() {
            let own = server.owned_by(session).filter(|own| own.private);
            if let Some(upstream) = own.and_then(|own| own.upstream())
                && upstream.info().capabilities.logging()
            {
                set_level(&upstream, level).await;
            }
        }
    }

    /// Sessions that a former daemon knew say again what they want to hear of.
    fn restore_subscriptions(&self, server: &Arc<Server>) {
        for session in self.audience(&server.service) {
            for uri in session.subscriptions() {
                if let Ok(to) = self.locate(&session.scope, &uri)
                    && Arc::ptr_eq(&to.server, server)
                {
                    server.subscribe(&to.own, session.number);
                }
            }
        }
    }

    /// Somebody wants to hear of this resource, and nobody did. False where its server refuses.
    pub(crate) async fn subscribe_upstream(&self, server: &Server, uri: &str) -> bool {
        let params = uri_params(uri);
        let ready = server.ready();
        let asked = ready
            .iter()
            .map(|(_, upstream)| ask(upstream, "resources/subscribe", &params));
        let granted = futures_util::future::join_all(asked).await;
        granted.into_iter().any(|granted| granted)
    }

    /// Nobody wants to hear of this resource any more.
    pub(crate) fn unsubscribe_upstream(&self, server: &Server, uri: &str) {
        for (_, upstream) in server.ready() {
            let params = uri_params(uri);
            self.runtime
                .spawn(async move { ask(&upstream, "resources/unsubscribe", &params).await });
        }
    }
}

pub(super) async fn set_level(upstream: &Upstream, level: LogLevel) {
    let params = serde_json::json!({ "level": level.as_str() });
    if let Ok(params) = RawJson::write(&params) {
        ask(upstream, "logging/setLevel", &params).await;
    }
}

fn uri_params(uri: &str) -> RawJson {
    RawJson::write(&serde_json::json!({ "uri": uri })).unwrap_or(RawJson::EMPTY_OBJECT)
}

/// Asks a server for something on many clients' behalf. Whether it did as asked.
async fn ask(upstream: &Upstream, method: &str, params: &RawJson) -> bool {
    let message = Outgoing::New {
        method,
        params: Some(params.clone()),
    };
    let call = Call {
        message,
        tag: None,
        timeout: Some(CARE_TIME),
        sink: None,
        modern: None,
    };
    let answered = upstream.call(call).await;
    answered.is_ok_and(|reply| !reply.is_error())
}
