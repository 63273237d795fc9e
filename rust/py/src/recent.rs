//! What was asked for lately, by the strings that it was asked by.
//!
//! Python asks for the same things again and again, mostly with the very same string objects. To find an answer
//! here makes no object, decodes no text and waits for nobody. What is kept may be out of date: who puts it in
//! says how to tell. Strings are kept alive with their answers, so an address is one string's for as long.

use std::sync::OnceLock;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Two answers fit in each set; which set is a matter of the strings' hash. The oldest of a set goes for the next.
const SETS: usize = 256;

pub(crate) struct Recent<T> {
    /// Made by the first answer. The lock guards one look or one exchange; who does not get it at once goes and
    /// asks where the answers come from.
    sets: OnceLock<Box<[Mutex<Set<T>>]>>,
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
            sets: OnceLock::new(),
        }
    }
}

fn same(known: &Py<PyString>, asked: &Bound<'_, PyString>) -> bool {
    let known = known.bind(asked.py());
    known.is(asked) || matches!((known.to_str(), asked.to_str()), (Ok(a), Ok(b)) if a == b)
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
        let sets = self.sets.get().ok_or_else(missing)?;
        let set = sets[(hash >> 32) % SETS].try_lock().ok_or_else(missing)?;
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
        let Some(hash) = missing.0 else { return };
        let sets = self
            .sets
            .get_or_init(|| (0..SETS).map(|_| Mutex::new([None, None])).collect());
        let strings = strings.iter().map(|string| string.clone().unbind());
        let mut next = Some(Entry {
            hash,
            strings: strings.collect(),
            answer,
        });
        let mut set = sets[(hash >> 32) % SETS].lock();
        // It takes the place of an outdated answer to the same, or else pushes the oldest out.
        for entry in set.iter_mut() {
            std::mem::swap(entry, &mut next);
            if next.as_ref().is_none_or(|old| old.hash == hash) {
                break;
            }
        }
        drop(set);
        // What goes is dropped here, when the lock is free again.
    }

    /// Forget every answer.
    pub(crate) fn clear(&self) {
        for set in self.sets.get().into_iter().flatten() {
            let old = std::mem::take(&mut *set.lock());
            drop(old);
        }
    }
}
