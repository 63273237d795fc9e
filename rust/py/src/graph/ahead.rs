//! The ends of the edges in a list of pairs, fetched from memory ahead of their use.
//!
//! Each edge is three objects somewhere in memory: to go to one after another waits for each. So a block of edges is
//! asked for two blocks before it is used, and their ends one block before; meanwhile they arrive.
//!
//! The objects are looked at where they stand and not counted: counting writes to each of them, and what is written
//! to has to go back to memory. That is sound because no Python code runs meanwhile: the thread stays attached,
//! nothing is made that the garbage collector would track, and whatever fails ends the load. Tested by all that
//! tests the graph, under valgrind with `tools/memcheck`.

#![expect(
    unsafe_code,
    reason = "borrowing from a list, which only we know to stand still; and asking for memory ahead"
)]

use std::slice;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

/// How many edges are a block.
pub(super) const BLOCK: usize = 8;

/// One end of an edge: some object of the caller's.
pub(super) type End<'a, 'py> = Borrowed<'a, 'py, PyAny>;

/// A walk along the edges.
pub(super) struct Ahead<'a, 'py> {
    edges: &'a Bound<'py, PyList>,
    count: usize,
    /// The next edge to ask for.
    place: usize,
    /// What was asked for with the last block.
    block: Vec<Borrowed<'a, 'py, PyAny>>,
    /// And with the one before: the service of each edge, and what it depends on.
    ends: Vec<[End<'a, 'py>; 2]>,
    /// Whether the ends themselves will be looked at, and not only where they are.
    looked_at: bool,
}

impl<'a, 'py> Ahead<'a, 'py> {
    /// From the first edge on.
    ///
    /// # Safety
    /// Until the last use of what this gives, no Python code runs and the thread does not detach: the list must not
    /// change.
    pub(super) unsafe fn new(edges: &'a Bound<'py, PyList>) -> PyResult<Self> {
        let mut ahead = Self {
            edges,
            count: edges.len(),
            place: 0,
            block: Vec::with_capacity(BLOCK),
            ends: Vec::with_capacity(BLOCK),
            looked_at: false,
        };
        ahead.ask();
        ahead.turn()?;
        Ok(ahead)
    }

    /// The ends of the next block of edges; none after the last. Whether those after them will be looked at says
    /// what is worth asking for.
    pub(super) fn next(
        &mut self,
        ends: &mut Vec<[End<'a, 'py>; 2]>,
        looked_at: bool,
    ) -> PyResult<()> {
        ends.clear();
        self.looked_at = looked_at;
        std::mem::swap(&mut self.ends, ends);
        self.turn()
    }

    /// The ends of the block after that.
    pub(super) fn coming(&self) -> &[[End<'a, 'py>; 2]] {
        &self.ends
    }

    /// Go from the edges of a block to their ends, and ask for the next one.
    fn turn(&mut self) -> PyResult<()> {
        for edge in &self.block {
            // Asking for the exact type first is a comparison, not a call.
            if edge.cast_exact::<PyTuple>().is_err() {
                edge.cast::<PyTuple>()?;
            }
            // SAFETY: a tuple, and so an object of variable size.
            if unsafe { ffi::Py_SIZE(edge.as_ptr()) } != 2 {
                return Err(PyValueError::new_err(
                    "an edge is a pair: a service and what it depends on",
                ));
            }
        }
        let (py, looked_at) = (self.edges.py(), self.looked_at);
        self.ends.extend(self.block.drain(..).map(|pair| {
            [0, 1].map(|at| {
                // SAFETY: a tuple of two, which cannot change, and which the list holds on to.
                let end = unsafe {
                    let end = ffi::PyTuple_GetItem(pair.as_ptr(), at);
                    Borrowed::from_ptr(py, end)
                };
                if looked_at {
                    fetch(end);
                }
                end
            })
        }));
        self.ask();
        Ok(())
    }

    fn ask(&mut self) {
        let end = self.count.min(self.place + BLOCK);
        let (py, edges) = (self.edges.py(), self.edges.as_ptr());
        self.block.extend((self.place..end).map(|place| {
            // SAFETY: a place in a list, which holds on to its items as long as it does not change; see `new`.
            let edge = unsafe {
                let edge = ffi::PyList_GetItem(edges, place.cast_signed());
                Borrowed::from_ptr(py, edge)
            };
            fetch(edge);
            edge
        }));
        self.place = end;
    }
}

/// The text of an end, where it stands. None: it has none, and [`refusal`] says why.
#[inline]
pub(super) fn text<'a>(end: End<'a, '_>) -> Option<&'a str> {
    if end.cast_exact::<PyString>().is_err() && end.cast::<PyString>().is_err() {
        return None;
    }
    let mut length = 0;
    // SAFETY: a `str`, which keeps its text in UTF-8 as long as it lives, and it is borrowed as long as that.
    unsafe {
        let text = ffi::PyUnicode_AsUTF8AndSize(end.as_ptr(), &raw mut length);
        if text.is_null() {
            return None;
        }
        let bytes = slice::from_raw_parts(text.cast(), length.cast_unsigned());
        Some(std::str::from_utf8_unchecked(bytes))
    }
}

/// Why an end had no text just now.
#[cold]
pub(super) fn refusal(end: End<'_, '_>) -> PyErr {
    match end.cast::<PyString>() {
        Ok(_) => PyErr::fetch(end.py()),
        Err(other) => other.into(),
    }
}

/// Ask for an object's memory: its head, and what it holds.
#[inline]
pub(super) fn fetch(object: Borrowed<'_, '_, PyAny>) {
    let first = object.as_ptr().cast::<u8>().cast_const();
    fetch_line(first);
    fetch_line(first.wrapping_add(48));
}

/// Ask for the line of memory at an address; where no such hint is known, for nothing.
#[inline]
pub(super) fn fetch_line<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; it reads nothing and takes any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
