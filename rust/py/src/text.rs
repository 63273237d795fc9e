//! Comparing texts, with no object made and nobody's code run: fit for the middle of an operation.

#![expect(
    clippy::inline_always,
    reason = "part of a look-up that takes as long as a call"
)]

use std::ptr::NonNull;
use std::slice;

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

/// Where the characters of an ASCII text are, learnt once, so that comparing it asks only the other one.
///
/// Python keeps an ASCII text as the bytes of its UTF-8, for as long as the object lives. For another text it would
/// make them, and keep them with the object: so no other is asked for its.
#[derive(Clone, Copy)]
pub(crate) enum Ascii {
    /// Nobody has asked yet.
    Unknown,
    /// It is none, or stands in no place that is worth noting.
    Elsewhere,
    /// So many bytes, so far from the object's beginning.
    At { offset: u16, length: u32 },
}

#[expect(
    unsafe_code,
    reason = "the interpreter lends its bytes by pointer; what says so is in its documentation"
)]
impl Ascii {
    /// Find out where the characters of a `str` are.
    #[cold]
    #[inline(never)]
    pub(crate) fn of(text: &Bound<'_, PyAny>) -> Self {
        let Some((bytes, length)) = ascii(text).then(|| utf8(text)).flatten() else {
            return Self::Elsewhere;
        };
        let offset = bytes.addr().get().wrapping_sub(text.as_ptr().addr());
        match (u16::try_from(offset), u32::try_from(length)) {
            (Ok(offset), Ok(length)) => Self::At { offset, length },
            _ => Self::Elsewhere,
        }
    }

    /// Whether `text`, of which this was learnt, and `other` are equal; both are `str`. `None` where that has to be
    /// asked of Python.
    #[inline(always)]
    pub(crate) fn is_same(self, text: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> Option<bool> {
        let Self::At { offset, length } = self else {
            return None;
        };
        let (other, count) = utf8(other)?;
        if count != length as usize {
            return Some(false);
        }
        // SAFETY: this is where Python said that so many bytes of `text` are, and it and `other` live, unchanged,
        // as long as the objects, which our caller holds.
        let (text, other) = unsafe {
            let text = text.as_ptr().byte_add(offset.into()).cast::<u8>();
            (
                slice::from_raw_parts(text, count),
                slice::from_raw_parts(other.as_ptr(), count),
            )
        };
        Some(same_bytes(text, other))
    }
}

/// The UTF-8 of a `str`, made where there is none yet. `None` for halves of surrogate pairs.
#[inline(always)]
#[expect(unsafe_code, reason = "PyO3 makes an exception of what has none")]
fn utf8(text: &Bound<'_, PyAny>) -> Option<(NonNull<u8>, usize)> {
    let mut length = 0;
    // SAFETY: attached, and it is a `str`; else Python would say so by an error.
    let bytes = unsafe { ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &raw mut length) };
    let Some(bytes) = NonNull::new(bytes.cast_mut().cast()) else {
        drop(PyErr::take(text.py()));
        return None;
    };
    Some((bytes, length.unsigned_abs()))
}

/// Whether a `str` is ASCII: its UTF-8 is no longer than it. The UTF-8 is made and thrown away.
#[expect(unsafe_code, reason = "PyO3 has no length of a text in characters")]
fn ascii(text: &Bound<'_, PyAny>) -> bool {
    // SAFETY: attached, and it is a `str`; what comes is `bytes`, and ours, or an error.
    unsafe {
        let encoded = ffi::PyUnicode_AsUTF8String(text.as_ptr());
        let Ok(encoded) = Bound::from_owned_ptr_or_err(text.py(), encoded) else {
            return false;
        };
        ffi::PyBytes_Size(encoded.as_ptr()) == ffi::PyUnicode_GetLength(text.as_ptr())
    }
}

/// Whether two slices of one length are equal: short ones by a comparison or two, with no call.
#[inline(always)]
fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    fn ends<const N: usize>(one: &[u8], other: &[u8]) -> bool {
        one.first_chunk::<N>() == other.first_chunk() && one.last_chunk::<N>() == other.last_chunk()
    }
    match one.len() {
        4..8 => ends::<4>(one, other),
        8..=16 => ends::<8>(one, other),
        17..=32 => ends::<16>(one, other),
        _ => one == other,
    }
}
