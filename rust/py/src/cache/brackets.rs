//! `cache[key]` without what PyO3 puts around a call.
//!
//! A method can be put in the place of another (`fast.rs`); a slot of a class that is made cannot. So the class that
//! Python knows stands on PyO3's and has nothing of its own but this slot, and the quick methods. What `fast.rs`
//! says of quick methods holds here too; and it is tested as they are.

#![expect(unsafe_code, reason = "the interpreter's calling convention")]

use std::ffi::c_void;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::{CacheCore, missing};
use crate::fast::{panicked, raise};

/// The class of caches, with the slot.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let base = py.get_type::<CacheCore>();
    let bases = PyTuple::new(py, [&base])?;
    // SAFETY: a class; this slot of it is a text, and lives as long as it.
    let documentation = unsafe { ffi::PyType_GetSlot(base.as_type_ptr(), ffi::Py_tp_doc) };
    let slot = |slot, pfunc| ffi::PyType_Slot { slot, pfunc };
    let mut slots = [
        slot(ffi::Py_tp_doc, documentation),
        slot(ffi::Py_mp_subscript, subscript as *mut c_void),
        slot(0, ptr::null_mut()),
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"backstay.cache.CacheCore".as_ptr(),
        // As large as an instance of the base, and freed and looked through as one.
        basicsize: 0,
        itemsize: 0,
        flags: u32::try_from(ffi::Py_TPFLAGS_DEFAULT)?,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the slots are what their numbers say, ended by a zero, and the base allows it.
    let class = unsafe {
        let class = ffi::PyType_FromSpecWithBases(&raw mut spec, bases.as_ptr());
        Bound::from_owned_ptr_or_err(py, class)?
    };
    Ok(class.cast_into::<PyType>()?)
}

/// What the interpreter calls for `cache[key]`.
unsafe extern "C" fn subscript(
    slf: *mut ffi::PyObject,
    key: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls this attached, for an instance of the class, with an object that its caller holds.
    let (py, slf, key) = unsafe {
        let py = Python::assume_attached();
        let slf = Borrowed::from_ptr(py, slf).cast_unchecked::<CacheCore>();
        (py, slf, Borrowed::from_ptr(py, key))
    };
    match panic::catch_unwind(AssertUnwindSafe(|| slf.get().look_up(&key))) {
        Ok(Ok(Some(value))) => value.into_ptr(),
        // What is dropped with an exception is dropped as PyO3 lets it where it knows of the thread.
        Ok(Ok(None)) => Python::attach(|py| raise(py, missing(&key))),
        Ok(Err(error)) => raise(py, error),
        Err(payload) => panicked(py, &*payload),
    }
}
