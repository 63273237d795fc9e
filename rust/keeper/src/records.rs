//! Which processes run, on disk: for the keeper that comes after one that was killed.
//!
//! Processes are started first and recorded after; what a crash leaves unrecorded
//! is found by the marker in its environment (`leftovers.rs`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backstay_supervisor::log::pump::Log;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The content of `run/keeper.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Records {
    /// The kernel's id of this boot: after another, no record is of a living process.
    pub(crate) boot: String,
    pub(crate) keeper: Option<Identity>,
    pub(crate) daemon: Option<Identity>,
    /// By name.
    pub(crate) instances: BTreeMap<String, Record>,
}

/// What tells a process from any other that ever has its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// In clock ticks since boot.
    pub(crate) start_time: u64,
}

/// One running instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) service: String,
    pub(crate) revision: u64,
    #[serde(flatten)]
    pub(crate) process: Identity,
}

/// This boot's id.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

impl Records {
    /// Reads what a former keeper wrote; nothing if there is none, or it is of another boot.
    pub(crate) fn read(path: &Path) -> Self {
        let records: Option<Self> = fs::read(path)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        records
            .filter(|records| records.boot == boot_id())
            .unwrap_or_default()
    }

    /// Replaces the file: whoever reads it, and whenever the power fails, finds one whole version.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("json.new");
        let mut file = File::create(&fresh)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent()
            .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }
}

/// Writes each change, several at once where they come faster than the disk.
pub(crate) async fn write_changes(path: PathBuf, mut changes: watch::Receiver<Records>, log: Log) {
    let mut failed = false;
    loop {
        let records = changes.borrow_and_update().clone();
        let path = path.clone();
        let written = tokio::task::spawn_blocking(move || records.write(&path)).await;
        let error = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        // Told when it begins: a full disk would have it told at every change.
        if let Some(error) = error.as_ref().filter(|_| !failed) {
            log.note(&format!(
                "the running processes cannot be recorded: {error}"
            ));
        }
        failed = error.is_some();
        if changes.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_written_and_forgotten_after_a_boot() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keeper.json");
        assert_eq!(Records::read(&path), Records::default());
        let process = Identity {
            pid: 7,
            start_time: 8,
        };
        let record = Record {
            service: "a".into(),
            revision: 3,
            process,
        };
        let instances = BTreeMap::from([("a.1".to_owned(), record)]);
        let mut records = Records {
            boot: boot_id(),
            keeper: Some(process),
            daemon: None,
            instances,
        };
        records.write(&path).unwrap();
        assert_eq!(Records::read(&path), records);
        records.boot = "another".to_owned();
        records.write(&path).unwrap();
        assert_eq!(Records::read(&path), Records::default());
    }
}
