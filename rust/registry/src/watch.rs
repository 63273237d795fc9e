//! Watching: every change in order, through a queue that cannot grow without end.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::{Change, Lagged};

/// How many changes a watcher may be behind, unless told otherwise.
pub const DEFAULT_QUEUE: usize = 1024;

type Wake = Box<dyn Fn() + Send>;

/// The sending half, held by the registry.
pub(crate) struct Subscription {
    service: Option<Box<str>>,
    queue: Weak<Queue>,
}

struct Queue {
    /// Guards the changes not yet read. Written to under the registry's own lock, which is what orders them.
    state: Mutex<State>,
    ready: Condvar,
    most: usize,
}

#[derive(Default)]
struct State {
    changes: VecDeque<Change>,
    missed: u64,
    wake: Option<Wake>,
}

/// Hears every change of a registry, or of one service, from the moment it was made.
///
/// A watcher that does not keep up loses changes, is told so, and should take a new snapshot. Dropping it ends
/// the watch.
pub struct Watcher {
    queue: Arc<Queue>,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("waiting", &self.len())
            .finish()
    }
}

pub(crate) fn pair(service: Option<&str>, most: usize) -> (Subscription, Watcher) {
    let most = most.max(1);
    let queue = Arc::new(Queue {
        state: Mutex::default(),
        ready: Condvar::new(),
        most,
    });
    let subscription = Subscription {
        service: service.map(Into::into),
        queue: Arc::downgrade(&queue),
    };
    (subscription, Watcher { queue })
}

impl Subscription {
    /// Hand a change on. False: nobody is listening any more.
    pub(crate) fn send(&self, change: &Change) -> bool {
        let Some(queue) = self.queue.upgrade() else {
            return false;
        };
        if self
            .service
            .as_ref()
            .is_some_and(|service| *service != change.instance.service)
        {
            return true;
        }
        let mut state = queue.state.lock();
        if state.missed > 0 || state.changes.len() == queue.most {
            // All of it: a watcher that reads on as if nothing happened would be wrong about the rest.
            state.missed += 1 + state.changes.len() as u64;
            state.changes.clear();
        } else {
            state.changes.push_back(change.clone());
        }
        if let Some(wake) = &state.wake {
            wake();
        }
        drop(state);
        queue.ready.notify_one();
        true
    }
}

impl Watcher {
    fn take(state: &mut State) -> Option<Result<Change, Lagged>> {
        if state.missed > 0 {
            let missed = std::mem::take(&mut state.missed);
            return Some(Err(Lagged { missed }));
        }
        state.changes.pop_front().map(Ok)
    }

    /// The next change, if there is one.
    pub fn try_next(&self) -> Option<Result<Change, Lagged>> {
        Self::take(&mut self.queue.state.lock())
    }

    /// The next change; waits for it until `timeout`.
    pub fn next(&self, timeout: Duration) -> Option<Result<Change, Lagged>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.queue.state.lock();
        loop {
            if let Some(next) = Self::take(&mut state) {
                return Some(next);
            }
            if self
                .queue
                .ready
                .wait_until(&mut state, deadline)
                .timed_out()
            {
                return Self::take(&mut state);
            }
        }
    }

    /// How many changes wait to be read.
    pub fn len(&self) -> usize {
        self.queue.state.lock().changes.len()
    }

    /// Whether there is nothing to read now, not even the word that changes were missed.
    pub fn is_empty(&self) -> bool {
        let state = self.queue.state.lock();
        state.changes.is_empty() && state.missed == 0
    }

    /// Have `wake` called after each change. It runs under the registry's lock: it must be quick, and must
    /// not call the registry.
    pub fn on_change(&self, wake: impl Fn() + Send + 'static) {
        self.queue.state.lock().wake = Some(Box::new(wake));
    }
}
