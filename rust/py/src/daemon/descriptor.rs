//! Descriptors that come from Python as numbers.

#![allow(
    unsafe_code,
    reason = "a number from Python becomes a borrowed descriptor for the length of one `dup`; a wrong number is \
              an error of that call (EBADF), and a right one stays Python's own"
)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

/// Duplicates a descriptor that Python holds.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: not -1, as `borrow_raw` demands; it is used for `dup` only, within this function.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned()
}
