//! One connection to one process: two of them would tear its lines apart and lose count of its journal.
//!
//! Between daemons the keeper sees to that; within one, a connection that is being closed may meet the next one to
//! the same process, which then waits here.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::sync::LazyLock;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The journals in use, by device and inode. The lock guards one operation on the set.
static CLAIMED: LazyLock<Mutex<HashSet<File>>> = LazyLock::new(Mutex::default);
static RELEASED: Notify = Notify::const_new();

type File = (u64, u64);

/// The right to use a process's pipes; given back when dropped.
#[derive(Debug)]
pub struct Claim(File);

impl Claim {
    /// Waits until nobody else in this process uses the pipes whose journal this is.
    pub async fn wait(journal: impl AsFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(journal)?;
        let file = (stat.st_dev, stat.st_ino);
        loop {
            // Listening before looking, so that a release between the two is heard.
            let release = RELEASED.notified();
            if CLAIMED.lock().insert(file) {
                return Ok(Self(file));
            }
            release.await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.lock().remove(&self.0);
        RELEASED.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    #[tokio::test]
    async fn a_second_connection_waits_for_the_end_of_the_first() {
        let journal = memfd_create("journal", MemfdFlags::empty()).unwrap();
        let other = memfd_create("journal", MemfdFlags::empty()).unwrap();
        let first = Claim::wait(&journal).await.unwrap();
        let _other = Claim::wait(&other).await.unwrap();
        let copy = journal.try_clone().unwrap();
        let mut second = Box::pin(Claim::wait(&copy));
        assert!(
            futures_util::future::poll_immediate(&mut second)
                .await
                .is_none()
        );
        drop(first);
        second.await.unwrap();
    }
}
