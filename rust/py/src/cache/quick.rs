//! Look-ups without what PyO3 puts around a call.

use pyo3::prelude::*;

use super::ahead::or_load;
use super::{CacheCore, brackets};
use crate::fast::{Answer, Arguments, none, quick, quicken_in};

quick!(Get, CacheCore, "get", get);
quick!(GetOrSet, CacheCore, "get_or_set", get_or_set);

/// Put the class with quick ways in the place of the one that PyO3 made.
pub(crate) fn quicken_all(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let class = brackets::class(module.py())?;
    quicken_in::<Get>(&class)?;
    quicken_in::<GetOrSet>(&class)?;
    module.setattr("CacheCore", class)
}

#[inline]
fn get<'py>(slf: Borrowed<'_, 'py, CacheCore>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    let (key, default) = arguments.one_or_two()?;
    let found = match slf.get().look_up(&key) {
        Ok(found) => found,
        Err(error) => return Some(Err(error)),
    };
    let default = || default.map_or_else(|| none(slf.py()), Borrowed::to_owned);
    Some(Ok(found.unwrap_or_else(default)))
}

#[inline]
fn get_or_set<'py>(
    slf: Borrowed<'_, 'py, CacheCore>,
    arguments: Arguments<'_, 'py>,
) -> Answer<'py> {
    let [key, loader] = arguments.exactly()?;
    let cache = slf.get();
    match cache.look_up(&key) {
        Ok(Some(value)) if cache.ahead == 0 => Some(Ok(value)),
        // What follows may drop objects, as PyO3 lets it where it knows of the thread.
        Ok(found) => Some(Python::attach(|_| or_load(&slf, &key, &loader, found))),
        Err(error) => Some(Err(error)),
    }
}
