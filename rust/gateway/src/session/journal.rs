//! What must be known of client sessions when the next daemon takes over: `run/sessions.jsonl`.
//!
//! One JSON line per change, appended by a thread of its own so that no async thread waits for a
//! disk. A record is written before the client hears of its session; it is not synced, because it
//! has to survive the daemon, not the machine: no fleet survives that. A torn last line is skipped,
//! repeated records change nothing, and the file is rewritten when most of it is about the past.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::durable;

/// The file is not rewritten while it is smaller than this.
const SMALL: u64 = 1 << 20;

/// One change of one session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Record {
    /// It began.
    New(Saved),
    /// It asked for another log level.
    Level { id: String, level: u8 },
    /// It wants to hear of a resource.
    Subscribe { id: String, uri: String },
    /// It no longer does.
    Unsubscribe { id: String, uri: String },
    /// An instance is its own.
    Claim { id: String, instance: String },
    /// An instance is nobody's own any more.
    Unclaim { instance: String },
    /// It ended.
    End { id: String },
}

/// All that is kept of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) id: String,
    /// `/mcp` is empty, `/mcp/<service>` is its service.
    pub(crate) service: Option<String>,
    pub(crate) version: String,
    pub(crate) capabilities: Box<RawValue>,
    pub(crate) client: Box<RawValue>,
    #[serde(default)]
    pub(crate) level: u8,
    #[serde(default)]
    pub(crate) subscriptions: BTreeSet<String>,
    /// Instances that are its own.
    #[serde(default)]
    pub(crate) instances: BTreeSet<String>,
}

/// The end of the journal that sessions write to.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: mpsc::Sender<Entry>,
}

struct Entry {
    line: Vec<u8>,
    written: Option<oneshot::Sender<()>>,
}

impl Journal {
    /// Reads what a former daemon left, and starts writing. `snapshot` gives all sessions that live.
    pub(crate) fn open<S>(path: PathBuf, snapshot: S) -> io::Result<(Self, Vec<Saved>)>
    where
        S: Fn() -> Vec<Saved> + Send + 'static,
    {
        let saved = read(&path)?;
        rewrite(&path, &saved)?;
        let mut writer = Writer {
            file: append(&path)?,
            size: std::fs::metadata(&path)?.len(),
            path,
            compact: 0,
        };
        writer.compact = writer.size;
        let (queue, entries) = mpsc::channel();
        std::thread::Builder::new()
            .name("sessions".into())
            .spawn(move || writer.run(&entries, &snapshot))?;
        Ok((Self { queue }, saved))
    }

    /// Writes a record some time soon.
    pub(crate) fn note(&self, record: &Record) {
        let _ = self.queue.send(Entry {
            line: line(record),
            written: None,
        });
    }

    /// Writes a record and waits until the kernel has it.
    pub(crate) async fn write(&self, record: &Record) {
        let (written, done) = oneshot::channel();
        if self
            .queue
            .send(Entry {
                line: line(record),
                written: Some(written),
            })
            .is_ok()
        {
            let _ = done.await;
        }
    }
}

fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).unwrap_or_default();
    // Capabilities are the client's own text; a line break between its tokens is only space.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    line
}

struct Writer {
    path: PathBuf,
    file: File,
    size: u64,
    /// How large the file was when it held only what lives.
    compact: u64,
}

impl Writer {
    fn run(mut self, entries: &mpsc::Receiver<Entry>, snapshot: &dyn Fn() -> Vec<Saved>) {
        let mut batch = Vec::new();
        let mut waiting = Vec::new();
        while let Ok(first) = entries.recv() {
            for entry in std::iter::once(first).chain(entries.try_iter().take(1024)) {
                batch.extend_from_slice(&entry.line);
                waiting.extend(entry.written);
            }
            // A full disk costs the sessions their durability, not their life.
            if self.file.write_all(&batch).is_ok() {
                self.size += batch.len() as u64;
            }
            batch.clear();
            for written in waiting.drain(..) {
                let _ = written.send(());
            }
            if self.size > SMALL.max(self.compact * 4) {
                let _ = self.renew(&snapshot());
            }
        }
    }

