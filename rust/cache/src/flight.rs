//! One loading at a time for each key: the first who misses loads, the others wait for what comes of it.
//!
//! A loading that ends without a word (its thread panicked, its future was dropped) wakes those who wait, and the
//! first of them loads instead. Waiting threads sleep on a condition; waiting futures leave a waker. There are
//! never more flights than loaders running.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hashbrown::HashTable;
use parking_lot::{Condvar, Mutex};

/// What a loading came to, for all who wait. The errors of different loaders may differ in type.
pub(crate) type Loaded<V> = Result<V, Arc<dyn Any + Send + Sync>>;

enum State<V> {
    Flying { waiting: Vec<Waker> },
    Landed(Loaded<V>),
    Lost,
}

/// One loading under way.
pub(crate) struct Flight<V> {
    /// Guards the outcome and who waits for it, for a few instructions at a time.
    state: Mutex<State<V>>,
    ended: Condvar,
}

impl<V: Clone> Flight<V> {
    fn new() -> Self {
        let waiting = Vec::new();
        Self {
            state: Mutex::new(State::Flying { waiting }),
            ended: Condvar::new(),
        }
    }

    fn end(&self, state: State<V>) {
        let before = std::mem::replace(&mut *self.state.lock(), state);
        self.ended.notify_all();
        if let State::Flying { waiting } = before {
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Wait for it on this thread; `None` if it was lost.
    pub(crate) fn wait(&self) -> Option<Loaded<V>> {
        let mut state = self.state.lock();
        loop {
            match &*state {
                State::Flying { .. } => self.ended.wait(&mut state),
                State::Landed(loaded) => return Some(loaded.clone()),
                State::Lost => return None,
            }
        }
    }

    /// Wait for it as a future; `None` if it was lost.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Option<Loaded<V>>> {
        match &mut *self.state.lock() {
            State::Flying { waiting } => {
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
            State::Landed(loaded) => Poll::Ready(Some(loaded.clone())),
            State::Lost => Poll::Ready(None),
        }
    }
}

type Named<K, V> = (u64, K, Arc<Flight<V>>);

/// All loadings of one cache.
pub(crate) struct Flights<K, V> {
    /// Guards the table, for one operation on it. One lock for all shards: it is taken on misses only, and a miss
    /// costs a loading.
    flying: Mutex<HashTable<Named<K, V>>>,
}

/// Who loads.
pub(crate) enum Boarding<'a, K: Eq, V: Clone> {
    /// The one who asked.
    Ours(Ticket<'a, K, V>),
    /// Somebody else, already.
    Theirs(Arc<Flight<V>>),
}

/// The duty to load. Dropped without [`Ticket::land`], the loading is lost and another may begin.
pub(crate) struct Ticket<'a, K: Eq, V: Clone> {
    flights: &'a Flights<K, V>,
    hash: u64,
    flight: Arc<Flight<V>>,
}

impl<K: Eq, V: Clone> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            flying: Mutex::new(HashTable::new()),
        }
    }

    /// Begin to load `key`, or find who does.
    pub(crate) fn board(&self, key: &K, hash: u64) -> Boarding<'_, K, V>
    where
        K: Clone,
    {
        let mut flying = self.flying.lock();
        if let Some((_, _, flight)) = flying.find(hash, |(_, other, _)| other == key) {
            return Boarding::Theirs(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::new());
        flying.insert_unique(hash, (hash, key.clone(), Arc::clone(&flight)), |named| {
            named.0
        });
        Boarding::Ours(Ticket {
            flights: self,
            hash,
            flight,
        })
    }

    fn leave(&self, hash: u64, flight: &Arc<Flight<V>>) {
        let left = {
            let mut flying = self.flying.lock();
            match flying.find_entry(hash, |(_, _, other)| Arc::ptr_eq(other, flight)) {
                Ok(entry) => Some(entry.remove().0),
                Err(_) => None,
            }
        };
        // After the lock: dropping a key may run code of its own.
        drop(left);
    }
}

impl<K: Eq, V: Clone> Ticket<'_, K, V> {
    /// Tell everyone what came of it.
    pub(crate) fn land(self, loaded: Loaded<V>) {
        self.flights.leave(self.hash, &self.flight);
        self.flight.end(State::Landed(loaded));
    }
}

impl<K: Eq, V: Clone> Drop for Ticket<'_, K, V> {
    fn drop(&mut self) {
        self.flights.leave(self.hash, &self.flight);
        let flying = matches!(*self.flight.state.lock(), State::Flying { .. });
        if flying {
            self.flight.end(State::Lost);
        }
    }
}
