//! One entry at a time: looked up, set, taken out.

#![expect(
    clippy::inline_always,
    reason = "a look-up becomes one function: its parts take as long as a call of them"
)]

use std::sync::atomic::Ordering;

use backstay_cache::{Inserted, Lifetime, Terms};
use pyo3::prelude::*;

use super::CacheCore;
use super::keys::{Found, Located, Objects, find, hash, locate};
use crate::attached::Guard;
use crate::errors::Raise;

impl CacheCore {
    #[inline(always)]
    pub(super) fn look_up<'py>(
        &self,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.look_up_at(key, self.now(key.py())?)
    }

    #[inline(always)]
    pub(super) fn look_up_at<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        now: u64,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let hash = hash(key)?;
        let locked = self.shelf.lock(key.py());
        let place = match find(&locked, key, hash) {
            Found::At(place) => Some(place),
            Found::Nowhere => None,
            Found::Unsure => {
                drop(locked);
                return self.ask_at(key, hash, now);
            }
        };
        Ok(used(
            Located {
                shelf: locked,
                place,
            },
            now,
            key.py(),
        ))
    }

    /// [`Self::look_up_at`] where Python must be asked which key is meant.
    #[cold]
    fn ask_at<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        hash: u64,
        now: u64,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(used(locate(&self.shelf, key, hash)?, now, key.py()))
    }

    pub(super) fn insert(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        terms: &Terms<'_>,
    ) -> PyResult<()> {
        if terms.lifetime != Lifetime::UNLIMITED {
            self.timed.store(true, Ordering::Relaxed);
        }
        let (hash, now) = (hash(key)?, self.now(key.py())?);
        // Taken before the lock: giving it up again, should the entry be refused, must happen after it.
        let entry = (key.clone().unbind(), value.clone().unbind());
        let Located { mut shelf, place } = locate(&self.shelf, key, hash)?;
        if let Err(error) = shelf.check(terms) {
            drop(shelf);
            return Err(error).or_raise();
        }
        let inserted = shelf.insert(place, hash, entry, terms, now);
        drop(shelf);
        let Inserted { replaced, left } = inserted.or_raise()?;
        drop((replaced, left));
        Ok(())
    }

    pub(super) fn take(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        let (hash, now) = (hash(key)?, self.now(key.py())?);
        let Located { mut shelf, place } = locate(&self.shelf, key, hash)?;
        let Some(place) = place else { return Ok(None) };
        let over = shelf.peek(place, now).is_none();
        let taken = shelf.remove(place);
        drop(shelf);
        Ok(taken.filter(|_| !over).map(|(_, value)| value))
    }

    pub(super) fn cost_of(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        given: Option<u64>,
    ) -> PyResult<u64> {
        match (given, &self.cost) {
            (Some(cost), _) => Ok(cost),
            (None, Some(cost)) => cost.bind(key.py()).call1((key, value))?.extract(),
            (None, None) => Ok(1),
        }
    }
}

/// Use what was found, or count that nothing was.
#[inline(always)]
fn used<'py>(located: Located<'_>, now: u64, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
    let Located { mut shelf, place } = located;
    if let Some(value) = place.and_then(|place| shelf.hit(place, now)) {
        return Some(value.bind(py).clone());
    }
    missed(shelf, now);
    None
}

#[inline(never)]
fn missed(mut shelf: Guard<'_, Objects>, now: u64) {
    let left = shelf.miss(now);
    drop(shelf);
    if !left.is_empty() {
        // A quick method may be calling, of whose thread PyO3 does not know that it may drop objects.
        Python::attach(|_| drop(left));
    }
}
