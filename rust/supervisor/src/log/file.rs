//! A log file that never grows over its cap.
//!
//! Writes go to the page cache and are not awaited elsewhere: a thread for each
//! would cost more than it saves. A disk that refuses costs lines, counted and
//! told, never the instance's or the keeper's life.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::log::format::{Source, push_line};
use crate::spawn::unix_ms;
use crate::spec::LogPolicy;

/// Least cap: room for a few of the longest lines.
const MIN_BYTES: u64 = 64 << 10;

/// A rotated file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    policy: LogPolicy,
    /// `None` until first written to, and after a failure.
    open: Option<(File, u64)>,
    lost: Lost,
}

#[derive(Debug, Default)]
struct Lost {
    lines: usize,
    reason: String,
}

impl LogFile {
    /// The log `<name>.log` in a directory; made when first written to.
    pub fn new(directory: &Path, name: &str, policy: LogPolicy) -> Self {
        Self {
            path: directory.join(format!("{name}.log")),
            policy,
            open: None,
            lost: Lost::default(),
        }
    }

    /// Takes a new policy, from the next line on.
    pub fn set_policy(&mut self, policy: LogPolicy) {
        self.policy = policy;
    }

    /// Appends formatted lines, rotating as often as it takes.
    pub fn write(&mut self, lines: &[u8]) {
        if self.lost.lines > 0 {
            let text = format!(
                "[backstay] {} lines were lost: {}",
                self.lost.lines, self.lost.reason
            );
            let mut note = Vec::new();
            push_line(&mut note, unix_ms(), Source::Err, text.as_bytes());
            if self.append(&note).is_ok() {
                self.lost = Lost::default();
            }
        }
        if let Err((error, rest)) = self.append(lines) {
            self.lost.lines += memchr::memchr_iter(b'\n', rest).count();
            self.lost.reason = error.to_string();
            self.open = None;
        }
    }

    fn append<'a>(&mut self, mut lines: &'a [u8]) -> Result<(), (io::Error, &'a [u8])> {
        let cap = self.policy.max_bytes.max(MIN_BYTES);
        while !lines.is_empty() {
            let (file, size) = self.current().map_err(|error| (error, lines))?;
            let room = usize::try_from(cap.saturating_sub(*size)).unwrap_or(usize::MAX);
            let fits = whole_lines(lines, room);
            if fits == 0 && *size > 0 {
                self.rotate().map_err(|error| (error, lines))?;
                continue;
            }
            // An empty file takes its first line whatever its length.
            let fits = if fits == 0 {
                whole_lines(lines, lines.len())
            } else {
                fits
            };
            let (now, later) = lines.split_at(fits);
            file.write_all(now).map_err(|error| (error, lines))?;
            *size += now.len() as u64;
            lines = later;
        }
        Ok(())
    }

    fn current(&mut self) -> io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        self.open
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let kept = self.policy.max_files.saturating_sub(1);
        if kept == 0 {
            return std::fs::remove_file(&self.path);
        }
        for number in (1..kept).rev() {
            let _not_that_many_yet = std::fs::rename(numbered(number), numbered(number + 1));
        }
        std::fs::rename(&self.path, numbered(1))
    }
}

/// Length of the whole lines at the beginning of `lines` that fit `room`.
fn whole_lines(lines: &[u8], room: usize) -> usize {
    let window = &lines[..room.min(lines.len())];
    window
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Vec<(String, u64)> {
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    entry.metadata().unwrap().len(),
                )
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_flood_leaves_the_last_lines_in_capped_files() {
        let directory = tempfile::tempdir().unwrap();
        let policy = LogPolicy {
            max_bytes: MIN_BYTES,
            max_files: 3,
        };
        let mut log = LogFile::new(directory.path(), "a.1", policy);
        for number in 0..20_000 {
            log.write(format!("this is line number {number}\n").as_bytes());
        }
        let files = files(directory.path());
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.1.log", "a.1.log.1", "a.1.log.2"]);
        assert!(
            files.iter().all(|(_, size)| *size <= MIN_BYTES),
            "{files:?}"
        );
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(read("a.1.log").ends_with("line number 19999\n"));
        let (older, newer) = (read("a.1.log.1"), read("a.1.log"));
        let number = |line: &str| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
        let (last, first) = (
            number(older.lines().last().unwrap()),
            number(newer.lines().next().unwrap()),
        );
        assert_eq!(last + 1, first, "no line is lost between two files");
    }

    #[test]
    fn one_batch_larger_than_the_cap_is_spread_over_files() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogFile::new(
            directory.path(),
            "a.1",
            LogPolicy {
                max_bytes: 1,
                max_files: 2,
            },
        );
        log.write(&b"0123456789\n".repeat(20_000));
        assert!(
            files(directory.path())
                .iter()
                .all(|(_, size)| *size <= MIN_BYTES && size % 11 == 0)
        );
    }

    #[test]
    fn a_single_file_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogFile::new(
            directory.path(),
            "a.1",
            LogPolicy {
                max_bytes: 1,
                max_files: 1,
            },
        );
        log.write(&b"0123456789\n".repeat(20_000));
        assert_eq!(files(directory.path()).len(), 1);
    }

    #[test]
    fn lines_lost_to_a_missing_directory_are_counted_when_it_is_back() {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs");
        let mut log = LogFile::new(&logs, "a.1", LogPolicy::default());
        log.write(b"one\ntwo\n");
        std::fs::create_dir(&logs).unwrap();
        log.write(b"three\n");
        let text = std::fs::read_to_string(logs.join("a.1.log")).unwrap();
        assert!(
            text.contains(" err [backstay] 2 lines were lost: "),
            "{text}"
        );
        assert!(text.ends_with("three\n"), "{text}");
    }
}
