//! Unix sockets at paths of any length.
//!
//! A socket address holds 108 bytes, a state directory's path may have more. The
//! kernel resolves `/proc/self/fd/<directory>/<name>` instead, which is short.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tokio::net::UnixStream;

/// Longest path that fits an address with its closing NUL.
const SUN_PATH: usize = 107;

/// Runs `action` with a path to `path`'s place that fits a socket address.
pub fn with_short_path<T>(
    path: &Path,
    action: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    if path.as_os_str().len() <= SUN_PATH {
        return action(path);
    }
    let (_directory, short) = shorten(path)?;
    action(&short)
}

/// Connects to the socket at `path`.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= SUN_PATH {
        return UnixStream::connect(path).await;
    }
    let (_directory, short) = shorten(path)?;
    UnixStream::connect(&short).await
}

fn shorten(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str() != OsStr::new("") => parent,
        _ => Path::new("."),
    };
    let directory = rustix::fs::open(
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let short = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    Ok((directory, short))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[tokio::test]
    async fn a_socket_deep_in_the_tree_is_bound_and_reached() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("keeper.sock");
        let listener = with_short_path(&path, |short| UnixListener::bind(short)).unwrap();
        connect(&path).await.unwrap();
        listener.accept().unwrap();
        assert!(path.exists());
    }
}