    fn renew(&mut self, live: &[Saved]) -> io::Result<()> {
        rewrite(&self.path, live)?;
        self.file = append(&self.path)?;
        self.size = self.file.metadata()?.len();
        self.compact = self.size;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn rewrite(path: &Path, live: &[Saved]) -> io::Result<()> {
    let content: Vec<u8> = live
        .iter()
        .flat_map(|saved| line(&Record::New(saved.clone())))
        .collect();
    durable::replace(path, &content)
}

fn read(path: &Path) -> io::Result<Vec<Saved>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut live: HashMap<String, Saved> = HashMap::new();
    // Whose own an instance is by the last word of it.
    let mut claims: HashMap<String, String> = HashMap::new();
    let mut take_back = |live: &mut HashMap<String, Saved>, instance: &str, to: Option<&str>| {
        let before = match to {
            Some(id) => claims.insert(instance.to_owned(), id.to_owned()),
            None => claims.remove(instance),
        };
        if let Some(saved) = before.and_then(|id| live.get_mut(&id)) {
            saved.instances.remove(instance);
        }
    };
    for line in BufReader::new(file).split(b'\n') {
        let Ok(record) = serde_json::from_slice::<Record>(&line?) else {
            continue;
        };
        match record {
            Record::New(saved) => {
                for instance in &saved.instances {
                    take_back(&mut live, instance, Some(&saved.id));
                }
                live.entry(saved.id.clone()).or_insert(saved);
            }
            Record::Level { id, level } => {
                if let Some(saved) = live.get_mut(&id) {
                    saved.level = level;
                }
            }
            Record::Subscribe { id, uri } => {
                if let Some(saved) = live.get_mut(&id) {
                    saved.subscriptions.insert(uri);
                }
            }
            Record::Unsubscribe { id, uri } => {
                if let Some(saved) = live.get_mut(&id) {
                    saved.subscriptions.remove(&uri);
                }
            }
            Record::Claim { id, instance } => {
                take_back(&mut live, &instance, Some(&id));
                if let Some(saved) = live.get_mut(&id) {
                    saved.instances.insert(instance);
                }
            }
            Record::Unclaim { instance } => {
                take_back(&mut live, &instance, None);
            }
            Record::End { id } => {
                live.remove(&id);
            }
        }
    }
    Ok(live.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(id: &str) -> Saved {
        Saved {
            id: id.into(),
            service: None,
            version: "2025-06-18".into(),
            capabilities: RawValue::from_string("{\"roots\":\n{}}".into()).unwrap(),
            client: RawValue::from_string("{}".into()).unwrap(),
            level: 0,
            subscriptions: BTreeSet::new(),
            instances: BTreeSet::new(),
        }
    }

    #[tokio::test]
    async fn the_next_daemon_finds_what_lives_and_only_that() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/sessions.jsonl");
        let (journal, none) = Journal::open(path.clone(), Vec::new).unwrap();
        assert!(none.is_empty());
        journal.write(&Record::New(saved("a"))).await;
        journal.write(&Record::New(saved("b"))).await;
        journal.note(&Record::Level {
            id: "a".into(),
            level: 3,
        });
        journal.note(&Record::Subscribe {
            id: "a".into(),
            uri: "memo://1".into(),
        });
        journal.write(&Record::End { id: "b".into() }).await;
        // The daemon is killed in the middle of a record.
        append(&path)
            .unwrap()
            .write_all(b"{\"end\":{\"id\":")
            .unwrap();

        let (_, found) = Journal::open(path, Vec::new).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.as_str(), found[0].level), ("a", 3));
        assert!(found[0].subscriptions.contains("memo://1"));
        assert_eq!(found[0].capabilities.get(), "{\"roots\": {}}");
    }

    #[tokio::test]
    async fn the_file_does_not_grow_with_the_past() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.jsonl");
        let (journal, _) = Journal::open(path.clone(), || vec![saved("kept")]).unwrap();
        for n in 0..10_000 {
            journal.note(&Record::New(saved(&format!("{n:032}"))));
            journal.note(&Record::End {
                id: format!("{n:032}"),
            });
        }
        journal
            .write(&Record::Level {
                id: "kept".into(),
                level: 1,
            })
            .await;
        journal
            .write(&Record::Level {
                id: "kept".into(),
                level: 2,
            })
            .await;
        assert!(std::fs::metadata(&path).unwrap().len() <= SMALL + (1 << 19));
    }
}
