//! One entry at a time: looked up, set, taken out.

#![expect(
    clippy::inline_always,
    reason = "a look-up becomes one function: its parts take as long as a call of them"
)]

use std::sync::atomic::Ordering;

use backstay_cache::{CacheError, Lifetime, Spill, Terms};
use pyo3::prelude::*;

use super::CacheCore;
use super::key::Key;
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
            hash,
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
        Ok(used(locate(&self.shelf, key, hash)?, hash, now, key.py()))
    }

    /// Set an entry that costs 1, on the cache's own terms.
    #[inline]
    pub(super) fn insert_plain(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let terms = Terms {
            lifetime: self.lifetime,
            ..Terms::default()
        };
        self.insert(key, value, &terms)
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
        let (py, hash, now) = (key.py(), hash(key)?, self.now(key.py())?);
        let Located { mut shelf, place } = locate(&self.shelf, key, hash)?;
        if let Err(error) = shelf.check(terms) {
            drop(shelf);
            return raised(error);
        }
        let value = value.clone().unbind();
        // What leaves is dropped after the shelf is given back.
        let done = if let Some(place) = place {
            let replaced = shelf.replace(place, hash, value, terms, now);
            drop(shelf);
            replaced.map(|(old, left)| {
                drop(old.map(|old| old.into_bound(py)));
                drop_all(left, py);
            })
        } else {
            let entry = (Key::new(key.clone().unbind()), value);
            let inserted = shelf.insert_new(hash, entry, terms, now);
            drop(shelf);
            inserted.map(|left| drop_all(left, py))
        };
        done.or_else(raised)
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
fn used<'py>(
    located: Located<'_>,
    hash: u64,
    now: u64,
    py: Python<'py>,
) -> Option<Bound<'py, PyAny>> {
    let Located { mut shelf, place } = located;
    if let Some(value) = place.and_then(|place| shelf.hit(place, hash, now)) {
        return Some(value.bind(py).clone());
    }
    missed(shelf, now, py);
    None
}

#[inline(never)]
fn missed(mut shelf: Guard<'_, Objects>, now: u64, py: Python<'_>) {
    let left = shelf.miss(now);
    drop(shelf);
    drop_all(left, py);
}

/// Drop what left a shelf: at once, for a quick method may be calling, of whose thread PyO3 does not know that it may
/// drop objects.
#[inline]
fn drop_all(left: Spill<Key, Py<PyAny>>, py: Python<'_>) {
    if left.is_empty() {
        // Mostly. A spill that was made just now is not moved about for nothing.
        return;
    }
    for (key, value) in left {
        drop((key.object.into_bound(py), value.into_bound(py)));
    }
}

/// The exception is made where PyO3 may drop objects.
#[cold]
fn raised(error: CacheError) -> PyResult<()> {
    Python::attach(|_| Err(error).or_raise())
}
