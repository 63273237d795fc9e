//! The children that `labels` made, so that asking again makes no object.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::attached::Attached;
use crate::recent::Recent;

/// How many children can be found by address; a power of two.
const NEAR: usize = 256;
/// Children of more labels than this are found by text.
const MOST: usize = 3;

/// The children of one family that were asked for lately.
///
/// Mostly they are asked for by literals, again and again by the same objects: those are compared by address
/// first. Strings that are made for each call are found by their text.
pub(super) struct Children<T> {
    /// Made with the first child. Taken for one look or one exchange.
    near: Attached<Box<[Option<Near<T>>]>>,
    by_text: Recent<Py<T>>,
}

/// A child, and the objects that it was asked for by: held, so that their addresses stay theirs.
struct Near<T> {
    values: [Option<Py<PyString>>; MOST],
    child: Py<T>,
}

impl<T> Default for Children<T> {
    fn default() -> Self {
        Self {
            near: Attached::default(),
            by_text: Recent::default(),
        }
    }
}

/// Where a child of these addresses is kept.
fn slot(addresses: [usize; MOST]) -> usize {
    // Objects are aligned, and made one behind the other.
    let mix = addresses.iter().fold(0usize, |mix, address| {
        (mix.rotate_left(7) ^ (address >> 4)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    mix >> 48 & (NEAR - 1)
}

#[inline]
fn addresses<'a, 'py: 'a>(
    values: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
) -> Option<[usize; MOST]> {
    if values.len() > MOST {
        return None;
    }
    let mut addresses = [0; MOST];
    for (address, value) in addresses.iter_mut().zip(values) {
        *address = value.as_ptr().addr();
    }
    Some(addresses)
}

impl<T: PyClass> Children<T> {
    /// The child that these very objects asked for before, if `shown` says that it is still shown.
    #[inline]
    pub(super) fn near<'a, 'py: 'a>(
        &self,
        values: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
        py: Python<'py>,
        shown: impl Fn(&Py<T>) -> bool,
    ) -> Option<Bound<'py, T>> {
        let addresses = addresses(values)?;
        let near = self.near.lock(py);
        let known = near.get(slot(addresses))?.as_ref()?;
        let held =
            |value: &Option<Py<PyString>>| value.as_ref().map_or(0, |held| held.as_ptr().addr());
        let same = (0..MOST).all(|index| held(&known.values[index]) == addresses[index]);
        (same && shown(&known.child)).then(|| known.child.bind(py).clone())
    }

    /// The child of these values, by `make` if it is new or shown no more.
    pub(super) fn get<'py>(
        &self,
        values: &[Bound<'py, PyString>],
        py: Python<'py>,
        shown: impl Fn(&Py<T>) -> bool,
        make: impl FnOnce() -> PyResult<Bound<'py, T>>,
    ) -> PyResult<Bound<'py, T>> {
        let known = |child: &Py<T>| shown(child).then(|| child.bind(py).clone());
        match self.by_text.find(values, known) {
            Ok(child) => Ok(child),
            Err(missing) => {
                let child = make()?;
                self.by_text.put(&missing, values, child.clone().unbind());
                self.keep_near(values, &child);
                Ok(child)
            }
        }
    }

    /// Have the child found by address from now on, where its values may be told apart by theirs.
    fn keep_near(&self, values: &[Bound<'_, PyString>], child: &Bound<'_, T>) {
        let exact = |value: &Bound<'_, PyString>| value.is_exact_instance_of::<PyString>();
        if values.len() > MOST || !values.iter().all(exact) {
            return;
        }
        let value = |index: usize| values.get(index);
        let addresses = std::array::from_fn(|i| value(i).map_or(0, |value| value.as_ptr().addr()));
        let near = Near {
            values: std::array::from_fn(|index| value(index).map(|value| value.clone().unbind())),
            child: child.clone().unbind(),
        };
        let mut all = self.near.lock(child.py());
        if all.is_empty() {
            *all = (0..NEAR).map(|_| None).collect();
        }
        let old = all[slot(addresses)].replace(near);
        drop(all);
        drop(old);
    }

    fn clear(&self, py: Python<'_>) {
        self.by_text.clear(py);
        let old = std::mem::take(&mut *self.near.lock(py));
        drop(old);
    }
}

/// What holds children, whatever their class.
trait Holder: Send + Sync {
    fn let_go(&self, py: Python<'_>);
}

impl<T: PyClass + Sync> Holder for Children<T> {
    fn let_go(&self, py: Python<'_>) {
        self.clear(py);
    }
}

/// Everyone who holds children of a registry's families.
#[derive(Default)]
pub(super) struct Holders(Mutex<Vec<Weak<dyn Holder>>>);

impl Holders {
    pub(super) fn add<T: PyClass + Sync>(&self, holder: &Arc<Children<T>>) {
        let mut all = self.0.lock();
        // Now and then, those that are gone: when there are twice as many as the last time.
        if all.len().is_power_of_two() {
            all.retain(|holder| holder.strong_count() > 0);
        }
        let holder = Arc::downgrade(holder);
        all.push(holder);
    }

    /// Have them let go: what only they held, nobody holds then.
    pub(super) fn let_go(&self, py: Python<'_>) {
        let all = self.0.lock().clone();
        all.iter()
            .filter_map(Weak::upgrade)
            .for_each(|holder| holder.let_go(py));
    }
}
