//! What a keeper that was killed left running: found, and stopped cleanly.
//!
//! Not adopted: their pipes died with their keeper, so a stdio server among them
//! could never be talked to again, and none of their exits could be learned.

use std::collections::BTreeMap;
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
