//! What a modern server tells on its own: the stream that `subscriptions/listen` opens, kept open.
//!
//! A legacy server tells of changed lists unasked and of resources after `resources/subscribe`; a modern one tells
//! what one request asks for, for as long as that request is not answered. What is wanted is kept here, and a task
//! ([`hold`]) keeps a stream open for it. What it wants said is in [`filter`].

mod filter;
mod hold;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::core::Core;
use crate::envelope::{Edit, Envelope, Limits, Rewrite, member};
use crate::jsonrpc::{INVALID_PARAMS, RpcError};
use crate::modern::meta::SUBSCRIPTION_ID;
use filter::Filter;

/// The first message on a stream.
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// Streams of former daemons that were called off; more than these there are never at a time.
const DISMISSED: usize = 16;

/// What is wanted of a server, and the streams that carry it.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// Held for a few set operations.
    wanted: Mutex<Wanted>,
    changed: Notify,
    /// The streams whose notifications count: the one held, and the one that is being opened. Held for one look.
    live: Mutex<Vec<u64>>,
    acknowledged: watch::Sender<Acknowledged>,
    settled: watch::Sender<Option<Settled>>,
    /// Whether something may have happened that no stream told of.
    missed: AtomicBool,
    /// Former daemons' streams that the server was asked to end. Held for one look.
    dismissed: Mutex<Vec<u64>>,
    /// The task that holds the stream. Held for one assignment.
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Debug, Default)]
struct Wanted {
    resources: BTreeSet<String>,
    /// Counts the changes.
    revision: u64,
}

/// The stream acknowledged last, and what of it the server agreed to, where it said that.
#[derive(Clone, Debug, Default)]
struct Acknowledged {
    id: u64,
    filter: Option<Filter>,
}

/// What became of the wishes up to a revision.
#[derive(Clone, Debug)]
struct Settled {
    revision: u64,
    outcome: Outcome,
}

#[derive(Clone, Debug)]
enum Outcome {
    /// The server agreed, to these resources where it said to which.
    Open(Option<Arc<BTreeSet<String>>>),
    /// It has no such stream.
    Refused(RpcError),
    /// There is nothing to listen to.
    Idle,
}

/// What a notification of a modern server is, by the stream it names.
pub(super) enum Told {
    /// It belongs to no stream.
    Elsewhere,
    /// It is one of a stream that counts, here without that stream's id, which is nobody else's business.
    Ours(Box<Envelope>),
    /// It says that a stream is open.
    Opened,
    /// It belongs to a stream that has ended, or to nobody's.
    Stale,
}

impl Subscription {
    /// Starts holding a stream, if nobody does yet, and waits a while for it: what changes after that is told.
    pub(super) async fn start(&self, core: &Arc<Core>, patience: Duration) {
        {
            let mut task = self.task.lock();
            if task.is_none() {
                *task = Some(tokio::spawn(hold::hold(Arc::clone(core))).abort_handle());
            }
        }
        if self.outcome(0, patience).await.is_none() {
            self.missed.store(true, Ordering::Release);
        }
    }

    /// Ends it. The server is not told: the connection ends.
    pub(super) fn stop(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// Wants to hear of a resource, and waits until the server has agreed, or has had its time.
    pub(super) async fn subscribe(&self, uri: &str, patience: Duration) -> Result<(), RpcError> {
        let revision = self.want(|resources| resources.insert(uri.to_owned()));
        let refused = match self.outcome(revision, patience).await {
            Some(Outcome::Refused(error)) => error,
            Some(Outcome::Open(Some(agreed))) if !agreed.contains(uri) => RpcError::new(
                INVALID_PARAMS,
                format!("the server does not tell when `{uri}` changes"),
            ),
            _ => return Ok(()),
        };
        self.unsubscribe(uri);
        Err(refused)
    }

    /// No longer wants to hear of a resource.
    pub(super) fn unsubscribe(&self, uri: &str) {
        self.want(|resources| resources.remove(uri));
    }

    /// Changes what is wanted; gives the revision that says so.
    fn want(&self, change: impl FnOnce(&mut BTreeSet<String>) -> bool) -> u64 {
        let mut wanted = self.wanted.lock();
        if change(&mut wanted.resources) {
            wanted.revision += 1;
            self.changed.notify_one();
        }
        wanted.revision
    }

    async fn outcome(&self, revision: u64, patience: Duration) -> Option<Outcome> {
        let mut settled = self.settled.subscribe();
        let done = settled.wait_for(|it| it.as_ref().is_some_and(|it| it.revision >= revision));
        let settled = timeout(patience, done).await.ok()?.ok()?;
        settled.as_ref().map(|settled| settled.outcome.clone())
    }

    fn settle(&self, revision: u64, outcome: Outcome) {
        self.settled
            .send_replace(Some(Settled { revision, outcome }));
    }

    /// Looks at whose a notification is. `ours` reads a spelled id as one of ours.
    pub(super) fn told(&self, message: &Envelope, ours: impl FnOnce(&[u8]) -> Option<u64>) -> Told {
        let Some(spelled) = member(message.meta_bytes(), SUBSCRIPTION_ID) else {
            return Told::Elsewhere;
        };
        let Some(id) = ours(spelled).filter(|id| self.is_live(*id)) else {
            return Told::Stale;
        };
        if message.method() == ACKNOWLEDGED {
            let filter = message
                .params()
                .and_then(|params| params.member("notifications"))
                .and_then(|filter| filter.read().ok());
            self.acknowledged.send_replace(Acknowledged { id, filter });
            return Told::Opened;
        }
        let stripped = message.rewrite(&Rewrite {
            meta: &[Edit::Remove(SUBSCRIPTION_ID)],
            ..Rewrite::default()
        });
        let limits = Limits::with_max_bytes(stripped.len());
        Envelope::parse(stripped, limits)
            .map_or(Told::Stale, |message| Told::Ours(Box::new(message)))
    }

    /// The streams that are open or being opened.
    pub(super) fn streams(&self) -> Vec<u64> {
        self.live.lock().clone()
    }

    /// Whether an id is that of a stream that is open or being opened.
    pub(super) fn is_live(&self, id: u64) -> bool {
        self.live.lock().contains(&id)
    }

    /// Whether a former daemon's stream is heard of for the first time, so that the server is to be asked to end it.
    pub(super) fn dismiss(&self, id: u64) -> bool {
        let mut dismissed = self.dismissed.lock();
        let new = !dismissed.contains(&id) && dismissed.len() < DISMISSED;
        if new {
            dismissed.push(id);
        }
        new
    }
}
