//! What the keeper must not keep from whoever started it.

// Closing descriptors that nobody in this process owns has no safe form.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// The first descriptor handed to the daemon.
pub(crate) const FIRST: i32 = 3;

/// Closes every descriptor but the standard streams, and takes the first `count`
/// numbers after them, so that listeners have in the keeper the numbers that they
/// will have in the daemon: a child then only has to keep them.
pub(crate) fn close_and_reserve(count: usize) -> io::Result<Vec<OwnedFd>> {
    // SAFETY: called first thing in `main`, when this process has opened nothing and
    // so owns nothing that could be closed under it.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, 0_u32) };
    let reserve = |_| {
        let placeholder =
            rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(placeholder)
    };
    let reserved = (0..count)
        .map(reserve)
        .collect::<io::Result<Vec<OwnedFd>>>()?;
    let consecutive = reserved
        .iter()
        .zip(FIRST..)
        .all(|(placeholder, number)| placeholder.as_raw_fd() == number);
    if consecutive {
        Ok(reserved)
    } else {
        Err(io::Error::other("a descriptor could not be closed"))
    }
}
