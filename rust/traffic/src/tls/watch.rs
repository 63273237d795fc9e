//! Hears from the kernel when a certificate's files change.
//!
//! The folders are watched, not the files: renewals rename new files over old ones, and mounted secrets change by
//! a link beside them.

#![allow(
    unsafe_code,
    reason = "waiting for a descriptor: tokio has to be promised that it stays the same one"
)]

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Certificate, CertificateError};

/// Certificate and key are two files: both are given time to arrive.
const SETTLE: Duration = Duration::from_millis(100);

/// Reads a certificate again whenever something in its folders changes, until nobody has the certificate any
/// more. `told` hears of every other certificate and of every one that could not be used.
///
/// # Errors
/// The folders cannot be watched.
pub async fn watch(
    certificate: Weak<Certificate>,
    told: impl Fn(Result<(), CertificateError>),
) -> io::Result<()> {
    let changes = match certificate.upgrade() {
        Some(certificate) => register(watched(&certificate)?)?,
        None => return Ok(()),
    };
    let mut failed = None;
    loop {
        // Ends with the certificate at the next change at the latest; until then it costs a descriptor.
        changed(&changes).await?;
        tokio::time::sleep(SETTLE).await;
        drain(&changes);
        let Some(certificate) = certificate.upgrade() else {
            return Ok(());
        };
        let loaded = load(certificate).await;
        match loaded {
            Ok(other) => {
                failed = None;
                if other {
                    told(Ok(()));
                }
            }
            // Other files of the folder change too: the same failure is told once.
            Err(error) => {
                let why = error.to_string();
                if failed.as_ref() != Some(&why) {
                    failed = Some(why);
                    told(Err(error));
                }
            }
        }
    }
}

async fn load(certificate: Arc<Certificate>) -> Result<bool, CertificateError> {
    tokio::task::spawn_blocking(move || certificate.reload())
        .await
        // The runtime is ending.
        .unwrap_or(Ok(false))
}

fn watched(certificate: &Certificate) -> io::Result<OwnedFd> {
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let files = certificate.files();
    let folders: BTreeSet<&Path> = [&files.certificate, &files.key]
        .into_iter()
        .filter_map(|file| file.parent())
        .collect();
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let events = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::CREATE
            | WatchFlags::ATTRIB;
        inotify::add_watch(&fd, folder, events)?;
    }
    Ok(fd)
}

fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names one descriptor all its life, and closes it only after it was deregistered.
    unsafe { Ok(AsyncFd::register(fd)?) }
}

async fn changed(changes: &AsyncFd<OwnedFd>) -> io::Result<()> {
    changes.readable().await?.retain_ready();
    Ok(())
}

/// What changed does not matter: both files are read whole.
fn drain(changes: &AsyncFd<OwnedFd>) {
    let mut events = [0; 4096];
    while changes
        .try_io(Interest::READABLE, |fd| {
            Ok(rustix::io::read(fd.as_fd(), &mut events)?)
        })
        .is_ok_and(|count| count > 0)
    {}
}
