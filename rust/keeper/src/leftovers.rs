//! What a keeper that was killed left running: found, and stopped cleanly.
//!
//! Not adopted: their pipes died with their keeper, so a stdio server among them
//! could never be talked to again, and none of their exits could be learned.
//!
//! A keeper whose directory was deleted has a lock that nobody finds, and may run still: it is ended first.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use backstay_supervisor::census::{Census, Entry, House, own_pid};
use backstay_supervisor::stop::stop_strangers;
use serde::Serialize;

use crate::records::Records;
use crate::state_dir::StateDir;

/// Time from the signal to `SIGKILL`: whoever starts the keeper waits for it.
const GRACE: Duration = Duration::from_secs(3);
/// Looks until nothing is left; a process that forks faster than that is not ours to find.
const ROUNDS: usize = 5;

/// A process that was found and stopped.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Leftover {
    pub(crate) name: String,
    pub(crate) pid: i32,
}

/// Finds and ends everything a former keeper of this directory started.
pub(crate) async fn stop(house: &House, state: &StateDir) -> Vec<Leftover> {
    let records = Records::read(&state.records());
    let mut stopped = Vec::new();
    let former = former_keepers(state.path());
    if !former.is_empty() {
        stopped.extend(former.iter().map(|entry| Leftover {
            name: "keeper".to_owned(),
            pid: entry.pid,
        }));
        stop_strangers(former, GRACE).await;
    }
    for round in 0..ROUNDS {
        let found = find(house, &records);
        if found.is_empty() {
            break;
        }
        let grace = if round == 0 { GRACE } else { Duration::ZERO };
        stopped.extend(found.values().map(|(name, entry)| Leftover {
            name: name.clone(),
            pid: entry.pid,
        }));
        stop_strangers(found.into_values().map(|(_, entry)| entry).collect(), grace).await;
    }
    stopped
}

/// Keepers of this directory, which are none: its lock is ours.
fn former_keepers(state_dir: &Path) -> Vec<Entry> {
    let own = std::env::current_exe().ok();
    let name = own.as_deref().and_then(Path::file_name);
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let keeps = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_keeper_of(&line, name, state_dir)
    };
    pids.filter(|pid| *pid != own_pid())
        .filter(keeps)
        .filter_map(Entry::read)
        .filter(|entry| !entry.dead)
        .collect()
}

/// Whether this command line is a keeper's of that directory.
fn is_keeper_of(line: &[u8], name: Option<&OsStr>, state_dir: &Path) -> bool {
    let mut words = line.split(|&byte| byte == 0).map(OsStr::from_bytes);
    let program = words.next().map(Path::new).and_then(Path::file_name);
    // What comes behind `--` is the daemon's.
    let mut own = words.take_while(|word| *word != "--");
    program == name
        && name.is_some()
        && own.any(|word| word == "--state-dir")
        && own.next().is_some_and(|of| Path::new(of) == state_dir)
}

/// By number, so that each is found once.
fn find(house: &House, records: &Records) -> BTreeMap<i32, (String, Entry)> {
    let census = Census::of_all(house.keeper());
    let mut found: BTreeMap<i32, (String, Entry)> = BTreeMap::new();
    let daemon = records.daemon.iter().map(|process| ("daemon", process));
    let instances = records
        .instances
        .iter()
        .map(|(name, record)| (name.as_str(), &record.process));
    for (name, process) in daemon.chain(instances) {
        let recorded = |main: &Entry| main.start_time == process.start_time && !main.dead;
        // Once the main process is gone its number says nothing: what it left is found by its marker.
        let Some(main) = Entry::read(process.pid).filter(recorded) else {
            continue;
        };
        for entry in census
            .members(name, process.pid, process.start_time)
            .into_iter()
            .chain([main])
        {
            found.insert(entry.pid, (name.to_owned(), entry));
        }
    }
    found.extend(
        census
            .marked()
            .map(|(name, entry)| (entry.pid, (name.to_owned(), entry.clone()))),
    );
    // Whoever started us may itself be marked: a fleet can be brought up from inside another.
    found.remove(&own_pid());
    for ancestor in census.ancestors(own_pid()) {
        found.remove(&ancestor);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_is_known_by_its_command_line_and_its_directory() {
        let keeper = |line: &str| {
            let line = line.replace(' ', "\0");
            is_keeper_of(
                line.as_bytes(),
                Some(OsStr::new("backstay-keeper")),
                Path::new("/f/s"),
            )
        };
        assert!(keeper(
            "/bin/backstay-keeper --listen a=b --state-dir /f/s -- python"
        ));
        assert!(!keeper("/bin/backstay-keeper --state-dir /f/other"));
        assert!(!keeper("/bin/backstay-keeper -- python --state-dir /f/s"));
        assert!(!keeper("python -m backstay.daemon --state-dir /f/s"));
        assert!(!keeper(""));
    }
}
