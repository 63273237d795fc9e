//! Keeps a stream open for what is wanted.
//!
//! Where something else is wanted, another stream is opened, and the former one ends when that is acknowledged, so that
//! nothing is missed between them. A stream that the server ends is opened again, later and later where it ends at
//! once; as nobody says what happened meanwhile, everything counts as changed then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::super::call::{CallError, Outgoing};
use super::super::core::Core;
use super::super::exchange::Patience;
use super::filter::Filter;
use super::{Outcome, Subscription};
use crate::jsonrpc::{INVALID_PARAMS, METHOD_NOT_FOUND, RpcError};
use crate::raw::RawJson;

/// The method that opens a stream.
const LISTEN: &str = "subscriptions/listen";
/// When a stream that ended is opened again, and how that grows.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// A stream that lasted so long was worth having: it was a time-out, somewhere on the way, that ended it.
const LASTED: Duration = Duration::from_secs(10);
/// How long a server may take to acknowledge a stream before it is held to be open without that.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);
/// A stream is not answered for as long as it is wanted.
const FOREVER: Patience = Patience {
    silence: Duration::MAX,
    total: Duration::MAX,
};

/// A stream that is open or being opened. Dropping it ends it, and the server is told.
struct Stream {
    id: oneshot::Receiver<u64>,
    task: JoinHandle<Ended>,
}

/// As long as it lives, notifications of the stream count.
struct Live<'a> {
    subscription: &'a Subscription,
    id: u64,
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.subscription.live.lock().retain(|id| *id != self.id);
    }
}

/// Why a stream ended.
enum Ended {
    /// The server has none such.
    Refused(RpcError),
    /// The server ended it, or it broke.
    Over,
    /// The connection as such has ended.
    Closed,
}

impl Stream {
    fn open(core: &Arc<Core>, filter: &Filter) -> Self {
        let (tell, id) = oneshot::channel();
        let task = tokio::spawn(listen(Arc::clone(core), filter.params(), tell));
        Self { id, task }
    }

    /// Waits until it is acknowledged; gives what the server agreed to, or why it ended.
    async fn opened(&mut self, subscription: &Subscription) -> Result<Outcome, Ended> {
        let mut acknowledged = subscription.acknowledged.subscribe();
        let Ok(id) = (&mut self.id).await else {
            return Err(self.end().await);
        };
        let told = timeout(ACKNOWLEDGE, acknowledged.wait_for(|last| last.id == id));
        tokio::select! {
            biased;
            told = told => {
                // One that says nothing is open all the same, and keeps its promise as it can.
                let agreed = told.ok().and_then(Result::ok).and_then(|told| told.filter.clone());
                Ok(Outcome::Open(agreed.map(|filter| Arc::new(filter.resource_subscriptions))))
            }
            ended = &mut self.task => Err(ended.unwrap_or(Ended::Over)),
        }
    }

    async fn end(&mut self) -> Ended {
        (&mut self.task).await.unwrap_or(Ended::Over)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks for a stream and waits until it is answered, which is its end.
async fn listen(core: Arc<Core>, params: Option<RawJson>, tell: oneshot::Sender<u64>) -> Ended {
    let message = Outgoing::New {
        method: LISTEN,
        params,
    };
    let Ok(entered) = core.enter(&message, None, None, FOREVER) else {
        return Ended::Closed;
    };
    let id = entered.id;
    let subscription = &core.subscription;
    subscription.live.lock().push(id);
    let _live = Live { subscription, id };
    let _ = tell.send(id);
    match core.carry(entered, &message, None).await {
        Ok(reply) => reply.outcome().map_or_else(
            |error| Ended::Refused(RpcError::read(&error)),
            |_| Ended::Over,
        ),
        Err(CallError::Closed { .. }) => Ended::Closed,
        Err(_) => Ended::Over,
    }
}

/// See the module; ends with the connection.
pub(super) async fn hold(core: Arc<Core>) {
    let subscription = &core.subscription;
    // The stream, what it was opened for, and what became of that.
    let mut held: Option<(Stream, Filter, Outcome)> = None;
    let mut refused: Option<(Filter, RpcError)> = None;
    let mut wait = RETRY;
    loop {
        let (revision, filter) = wanted(&core);
        let is_open = held.as_ref().is_some_and(|(_, open, _)| *open == filter);
        if filter.is_empty() {
            held = None;
            subscription.settle(revision, Outcome::Idle);
        } else if let Some((_, error)) = refused.as_ref().filter(|(of, _)| *of == filter) {
            subscription.settle(revision, Outcome::Refused(error.clone()));
        } else if !is_open {
            let begun = Instant::now();
            let mut stream = Stream::open(&core, &filter);
            match stream.opened(subscription).await {
                Ok(outcome) => {
                    if subscription.missed.swap(false, Ordering::AcqRel) {
                        for change in filter.all_changed() {
                            core.hear(change);
                        }
                    }
                    // Only now the former one ends.
                    held = Some((stream, filter, outcome));
                }
                Err(Ended::Closed) => return,
                Err(Ended::Refused(error)) if is_final(&error) => refused = Some((filter, error)),
                Err(_) => wait = pause(wait, begun).await,
            }
            continue;
        } else if let Some((_, _, outcome)) = &held {
            subscription.settle(revision, outcome.clone());
        }
        let Some((stream, ..)) = &mut held else {
            subscription.changed.notified().await;
            continue;
        };
        let begun = Instant::now();
        tokio::select! {
            biased;
            () = subscription.changed.notified() => {}
            ended = stream.end() => {
                held = None;
                subscription.missed.store(true, Ordering::Release);
                if matches!(ended, Ended::Closed) {
                    return;
                }
                wait = pause(wait, begun).await;
            }
        }
    }
}

fn wanted(core: &Core) -> (u64, Filter) {
    let info = Arc::clone(&core.info.read());
    let wanted = core.subscription.wanted.lock();
    let filter = Filter::of(&info.capabilities, &wanted.resources);
    (wanted.revision, filter)
}

/// Whether there is no use in asking again.
fn is_final(error: &RpcError) -> bool {
    matches!(error.code, METHOD_NOT_FOUND | INVALID_PARAMS)
}

/// Waits before a stream is opened again; gives how long to wait next time.
async fn pause(wait: Duration, begun: Instant) -> Duration {
    let wait = if begun.elapsed() > LASTED {
        RETRY
    } else {
        wait
    };
    sleep(wait).await;
    (wait * 2).min(LONGEST_RETRY)
}
