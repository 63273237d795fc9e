//! `backstay.cache`: the binding of `rust/cache`.
//!
//! One shelf, taken for a single operation on it (`attached.rs`), in which no Python code runs: keys are
//! compared as `keys.rs` says, and what leaves is dropped after it, because dropping may run `__del__`. Loading,
//! and the rest of the mapping, stands on this in `python/backstay/cache.py`.

mod ahead;
mod brackets;
mod entries;
mod keys;
mod quick;
mod saved;
mod stats;
mod time;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use backstay_cache::{Lifetime, Limit, Shelf, Successors, Terms};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyList;

use ahead::or_load;
use keys::{Located, Objects, hash, locate};
pub(crate) use quick::quicken_all;
pub(crate) use stats::CacheStats;
use time::lifetime;

/// A bounded cache of any objects by any hashable keys: `backstay.Cache`, which adds the rest of a mapping.
#[pyclass(frozen, weakref, mapping, subclass, module = "backstay.cache")]
pub(crate) struct CacheCore {
    /// Taken for one operation.
    shelf: Attached<Objects>,
    lifetime: Lifetime,
    /// Whether any entry was ever given a lifetime: only then anybody asks what time it is.
    timed: AtomicBool,
    began: Instant,
    timer: Option<Py<PyAny>>,
    cost: Option<Py<PyAny>>,
    /// How many keys are loaded ahead.
    ahead: usize,
    /// What followed what, where keys are loaded ahead. Taken after the shelf is given back.
    successors: Option<Attached<Successors<Py<PyAny>>>>,
}

use crate::attached::Attached;
use CacheCore as Cache;

#[pymethods]
impl CacheCore {
    #[new]
    #[pyo3(signature = (capacity, *, ttl = None, idle = None, cost = None, timer = None, ahead = 0))]
    fn new(
        capacity: u64,
        ttl: Option<f64>,
        idle: Option<f64>,
        cost: Option<Py<PyAny>>,
        timer: Option<Py<PyAny>>,
        ahead: usize,
    ) -> PyResult<Self> {
        if capacity == 0 {
            return Err(PyValueError::new_err(
                "a cache needs room for something: capacity must be at least 1",
            ));
        }
        let lifetime = lifetime(ttl, idle)?;
        let limit = if cost.is_some() {
            Limit::Cost(capacity)
        } else {
            Limit::Entries(capacity)
        };
        Ok(Self {
            shelf: Attached::new(Shelf::new(limit)),
            lifetime,
            timed: AtomicBool::new(lifetime != Lifetime::UNLIMITED),
            began: Instant::now(),
            timer,
            cost,
            ahead,
            successors: (ahead > 0).then(|| ahead::successors(capacity)),
        })
    }

