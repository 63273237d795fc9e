//! The requests under way, and how their client calls one off: of a modern request the answer is closed, which is how
//! the gateway hears of it; of a legacy one the gateway is told, and what becomes of it here, the client need not know.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_mcp::{Envelope, RawJson, jsonrpc};
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::modern::{self, LISTEN};
use super::session::Session;

/// See the module. By the requests' ids as they were spelled; held for one map operation.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<HashMap<RawJson, Task>>>);

#[derive(Debug)]
struct Task {
    handle: AbortHandle,
    kind: Kind,
    /// Its client does not wait for it any more.
    called_off: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Legacy,
    Modern,
    /// A subscription, which no answer ends.
    Listens,
}

impl UnderWay {
    /// Passes a request, until its answer came or its client calls it off.
    pub(super) fn ask(&self, session: &Arc<Session>, calls: &mut JoinSet<()>, request: Envelope) {
        let id = request.id().unwrap_or(RawJson::NULL);
        let kind = match modern::is_modern(&request) {
            true if request.method() == LISTEN => Kind::Listens,
            true => Kind::Modern,
            false => Kind::Legacy,
        };
        let called_off = Arc::new(AtomicBool::new(false));
        let done = Done {
            all: self.clone(),
            id: id.clone(),
            called_off: Arc::clone(&called_off),
        };
        let session = Arc::clone(session);
        // Locked while the task begins, so that it cannot end before it is known.
        let mut all = self.0.lock();
        let handle = calls.spawn(async move {
            let outcome = match kind {
                Kind::Legacy => session.ask(&request, &done.id).await,
                Kind::Modern | Kind::Listens => session.ask_modern(&request, &done.id).await,
            };
            if let Err(error) = outcome
                && !done.called_off.load(Ordering::Relaxed)
            {
                session
                    .say(jsonrpc::error(Some(&done.id), &error).into())
                    .await;
            }
        });
        let task = Task {
            handle,
            kind,
            called_off,
        };
        all.insert(id, task);
    }

    /// Calls off what a cancellation names. False where the gateway has to hear of it.
    pub(super) fn call_off(&self, notification: &Envelope) -> bool {
        let Some(id) = notification.request_id() else {
            return false;
        };
        let mut all = self.0.lock();
        let Some(task) = all.get(&id) else {
            return false;
        };
        task.called_off.store(true, Ordering::Relaxed);
        if task.kind == Kind::Legacy {
            return false;
        }
        task.handle.abort();
        all.remove(&id);
        true
    }

    /// Nobody is there any more who listens.
    pub(super) fn stop_listening(&self) {
        self.0.lock().retain(|_, task| {
            let listens = task.kind == Kind::Listens;
            if listens {
                task.handle.abort();
            }
            !listens
        });
    }
}

/// A request that is over is forgotten.
struct Done {
    all: UnderWay,
    id: RawJson,
    called_off: Arc<AtomicBool>,
}

impl Drop for Done {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        // Its id may be another's by now.
        if all
            .get(&self.id)
            .is_some_and(|task| Arc::ptr_eq(&task.called_off, &self.called_off))
        {
            all.remove(&self.id);
        }
    }
}
