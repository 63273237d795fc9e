//! The time of calls: one task looks after that of all calls of a connection.
//!
//! A timer for each call would be set and taken down at every call, and hardly ever fire. This one is set for the call
//! whose time ends first, and when it fires that call has been answered long since, mostly: then it is set for the one
//! whose time ends first by then. A connection without calls has no such task.

use std::sync::{Arc, Weak};

use tokio::time::{Instant, sleep_until};

use super::core::Core;
use super::pending::Watch;

/// Sees to it that somebody looks in time.
pub(super) fn see_to(core: &Arc<Core>, watch: Watch) {
    match watch {
        Watch::Kept => {}
        Watch::Sooner => core.sooner.notify_one(),
        Watch::Needed => drop(tokio::spawn(look(Arc::downgrade(core)))),
    }
}

async fn look(of: Weak<Core>) {
    loop {
        let Some(core) = of.upgrade() else { return };
        let Some(next) = core.pending.watched() else {
            return;
        };
        if next <= Instant::now() {
            if core
                .pending
                .expire(&core.instance, Instant::now())
                .is_none()
            {
                return;
            }
            continue;
        }
        let sooner = Arc::clone(&core.sooner);
        // Not held while it waits, so that a connection can end.
        drop(core);
        tokio::select! {
            () = sleep_until(next) => {}
            () = sooner.notified() => {}
        }
    }
}
