//! The state directory may be deleted, or moved away, under a running fleet: the kernel tells.
//!
//! Nobody can reach such a keeper any more, and whoever brings up a fleet at the same path starts another. So the
//! keeper ends then, with all it runs. The next one does not rely on that (`leftovers.rs`).

#![allow(
    unsafe_code,
    reason = "waiting for a descriptor: tokio has to be promised that it stays the same one"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that has this name now.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        path.symlink_metadata().ok().map(|data| Self::of(&data))
    }

    pub(crate) fn of_open(file: &File) -> io::Result<Self> {
        file.metadata().map(|data| Self::of(&data))
    }

    fn of(data: &std::fs::Metadata) -> Self {
        Self {
            device: data.dev(),
            inode: data.ino(),
        }
    }
}

/// A file that is watched with the folders above it.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    id: FileId,
    changes: AsyncFd<OwnedFd>,
}

impl Watched {
    /// Watches a file in `folders`, the nearest last.
    pub(crate) fn new(path: PathBuf, id: FileId, folders: &[&Path]) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        for folder in folders {
            let events = WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            inotify::add_watch(&fd, *folder, events)?;
        }
        // SAFETY: an `OwnedFd` names one descriptor all its life, and closes it only after it was deregistered.
        let changes = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
        Ok(Self { path, id, changes })
    }

    /// Waits until the file does not have its name any more; for ever where that cannot be known.
    pub(crate) async fn vanished(&self) {
        let mut events = [0; 4096];
        while FileId::at(&self.path) == Some(self.id) {
            let Ok(mut ready) = self.changes.readable().await else {
                return std::future::pending().await;
            };
            let read = |fd: &AsyncFd<OwnedFd>| {
                rustix::io::read(fd.get_ref().as_fd(), &mut events).map_err(io::Error::from)
            };
            // Which name it was does not matter: one look says it.
            let _looked_at_anyway = ready.try_io(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(folder: &Path) -> (Watched, PathBuf) {
        let path = folder.join("inner/file");
        std::fs::create_dir(folder.join("inner")).unwrap();
        let file = File::create(&path).unwrap();
        let id = FileId::of_open(&file).unwrap();
        let inner = folder.join("inner");
        let watched = Watched::new(path.clone(), id, &[folder, &inner]).unwrap();
        (watched, path)
    }

    #[tokio::test]
    async fn a_deleted_folder_is_noticed_and_a_neighbours_file_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (watched, path) = watched(folder.path());
        let other = path.with_file_name("other");
        File::create(&other).unwrap();
        std::fs::remove_file(other).unwrap();
        let vanished = watched.vanished();
        tokio::pin!(vanished);
        tokio::select! {
            biased;
            () = &mut vanished => panic!("it is still there"),
            () = tokio::task::yield_now() => {}
        }
        std::fs::remove_dir_all(folder.path().join("inner")).unwrap();
        vanished.await;
    }

    #[tokio::test]
    async fn a_folder_that_was_made_anew_holds_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let (watched, path) = watched(folder.path());
        std::fs::rename(folder.path().join("inner"), folder.path().join("away")).unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        File::create(path).unwrap();
        watched.vanished().await;
    }
}
