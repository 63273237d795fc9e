//! Loading ahead: what followed what before is what will be asked for next.

use backstay_cache::Successors;
use pyo3::prelude::*;

use super::CacheCore;
use super::keys::hash;
use crate::attached::Attached;

/// What a cache of this capacity remembers: a few times what it holds, for it is those not held that matter.
pub(super) fn successors(capacity: u64) -> Attached<Successors<Py<PyAny>>> {
    const MOST: u64 = 1 << 20;
    let known = usize::try_from(capacity.saturating_mul(4).min(MOST)).unwrap_or(usize::MAX);
    Attached::new(Successors::new(known))
}

/// What `get_or_set` gives once it has looked: what was `found`, or what is loaded, and what may follow is loaded
/// too.
pub(super) fn or_load<'py>(
    slf: &Bound<'py, CacheCore>,
    key: &Bound<'py, PyAny>,
    loader: &Bound<'py, PyAny>,
    found: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(value) = found else {
        return slf.call_method1("_load", (key, loader));
    };
    let cache = slf.get();
    if cache.ahead > 0 {
        let next = cache.next_of(key, false)?;
        if !next.is_empty() {
            slf.call_method1("_load_ahead", (next, loader))?;
        }
    }
    Ok(value)
}

impl CacheCore {
    /// `_follow`.
    pub(super) fn next_of(&self, key: &Bound<'_, PyAny>, missed: bool) -> PyResult<Vec<Py<PyAny>>> {
        let (py, hash) = (key.py(), hash(key)?);
        let Some(successors) = &self.successors else {
            return Ok(Vec::new());
        };
        let mut locked = successors.lock(py);
        if !missed && !locked.was_ahead(hash) {
            return Ok(Vec::new());
        }
        let forgotten = locked.missed(hash, || key.clone().unbind());
        let next: Vec<_> = locked
            .after(hash, self.ahead)
            .into_iter()
            .map(|(_, key)| key.clone_ref(py))
            .collect();
        drop(locked);
        drop(forgotten);
        let mut absent = Vec::with_capacity(next.len());
        for key in next {
            if self.peek(key.bind(py), None)?.is_none() {
                absent.push(key);
            }
        }
        Ok(absent)
    }

    /// `_loaded_ahead`.
    pub(super) fn note_loaded_ahead(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, hash) = (key.py(), hash(key)?);
        if let Some(successors) = &self.successors {
            successors.lock(py).loaded_ahead(hash);
        }
        Ok(())
    }
}
