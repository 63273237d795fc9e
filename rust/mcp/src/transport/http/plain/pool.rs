//! Connections that wait for their next request.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::connection::Connection;

/// Connections kept. A gateway of ten thousand sessions may have as many calls under way.
const MOST_IDLE: usize = 16_384;
const KEEP_IDLE: Duration = Duration::from_secs(90);
/// From then on the kernel is asked whether one is still open: what this process has heard may be old.
const DOUBT: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Held for one step.
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one used last at the end, so that the rest can age.
    connections: Vec<(Connection, Instant)>,
    /// Whether a task is there that lets go of the old ones.
    swept: bool,
}

impl Pool {
    /// The connection used last that is still open.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (connection, since) = self.idle.lock().connections.pop()?;
            let spoilt =
                connection.is_spoilt() || since.elapsed() > DOUBT && connection.is_spoilt_now();
            if !spoilt {
                return Some(connection);
            }
        }
    }

    pub(super) fn give_back(self: &Arc<Self>, connection: Connection) {
        if !connection.is_free() {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.connections.len() >= MOST_IDLE {
            return;
        }
        idle.connections.push((connection, Instant::now()));
        let unswept = !std::mem::replace(&mut idle.swept, true);
        drop(idle);
        if unswept && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Lets go of what has been idle for long. False where nothing is left.
    fn let_go(&self) -> bool {
        let mut idle = self.idle.lock();
        let old = |(_, since): &&(Connection, Instant)| since.elapsed() >= KEEP_IDLE;
        let due = idle.connections.iter().take_while(old).count();
        let gone: Vec<_> = idle.connections.drain(..due).collect();
        idle.swept = !idle.connections.is_empty();
        let left = idle.swept;
        drop(idle);
        drop(gone);
        left
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(KEEP_IDLE).await;
        if !pool.upgrade().is_some_and(|pool| pool.let_go()) {
            return;
        }
    }
}
