//! A key as a shelf holds it: the object, and where its characters are if it is a text that was compared.

#![expect(
    clippy::inline_always,
    reason = "a look-up becomes one function: its parts take as long as a call of them"
)]

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

use crate::text::{Ascii, same_text};

/// A key on a shelf. With its value it takes 24 bytes.
pub(crate) struct Key {
    pub(crate) object: Py<PyAny>,
    /// Learnt when it was first equal to another object, for most keys are looked up by other objects or by none.
    ascii: Cell<Ascii>,
}

impl Key {
    pub(super) fn new(object: Py<PyAny>) -> Self {
        Self {
            object,
            ascii: Cell::new(Ascii::Unknown),
        }
    }

    /// Whether it is equal to another key, where that can be told without running anybody's code.
    #[inline(always)]
    pub(super) fn is_same(&self, key: &Bound<'_, PyAny>) -> Option<bool> {
        let object = self.object.bind(key.py());
        if object.is(key) {
            return Some(true);
        }
        if let ascii @ Ascii::At { .. } = self.ascii.get()
            && key.is_exact_instance_of::<PyString>()
            && let Some(same) = ascii.is_same(object, key)
        {
            return Some(same);
        }
        self.is_same_value(key)
    }

    /// [`Self::is_same`] of two objects of which nothing is known.
    #[inline(never)]
    fn is_same_value(&self, key: &Bound<'_, PyAny>) -> Option<bool> {
        let object = self.object.bind(key.py());
        if object.get_type_ptr() != key.get_type_ptr() {
            return None;
        }
        if key.is_exact_instance_of::<PyString>() {
            let same = same_text(object, key);
            if same && matches!(self.ascii.get(), Ascii::Unknown) {
                self.ascii.set(Ascii::of(object));
            }
            return Some(same);
        }
        let plain = key.is_exact_instance_of::<PyInt>() || key.is_exact_instance_of::<PyBytes>();
        plain.then(|| object.eq(key).unwrap_or(false))
    }
}
