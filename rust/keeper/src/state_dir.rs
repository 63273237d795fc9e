//! The state directory: whose it is, and where things are in it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::start::StartError;
use crate::vanished::{FileId, Watched};

/// A state directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Its lock is what makes us the one keeper; the kernel frees it however we end.
    lock: File,
}

impl StateDir {
    /// Makes the directory if need be, and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self, StartError> {
        let unusable = |source| StartError::StateDir {
            path: path.to_owned(),
            source,
        };
        make_private(path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        for inner in ["run", "logs"] {
            make_private(&path.join(inner)).map_err(unusable)?;
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("run/keeper.lock"))
            .map_err(unusable)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _unknown_then = lock.read_to_string(&mut holder);
            return Err(StartError::AlreadyRunning {
                path,
                pid: holder.trim().parse().ok(),
            });
        }
        let write_pid = |lock: &mut File| -> io::Result<()> {
            lock.rewind()?;
            lock.set_len(0)?;
            writeln!(lock, "{}", std::process::id())
        };
        write_pid(&mut lock).map_err(unusable)?;
        Ok(Self { path, lock })
    }

    /// Watches whether it stays where it is.
    pub(crate) fn watch(&self) -> io::Result<Watched> {
        let run = self.path.join("run");
        let id = FileId::of_open(&self.lock)?;
        Watched::new(run.join("keeper.lock"), id, &[&self.path, &run])
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Where the daemon connects.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("run/keeper.sock")
    }

    /// Where the running processes are recorded.
    pub(crate) fn records(&self) -> PathBuf {
        self.path.join("run/keeper.json")
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}
