//! Notifications of clients.

use std::sync::Arc;

use backstay_mcp::Envelope;

use crate::core::Core;
use crate::session::{Scope, Session};

/// Acts on a notification. What nobody knows is passed on where it is clear to whom.
pub(crate) fn notified(core: &Arc<Core>, session: &Arc<Session>, notification: &Envelope) {
    match &*notification.method() {
        "notifications/initialized" => {}
        "notifications/cancelled" => cancel(core, session, notification),
        "notifications/roots/list_changed" => roots_changed(core, session),
        "notifications/progress" => session.asked.progress(notification),
        other => {
            if let Scope::Service(service) = &session.scope
                && let Some(server) = core.server(service)
            {
                for (_, upstream) in server.ready() {
                    upstream.notify(other, notification.params().as_ref());
                }
            }
        }
    }
}

fn cancel(core: &Core, session: &Session, notification: &Envelope) {
    let Some(call) = notification.request_id().and_then(|id| session.call(&id)) else {
        return;
    };
    let reason = reason(notification);
    for server in core.servers().values() {
        for instance in server
            .instances()
            .iter()
            .filter(|instance| instance.call(call.tag.call).is_some())
        {
            if let Some(upstream) = instance.upstream() {
                upstream.cancel(call.tag, reason.as_deref());
                return;
            }
        }
    }
    // It waits for a server, or for the gateway itself.
    call.cancel();
}

fn reason(notification: &Envelope) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Cancelled {
        reason: Option<String>,
    }
    notification.params()?.read::<Cancelled>().ok()?.reason
}

/// The roots of one client among many say nothing about a server they all share.
fn roots_changed(core: &Core, session: &Arc<Session>) {
    let servers = core.servers();
    for server in servers.values() {
        let mut listening = core
            .audience(&server.service)
            .filter(|other| other.listens());
        let alone = listening
            .next()
            .is_some_and(|only| Arc::ptr_eq(&only, session))
            && listening.next().is_none();
        drop(listening);
        if alone {
            for (_, upstream) in server.ready() {
                upstream.notify("notifications/roots/list_changed", None);
            }
        }
    }
}
