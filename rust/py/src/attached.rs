//! What only an attached thread touches: exclusive as long as the interpreter runs one thread at a time.
//!
//! A lock costs two atomic operations, a third of what a whole look-up takes. Here the interpreter's own lock is
//! the lock: it is given up only where Python code runs or where we detach, and neither may happen while a
//! [`Guard`] lives. A guard that is taken while another lives is a mistake of ours; it is caught by a flag, and not
//! undefined, because the flag too is only touched by an attached thread.
//!
//! An interpreter that runs threads side by side would break this. Wheels for the stable ABI do not load on one;
//! the module says besides that it needs the lock (`gil_used`), and [`demand_lock`] refuses where it is off.
//! Tested by all that tests the structures, under valgrind with `tools/memcheck`.

#![expect(
    unsafe_code,
    reason = "exclusion by the interpreter's lock, which the compiler does not know"
)]

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

/// A value that only attached threads reach.
#[derive(Default)]
pub(crate) struct Attached<T> {
    taken: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: both cells are touched by attached threads only, and of those one runs at a time.
unsafe impl<T: Send> Sync for Attached<T> {}

/// Exclusive use of the value. It stays on its thread, and no Python code may run while it lives.
pub(crate) struct Guard<'a, T> {
    of: &'a Attached<T>,
    /// Neither sent nor shared, so it cannot be taken where the thread is detached.
    stays: PhantomData<*const ()>,
}

impl<T> Attached<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            taken: Cell::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, for as long as the guard lives.
    #[inline]
    pub(crate) fn lock(&self, _: Python<'_>) -> Guard<'_, T> {
        self.take().unwrap_or_else(|| twice())
    }

    /// The value for a garbage collector, unless it came while somebody had it.
    pub(crate) fn visit(&self, _: &PyVisit<'_>) -> Option<Guard<'_, T>> {
        self.take()
    }

    #[inline]
    fn take(&self) -> Option<Guard<'_, T>> {
        (!self.taken.replace(true)).then_some(Guard {
            of: self,
            stays: PhantomData,
        })
    }
}

#[cold]
#[inline(never)]
#[expect(clippy::panic, reason = "a mistake of ours that must not go on")]
fn twice() -> ! {
    panic!("Python code ran, or the thread detached, in the middle of an operation on a structure")
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.of.taken.set(false);
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: one guard at a time, by the flag.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard itself is borrowed exclusively.
        unsafe { &mut *self.of.value.get() }
    }
}

/// Whether only one reference to an object is left: then whoever asks has it.
#[inline]
pub(crate) fn alone<T>(object: &Py<T>, _: Python<'_>) -> bool {
    // SAFETY: it is an object, and attached threads alone count its references.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

/// Refuse an interpreter that runs threads side by side.
pub(crate) fn demand_lock(py: Python<'_>) -> PyResult<()> {
    let sys = py.import("sys")?;
    let Some(enabled) = sys.getattr_opt("_is_gil_enabled")? else {
        return Ok(());
    };
    if enabled.call0()?.is_truthy()? {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "backstay needs the interpreter's lock: start Python with PYTHON_GIL=1",
    ))
}
