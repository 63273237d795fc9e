//! What was asked for lately, by the strings that it was asked by.
//!
//! Python asks for the same things again and again, mostly with the very same string objects. To find an answer
//! here makes no object and decodes no text. What is kept may be out of date: who puts it in says how to tell.
//! Strings are kept alive with their answers, so an address is one string's for as long.

use crate::attached::Attached;
use crate::text::same_text;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Two answers fit in each set; which set is a matter of the strings' hash. The oldest of a set goes for the next.
const SETS: usize = 256;

pub(crate) struct Recent<T> {
    /// Made by the first answer. Taken for one look or one exchange.
    sets: Attached<Box<[Set<T>]>>,
}

type Set<T> = [Option<Entry<T>>; 2];

struct Entry<T> {
    hash: usize,
    strings: Box<[Py<PyString>]>,
    answer: T,
}

/// Where an answer goes that was not found.
pub(crate) struct Missing(Option<usize>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            sets: Attached::default(),
        }
    }
}

fn same(known: &Py<PyString>, asked: &Bound<'_, PyString>) -> bool {
    let known = known.bind(asked.py());
    // Strings that are none would make an exception of `to_str`, and that a garbage collection.
    known.is(asked) || same_text(known, asked)
}

/// `None` where a string could hash and compare as it likes.
fn hash(strings: &[Bound<'_, PyString>]) -> Option<usize> {
    strings.iter().try_fold(0usize, |mix, string| {
        if !string.is_exact_instance_of::<PyString>() {
            return None;
        }
        let hash = string.hash().ok()?;
        Some((mix.rotate_left(5) ^ hash.cast_unsigned()).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    })
}

impl<T> Recent<T> {
    /// What `read` makes of the answer to these strings, if it is known and `read` does not find it out of date.
    pub(crate) fn find<R>(
        &self,
        strings: &[Bound<'_, PyString>],
        read: impl FnOnce(&T) -> Option<R>,
    ) -> Result<R, Missing> {
        let hash = hash(strings).ok_or(Missing(None))?;
        let missing = || Missing(Some(hash));
        let py = strings.first().ok_or(Missing(None))?.py();
        let sets = self.sets.lock(py);
        let set = sets.get((hash >> 32) % SETS).ok_or_else(missing)?;
        let entry = set.iter().flatten().find(|entry| {
            entry.hash == hash
                && entry.strings.len() == strings.len()
                && entry
                    .strings
                    .iter()
                    .zip(strings)
                    .all(|(known, asked)| same(known, asked))
        });
        entry
            .and_then(|entry| read(&entry.answer))
            .ok_or_else(missing)
    }

    /// Keep an answer that was not found.
    pub(crate) fn put(&self, missing: &Missing, strings: &[Bound<'_, PyString>], answer: T) {
        let (Some(hash), Some(first)) = (missing.0, strings.first()) else {
            return;
        };
        let py = first.py();
        let strings = strings.iter().map(|string| string.clone().unbind());
        let mut next = Some(Entry {
            hash,
            strings: strings.collect(),
            answer,
        });
        let mut sets = self.sets.lock(py);
        if sets.is_empty() {
            *sets = (0..SETS).map(|_| [None, None]).collect();
        }
        // It takes the place of an outdated answer to the same, or else pushes the oldest out.
        for entry in &mut sets[(hash >> 32) % SETS] {
            std::mem::swap(entry, &mut next);
            if next.as_ref().is_none_or(|old| old.hash == hash) {
                break;
            }
        }
        drop(sets);
        // What goes is dropped here: that may run Python code.
    }

    /// Forget every answer.
    pub(crate) fn clear(&self, py: Python<'_>) {
        let old = std::mem::take(&mut *self.sets.lock(py));
        drop(old);
    }
}
