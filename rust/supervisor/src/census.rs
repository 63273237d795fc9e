//! Which processes belong to an instance, wherever they have gone.
//!
//! A process belongs to it by descent, by session, or by the marker that was put
//! in the environment of its main process and that its children inherit. One
//! look at `/proc` answers for all instances, and instances that ask at the same
//! time share the look ([`House::census`]), so that ending a large fleet at once
//! does not read `/proc` once for each.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::watch::Nursery;

/// Environment variable that names the instance a process belongs to.
pub const INSTANCE_MARKER: &str = "BACKSTAY_INSTANCE";
/// Environment variable that names the keeper, by its state directory.
pub const KEEPER_MARKER: &str = "BACKSTAY_KEEPER";

/// One line of `/proc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its session, which is the main process's number unless it left.
    pub session: i32,
    /// When it started, in clock ticks since boot: with `pid`, its identity.
    pub start_time: u64,
    /// Dead, and waiting to be reaped.
    pub dead: bool,
    /// The instance its environment names, if it names our keeper too.
    pub marker: Option<String>,
}

impl Entry {
    /// Reads one process, without its marker.
    pub fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may itself hold anything, spaces and parentheses included.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X" | "x");
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        let start_time = fields.nth(15)?.parse().ok()?;
        Some(Self {
            pid,
            parent,
            session,
            start_time,
            dead,
            marker: None,
        })
    }

    /// Whether the process that has this number now is still the same.
    pub fn is_current(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.start_time == self.start_time && !now.dead)
    }
}

/// All processes at one moment.
#[derive(Debug, Default)]
pub struct Census {
    processes: HashMap<i32, Entry>,
    children: HashMap<i32, Vec<i32>>,
    sessions: HashMap<i32, Vec<i32>>,
    marked: HashMap<String, Vec<i32>>,
}

impl Census {
    /// Looks at every process, and at the marker of each.
    pub fn of_all(keeper: &str) -> Self {
        let mut census = Self::look();
        let all: Vec<_> = census.processes.keys().copied().collect();
        census.read_markers(keeper, all);
        census
    }

    /// Looks at every process. Markers are read of our descendants only, and only of those
    /// in a session that is none of our children's: the others belong to that child.
    fn of_house(keeper: &str, nursery: &Nursery) -> Self {
        let mut census = Self::look();
        let mut strayed = census.descendants(own_pid());
        let children = nursery.children();
        let processes = &census.processes;
        strayed.retain(|pid| {
            !processes
                .get(pid)
                .is_some_and(|entry| children.contains(&entry.session))
        });
        census.read_markers(keeper, strayed);
        census
    }

    /// Looks at every process, without markers.
    pub fn look() -> Self {
        let mut census = Self::default();
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            let Some(entry) = Entry::read(pid) else {
                continue;
            };
            census.children.entry(entry.parent).or_default().push(pid);
            census.sessions.entry(entry.session).or_default().push(pid);
            census.processes.insert(pid, entry);
        }
        census
    }

    fn read_markers(&mut self, keeper: &str, pids: Vec<i32>) {
        for pid in pids {
            let Some(name) = read_marker(pid, keeper) else {
                continue;
            };
            self.marked.entry(name.clone()).or_default().push(pid);
            if let Some(entry) = self.processes.get_mut(&pid) {
                entry.marker = Some(name);
            }
        }
    }

    /// The living processes of an instance whose main process is or was `main`,
    /// started at `since`, the main process itself left out.
    pub fn members(&self, name: &str, main: i32, since: u64) -> Vec<Entry> {
        let mut found: HashSet<i32> = self.descendants(main).into_iter().collect();
        found.extend(self.sessions.get(&main).into_iter().flatten());
        found.extend(self.marked.get(name).into_iter().flatten());
        found.remove(&main);
        let ours = |entry: &&Entry| {
            let other = entry.marker.as_deref().is_some_and(|marker| marker != name);
            !entry.dead && !other && entry.start_time >= since
        };
        found
            .into_iter()
            .filter_map(|pid| self.processes.get(&pid))
            .filter(ours)
            .cloned()
            .collect()
    }

    /// The living processes that carry any marker of our keeper, by instance.
    pub fn marked(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let living = |pid: &i32| self.processes.get(pid).filter(|entry| !entry.dead);
        self.marked.iter().flat_map(move |(name, pids)| {
            pids.iter()
                .filter_map(living)
                .map(move |entry| (name.as_str(), entry))
        })
    }

    /// The living descendants of a process.
    pub fn living_descendants(&self, pid: i32) -> Vec<Entry> {
        let entries = self
            .descendants(pid)
            .into_iter()
            .filter_map(|pid| self.processes.get(&pid));
        entries.filter(|entry| !entry.dead).cloned().collect()
    }

    /// A process's parent, its parent's parent and so on.
    pub fn ancestors(&self, pid: i32) -> Vec<i32> {
        let parent = |pid: &i32| {
            self.processes
                .get(pid)
                .map(|entry| entry.parent)
                .filter(|parent| *parent > 0)
        };
        std::iter::successors(parent(&pid), parent).collect()
    }

    /// All descendants of a process, the dead that were not reaped included.
    pub fn descendants(&self, pid: i32) -> Vec<i32> {
        let mut found = self.children.get(&pid).cloned().unwrap_or_default();
        let mut next = 0;
        while let Some(parent) = found.get(next) {
            found.extend(self.children.get(parent).into_iter().flatten());
            next += 1;
        }
        found
    }
}

