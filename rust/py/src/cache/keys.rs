//! Python's keys on a Rust shelf: any hashable, with Python's own hash and equality.
//!
//! Equality may run anybody's code, which may use this very cache, so no lock is held while it runs: what can be
//! decided without (the same object; text, bytes and numbers of exactly these types) is decided under the lock,
//! all else after it, and then the entry is looked for again by identity.

#![expect(
    clippy::inline_always,
    reason = "a look-up becomes one function: its parts take as long as a call of them"
)]

use crate::attached::{Attached, Guard};
use crate::text::same_text;
use backstay_cache::{Place, Shelf};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

/// A shelf of Python's objects.
pub(crate) type Objects = Shelf<Py<PyAny>, Py<PyAny>>;

/// How many keys of one hash a look-up compares in Python; more of them are no accident.
const MOST_COMPARED: usize = 1000;

/// The shelf under its lock, and where the key was found on it.
pub(crate) struct Located<'a> {
    pub(crate) shelf: Guard<'a, Objects>,
    pub(crate) place: Option<Place>,
}

/// Python's hash, mixed: a shelf wants all bits to tell, and `hash(1)` is 1.
#[inline]
pub(crate) fn hash(key: &Bound<'_, PyAny>) -> PyResult<u64> {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let product =
        u128::from(key.hash()?.cast_unsigned() as u64 ^ ODD) * u128::from(ODD.rotate_left(32) | 1);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    Ok((product as u64) ^ (product >> 64) as u64)
}

/// Where a key is, as far as that can be told without running anybody's code.
pub(crate) enum Found {
    At(Place),
    Nowhere,
    /// Python must be asked whether it is the same as another one: [`locate`] does.
    Unsure,
}

/// Find `key` on a locked shelf.
#[inline(always)]
pub(crate) fn find(shelf: &Objects, key: &Bound<'_, PyAny>, hash: u64) -> Found {
    let mut unsure = false;
    let place = shelf.find(hash, |other| {
        same(other.bind(key.py()), key).unwrap_or_else(|| {
            unsure = true;
            false
        })
    });
    match place {
        Some(place) => Found::At(place),
        None if unsure => Found::Unsure,
        None => Found::Nowhere,
    }
}

/// Lock the shelf and find `key` on it.
#[inline]
pub(crate) fn locate<'a>(
    shelf: &'a Attached<Objects>,
    key: &Bound<'_, PyAny>,
    hash: u64,
) -> PyResult<Located<'a>> {
    let locked = shelf.lock(key.py());
    let place = match find(&locked, key, hash) {
        Found::At(place) => Some(place),
        Found::Nowhere => None,
        Found::Unsure => {
            drop(locked);
            return ask(shelf, key, hash);
        }
    };
    Ok(Located {
        shelf: locked,
        place,
    })
}

/// Find `key` where Python must be asked.
#[cold]
#[inline(never)]
fn ask<'a>(
    shelf: &'a Attached<Objects>,
    key: &Bound<'_, PyAny>,
    hash: u64,
) -> PyResult<Located<'a>> {
    let py = key.py();
    // Held, so that no other key takes the address of one that was compared.
    let mut different: Vec<Py<PyAny>> = Vec::new();
    while different.len() < MOST_COMPARED {
        let mut unsure = None;
        let locked = shelf.lock(py);
        let place = locked.find(hash, |other| {
            same(other.bind(py), key).unwrap_or_else(|| {
                if !different.iter().any(|known| known.is(other)) {
                    unsure.get_or_insert_with(|| other.clone_ref(py));
                }
                false
            })
        });
        let Some(other) = unsure.filter(|_| place.is_none()) else {
            return Ok(Located {
                shelf: locked,
                place,
            });
        };
        drop(locked);
        if other.bind(py).eq(key)? {
            let locked = shelf.lock(py);
            let place = locked.find(hash, |known| known.is(&other));
            if place.is_some() {
                return Ok(Located {
                    shelf: locked,
                    place,
                });
            }
            // It left while it was compared; another may have come.
        }
        different.push(other);
    }
    Err(PyRuntimeError::new_err(format!(
        "more than {MOST_COMPARED} different keys have one hash: their __hash__ is not good enough for a cache"
    )))
}

/// Whether two keys are equal, where that can be told without running anybody's code.
#[inline(always)]
fn same(other: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>) -> Option<bool> {
    if other.is(key) {
        Some(true)
    } else {
        same_value(other, key)
    }
}

/// [`same`] of two objects.
#[inline(never)]
fn same_value(other: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>) -> Option<bool> {
    if other.get_type_ptr() != key.get_type_ptr() {
        return None;
    }
    if key.is_exact_instance_of::<PyString>() {
        return Some(same_text(other, key));
    }
    let plain = key.is_exact_instance_of::<PyInt>() || key.is_exact_instance_of::<PyBytes>();
    plain.then(|| other.eq(key).unwrap_or(false))
}
