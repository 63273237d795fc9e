//! Comparing texts, with no object made and nobody's code run: fit for the middle of an operation.

use pyo3::ffi;
use pyo3::prelude::*;

/// Whether two texts are equal, asked of their type itself: the long way through any object's `==` costs nearly as
/// much again as comparing, and so does an answer that is an object.
#[inline]
#[expect(
    unsafe_code,
    reason = "PyO3 has no comparison of texts that copies neither"
)]
pub(crate) fn same_text(other: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the GIL is held and both are `str`. It fails only for what is none, and then clears up after it.
    unsafe {
        let order = ffi::PyUnicode_Compare(other.as_ptr(), key.as_ptr());
        if order < 0 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
        }
        order == 0
    }
}
