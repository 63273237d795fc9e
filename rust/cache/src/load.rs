//! Get or load: what a cache does when it has not got it. Once for each miss, however many ask.

use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::cache::Cache;
use crate::flight::{Boarding, Loaded, Ticket};

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// The value under a key, or what `loader` makes of it. However many ask at once, one loads: its value is for
    /// all, and so is its failure, which is not kept.
    ///
    /// A loader that asks for its own key would wait for itself: it must not.
    pub fn get_or_load<E>(
        &self,
        key: &K,
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Arc<E>>
    where
        E: Send + Sync + 'static,
    {
        let mut value = self.get(key);
        loop {
            if let Some(value) = value {
                return Ok(value);
            }
            match self.flights.board(key, self.hash(key)) {
                Boarding::Ours(ticket) => {
                    // Whoever landed between the look-up and here has left a value behind.
                    let outcome = match self.peek(key) {
                        Some(value) => Ok(value),
                        None => loader().map_err(Arc::new),
                    };
                    return self.land(ticket, key, outcome);
                }
                Boarding::Theirs(flight) => {
                    if let Some(outcome) = flight.wait().and_then(ours) {
                        return outcome;
                    }
                }
            }
            value = self.peek(key);
        }
    }

    /// [`Self::get_or_load`] for futures. When the future that loads is dropped, the next one that waits loads.
    pub async fn get_or_load_async<E, F>(
        &self,
        key: &K,
        loader: impl FnOnce() -> F,
    ) -> Result<V, Arc<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>>,
    {
        let mut value = self.get(key);
        loop {
            if let Some(value) = value {
                return Ok(value);
            }
            match self.flights.board(key, self.hash(key)) {
                Boarding::Ours(ticket) => {
                    let outcome = match self.peek(key) {
                        Some(value) => Ok(value),
                        None => loader().await.map_err(Arc::new),
                    };
                    return self.land(ticket, key, outcome);
                }
                Boarding::Theirs(flight) => {
                    let outcome = poll_fn(|context| flight.poll(context)).await;
                    if let Some(outcome) = outcome.and_then(ours) {
                        return outcome;
                    }
                }
            }
            value = self.peek(key);
        }
    }

    fn land<E>(
        &self,
        ticket: Ticket<'_, K, V>,
        key: &K,
        outcome: Result<V, Arc<E>>,
    ) -> Result<V, Arc<E>>
    where
        E: Send + Sync + 'static,
    {
        match &outcome {
            Ok(value) => {
                // An entry too large to keep is still an answer.
                let _ = self.insert(key.clone(), value.clone());
                ticket.land(Ok(value.clone()));
            }
            Err(error) => ticket.land(Err(Arc::clone(error) as _)),
        }
        outcome
    }
}

/// What somebody else's loading says to one who expects errors of type `E`. A failure of another type comes from
/// another kind of loader: `None`, load for ourselves.
fn ours<V, E: Send + Sync + 'static>(outcome: Loaded<V>) -> Option<Result<V, Arc<E>>> {
    match outcome {
        Ok(value) => Some(Ok(value)),
        Err(error) => error.downcast().ok().map(Err),
    }
}