    /// The value under `key`, or `default`.
    #[pyo3(signature = (key, default = None, /))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.look_up(key)?.or_else(|| default.cloned()))
    }

    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.look_up(key)?.ok_or_else(|| missing(key))
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.peek(key, None)?.is_some())
    }

    /// The value under `key`, or `default`, without counting as a use.
    #[pyo3(signature = (key, default = None, /))]
    fn peek<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let now = self.now(py)?;
        let Located { shelf, place } = locate(&self.shelf, key, hash(key)?)?;
        let found = place.and_then(|place| shelf.peek(place, now));
        Ok(found.map(|(_, value)| value.bind(py).clone()).or(default))
    }

    /// The value under `key`; if there is none, what `loader(key)` returns, which is kept.
    ///
    /// However many threads ask at once, one loads; its failure reaches all of them and is not kept.
    fn get_or_set<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        loader: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let found = slf.get().look_up(key)?;
        or_load(slf, key, loader, found)
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let terms = Terms {
            cost: self.cost_of(key, value, None)?,
            lifetime: self.lifetime,
            tags: &[],
        };
        self.insert(key, value, &terms)
    }

    /// Set an entry on its own terms: seconds it may stay, seconds it may stay unused, its cost, its tags.
    #[pyo3(signature = (key, value, *, ttl = None, idle = None, cost = None, tags = Vec::new()))]
    fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<f64>,
        idle: Option<f64>,
        cost: Option<u64>,
        tags: Vec<String>,
    ) -> PyResult<()> {
        let own = lifetime(ttl, idle)?;
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let terms = Terms {
            cost: self.cost_of(key, value, cost)?,
            lifetime: Lifetime {
                ttl_ms: own.ttl_ms.or(self.lifetime.ttl_ms),
                idle_ms: own.idle_ms.or(self.lifetime.idle_ms),
            },
            tags: &tags,
        };
        if own != Lifetime::UNLIMITED {
            self.timed.store(true, Ordering::Relaxed);
        }
        self.insert(key, value, &terms)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.take(key)?.map(drop).ok_or_else(|| missing(key))
    }

    /// The value under `key` if there is one; else set `default` and give that.
    #[pyo3(signature = (key, default = None, /))]
    fn setdefault<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(value) = self.look_up(key)? {
            return Ok(value);
        }
        let default = default.unwrap_or_else(|| key.py().None().into_bound(key.py()));
        self.__setitem__(key, &default)?;
        Ok(default)
    }

    /// Values for many keys, `default` where there is none: one crossing for all.
    #[pyo3(signature = (keys: "list[Any]", default = None, /) -> "list[Any]")]
    fn get_many<'py>(
        &self,
        keys: &Bound<'py, PyList>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = keys.py();
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        let now = self.now(py)?;
        let values = PyList::empty(py);
        for key in keys {
            let value = self.look_up_at(&key, now)?;
            values.append(value.as_ref().unwrap_or(&default))?;
        }
        Ok(values)
    }

    /// Set `values[i]` under `keys[i]` for all: one crossing.
    #[pyo3(signature = (keys: "list[Any]", values: "list[Any]"))]
    fn set_many(&self, keys: &Bound<'_, PyList>, values: &Bound<'_, PyList>) -> PyResult<()> {
        if keys.len() != values.len() {
            return Err(PyValueError::new_err(format!(
                "{} keys and {} values: there must be one value for each key",
                keys.len(),
                values.len()
            )));
        }
        keys.iter()
            .zip(values)
            .try_for_each(|(key, value)| self.__setitem__(&key, &value))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.sweep(py)?;
        Ok(self.shelf.lock(py).len())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let now = self.now(py)?;
        let keys: Vec<_> = self
            .shelf
            .lock(py)
            .iter(now)
            .map(|(_, key, _)| key.clone_ref(py))
            .collect();
        Ok(PyList::new(py, keys)?.try_iter()?.into_any())
    }

    /// Take out an entry: the one that would leave next.
    fn popitem(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        self.sweep(py)?;
        let taken = {
            let mut locked = self.shelf.lock(py);
            locked.last().and_then(|place| locked.remove(place))
        };
        taken.ok_or_else(|| PyKeyError::new_err("the cache is empty"))
    }

    /// Take everything out. What was counted, and what was learnt about keys, stays.
    fn clear(&self, py: Python<'_>) {
        let left = self.shelf.lock(py).clear();
        drop(left);
    }

    /// Take out all entries that bear this tag; says how many.
    fn invalidate(&self, py: Python<'_>, tag: &str) -> usize {
        let left = self.shelf.lock(py).invalidate(tag);
        left.len()
    }

    /// Take out all entries whose time is over; says how many.
    ///
    /// Operations do that by themselves, a few at a time.
    fn sweep(&self, py: Python<'_>) -> PyResult<usize> {
        if !self.timed.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let now = self.now(py)?;
        let left = self.shelf.lock(py).sweep(now);
        Ok(left.len())
    }

    /// Change how much the cache may hold; what has to leave leaves now.
    fn resize(&self, py: Python<'_>, capacity: u64) -> PyResult<()> {
        if capacity == 0 {
            return Err(PyValueError::new_err("capacity must be at least 1"));
        }
        let left = self.shelf.lock(py).resize(capacity);
        drop(left);
        Ok(())
    }

    /// How much the cache may hold: entries, or cost.
    #[getter]
    fn capacity(&self, py: Python<'_>) -> u64 {
        self.shelf.lock(py).stats().capacity
    }

    /// What it counted, and what it holds.
    fn stats(&self, py: Python<'_>) -> CacheStats {
        CacheStats::of(&self.shelf.lock(py))
    }

    fn _take<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(self
            .take(key)?
            .map_or(default, |value| value.into_bound(key.py())))
    }

    fn _save(&self, py: Python<'_>, path: PathBuf, dumps: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.save_to(py, path, dumps)
    }

    fn _restore(&self, py: Python<'_>, path: PathBuf, loads: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.load_from(py, path, loads)
    }

    /// Note that `key` was asked for and was not there (`missed`), or is used.
    ///
    /// Gives the keys to load ahead, if it was missed or had been loaded ahead itself: those that followed it
    /// before and are not there.
    #[pyo3(name = "_follow")]
    fn follow(&self, key: &Bound<'_, PyAny>, missed: bool) -> PyResult<Vec<Py<PyAny>>> {
        self.next_of(key, missed)
    }

    /// Note that `key` was loaded ahead.
    fn _loaded_ahead(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.note_loaded_ahead(key)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A collector that comes in the middle of an operation sees nothing of it, both times it looks: what is
        // held then just lives on.
        if let Some(shelf) = self.shelf.visit(&visit) {
            for (key, value) in shelf.held() {
                visit.call(key)?;
                visit.call(value)?;
            }
        }
        let successors = self.successors.as_ref();
        if let Some(successors) = successors.and_then(|known| known.visit(&visit)) {
            successors.keys().try_for_each(|key| visit.call(key))?;
        }
        visit.call(&self.timer)?;
        visit.call(&self.cost)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.clear(py);
        let keys = self
            .successors
            .as_ref()
            .map(|successors| successors.lock(py).clear());
        drop(keys);
    }
}

fn missing(key: &Bound<'_, PyAny>) -> PyErr {
    PyKeyError::new_err(key.clone().unbind())
}
