//! Notifications of clients.

use std::sync::Arc;

use backstay_mcp::Envelope;

use crate::core::Core;
use crate::session::{Scope, Session};

/// Acts on a notification. What nobody knows is passed on where it is clear to whom.
pub(crate) fn notified(core: &Arc<Core>, session: &Arc<Session>, notification: &Envelope) {
    match &*notification.method() {
        "notifications/initialized" => {}
        "notifications/cancelled" => cancel(session, notification),
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

fn cancel(session: &Session, notification: &Envelope) {
    if let Some(id) = notification.request_id() {
        session.call_off(&id, reason(notification).as_deref());
    }
}

fn reason(notification: &Envelope) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Cancelled {
        reason: Option<String>,
    }
    notification.params()?.read::<Cancelled>().ok()?.reason
}

/// The roots of one client among many say nothing to a server they all share.
fn roots_changed(core: &Core, session: &Session) {
    for server in core.servers().values() {
        let own = server.owned_by(session.number);
        if let Some(upstream) = own.and_then(|own| own.upstream()) {
            upstream.notify("notifications/roots/list_changed", None);
        }
    }
}
