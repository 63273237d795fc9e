//! Comparing texts, with no object made and nobody's code run: fit for the middle of an operation.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBool;

/// Whether two texts are equal, asked of their type itself: the long way through any object's `==` costs nearly as
/// much again as comparing.
#[inline]
#[expect(
    unsafe_code,
    reason = "PyO3 has no comparison of texts that copies neither"
)]
pub(crate) fn same_text(other: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the GIL is held and both are `str`; the answer is `True`, `False` or an error, and ours.
    let answer = unsafe {
        let answer = ffi::PyUnicode_RichCompare(other.as_ptr(), key.as_ptr(), ffi::Py_EQ);
        Bound::from_owned_ptr_or_err(key.py(), answer)
    };
    answer.is_ok_and(|answer| answer.is(&*PyBool::new(key.py(), true)))
}
