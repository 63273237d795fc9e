//! Watching: every change in order, through a queue that cannot grow without end.
//!
//! When a queue is full, all that waits in it is dropped and the watcher is told how much it missed: reading on
//! as if nothing had happened, it would be wrong about the rest.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ahash::RandomState;
use parking_lot::{Condvar, Mutex};

use crate::{Change, Lagged};

/// How many changes a watcher may be behind, unless told otherwise.
pub const DEFAULT_QUEUE: usize = 1024;

type Wake = Box<dyn Fn() + Send>;

/// The sending half, held by the registry.
pub(crate) struct Subscription(Weak<Queue>);

/// Everyone who listens. A change costs what its own listeners cost, not all of them.
#[derive(Default)]
pub(crate) struct Watchers {
    of_all: Vec<Subscription>,
    of_one: HashMap<Box<str>, Vec<Subscription>, RandomState>,
    /// How many there were when those that are gone were last looked for.
    swept: usize,
    len: usize,
}

impl Watchers {
    pub(crate) fn add(&mut self, service: Option<&str>, subscription: Subscription) {
        // Amortised: each is looked at a constant number of times.
        if self.len >= 2 * self.swept + 16 {
            self.sweep();
        }
        self.len += 1;
        match service {
            None => self.of_all.push(subscription),
            Some(service) => {
                let of_it = self.of_one.entry(service.into()).or_default();
                of_it.push(subscription);
            }
        }
    }

    /// Hand a change of `service` on. Those that are gone are forgotten here.
    pub(crate) fn tell(&mut self, service: &str, change: impl FnOnce() -> Change) {
        if self.len == 0 {
            return;
        }
        let change = change();
        let mut gone = 0;
        let mut send = |subscription: &mut Subscription| {
            let listens = subscription.send(&change);
            gone += usize::from(!listens);
            listens
        };
        self.of_all.retain_mut(&mut send);
        if let Some(of_it) = self.of_one.get_mut(service) {
            of_it.retain_mut(&mut send);
            if of_it.is_empty() {
                self.of_one.remove(service);
            }
        }
        self.len -= gone;
    }

    /// Forget those that are gone, also of services that nothing happens to.
    fn sweep(&mut self) {
        let listens = |subscription: &Subscription| subscription.0.strong_count() > 0;
        self.of_all.retain(listens);
        self.of_one.retain(|_, of_it| {
            of_it.retain(listens);
            !of_it.is_empty()
        });
        self.len = self.of_all.len() + self.of_one.values().map(Vec::len).sum::<usize>();
        self.swept = self.len;
    }
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

pub(crate) fn pair(most: usize) -> (Subscription, Watcher) {
    let most = most.max(1);
    let queue = Arc::new(Queue {
        state: Mutex::default(),
        ready: Condvar::new(),
        most,
    });
    (Subscription(Arc::downgrade(&queue)), Watcher { queue })
}

impl Subscription {
    /// Hand a change on. False: nobody is listening any more.
    fn send(&self, change: &Change) -> bool {
        let Some(queue) = self.0.upgrade() else {
            return false;
        };
        let mut state = queue.state.lock();
        if state.missed > 0 || state.changes.len() == queue.most {
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