fn read_marker(pid: i32, keeper: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |key: &str| {
        environment.split(|byte| *byte == 0).find_map(|variable| {
            variable
                .strip_prefix(key.as_bytes())?
                .strip_prefix(b"=")
                .map(<[u8]>::to_owned)
        })
    };
    (value(KEEPER_MARKER)? == keeper.as_bytes())
        .then(|| value(INSTANCE_MARKER))
        .flatten()
        .and_then(|name| String::from_utf8(name).ok())
}

/// What all instances of one keeper share.
#[derive(Clone, Debug)]
pub struct House {
    keeper: Arc<str>,
    nursery: Nursery,
    /// Those waiting for the next look; the first of them has it taken. Held for
    /// a push or a take, never across a wait.
    waiting: Arc<Mutex<Vec<oneshot::Sender<Arc<Census>>>>>,
    /// When the next look may be taken. Held for a copy.
    not_before: Arc<Mutex<Option<Instant>>>,
}

impl House {
    /// The house of the keeper of a state directory.
    pub fn new(state_dir: &Path) -> Self {
        let keeper = state_dir.to_string_lossy().into();
        Self {
            keeper,
            nursery: Nursery::default(),
            waiting: Arc::default(),
            not_before: Arc::default(),
        }
    }

    /// What [`KEEPER_MARKER`] is set to.
    pub fn keeper(&self) -> &str {
        &self.keeper
    }

    /// Its children.
    pub fn nursery(&self) -> &Nursery {
        &self.nursery
    }

    /// A look at `/proc` that begins after this call, shared with all who ask meanwhile.
    ///
    /// Looks never take more than half of the keeper's time: after one that took 10 ms
    /// the next waits for as long, and more of those who ask share it.
    pub async fn census(&self) -> Arc<Census> {
        let (answer, look) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock();
            waiting.push(answer);
            waiting.len() == 1
        };
        if first {
            // A task of its own: whoever asked first may stop waiting, the others do not.
            tokio::spawn(self.clone().look_for_all());
        }
        look.await.unwrap_or_default()
    }

    async fn look_for_all(self) {
        let not_before = *self.not_before.lock();
        if let Some(not_before) = not_before {
            sleep_until(not_before).await;
        }
        // Whoever is about to ask in this very moment may join.
        tokio::task::yield_now().await;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let began = Instant::now();
        let census = Arc::new(Census::of_house(&self.keeper, &self.nursery));
        *self.not_before.lock() = Some(Instant::now() + began.elapsed());
        for answer in waiting {
            let _asker_gone = answer.send(Arc::clone(&census));
        }
    }
}

/// This process's number.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: i32, parent: i32, session: i32) -> Entry {
        Entry {
            pid,
            parent,
            session,
            start_time: 100,
            dead: false,
            marker: None,
        }
    }

    fn census(entries: &[Entry]) -> Census {
        let mut census = Census::default();
        for entry in entries {
            census
                .children
                .entry(entry.parent)
                .or_default()
                .push(entry.pid);
            census
                .sessions
                .entry(entry.session)
                .or_default()
                .push(entry.pid);
            if let Some(name) = &entry.marker {
                census
                    .marked
                    .entry(name.clone())
                    .or_default()
                    .push(entry.pid);
            }
            census.processes.insert(entry.pid, entry.clone());
        }
        census
    }

    fn pids(entries: &[Entry]) -> Vec<i32> {
        let mut pids: Vec<_> = entries.iter().map(|entry| entry.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn members_are_found_by_descent_session_and_marker() {
        let escaped = Entry {
            marker: Some("a.1".to_owned()),
            ..entry(13, 1, 13)
        };
        let census = census(&[
            entry(10, 1, 10),
            entry(11, 10, 11),
            entry(12, 1, 10),
            escaped,
            entry(14, 11, 14),
            entry(20, 1, 20),
        ]);
        assert_eq!(pids(&census.members("a.1", 10, 0)), [11, 12, 13, 14]);
    }

    #[test]
    fn the_dead_the_older_and_other_instances_are_no_members() {
        let dead = Entry {
            dead: true,
            ..entry(11, 10, 10)
        };
        let older = Entry {
            start_time: 1,
            ..entry(12, 1, 10)
        };
        let other = Entry {
            marker: Some("b.1".to_owned()),
            ..entry(13, 1, 10)
        };
        let census = census(&[entry(10, 1, 10), dead, older, other]);
        assert_eq!(pids(&census.members("a.1", 10, 100)), [0; 0]);
    }

    #[test]
    fn this_process_is_in_the_census_with_its_ancestors() {
        let census = Census::of_all("nobody");
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert_eq!(census.ancestors(own_pid()).first(), Some(&parent));
        assert!(Entry::read(own_pid()).unwrap().is_current());
    }

    #[tokio::test]
    async fn those_who_ask_at_the_same_time_share_one_look() {
        let house = House::new(Path::new("/nowhere"));
        let (first, second) = tokio::join!(house.census(), house.census());
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &house.census().await));
    }
}
