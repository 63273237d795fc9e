//! From an instance's pipes to its log.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;
use regex::bytes::Regex;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

use crate::log::file::LogFile;
use crate::log::format::{Source, push_line};
use crate::log::tail::Tail;
use crate::spawn::unix_ms;

/// Longest line; longer ones are split.
const LINE_MAX: usize = 16 << 10;
/// Bytes read at a time; on the stack, and only while reading.
const READ: usize = 16 << 10;

/// Where an instance's lines go, from one process to the next.
#[derive(Clone, Debug)]
pub struct Log(Arc<Mutex<Inner>>);

/// Guarded by one plain lock: both pipes of a process write to it, and never wait with it held.
#[derive(Debug)]
struct Inner {
    file: LogFile,
    tail: Tail,
    watch: Option<(Regex, oneshot::Sender<()>)>,
}

impl Log {
    /// A log with nothing in its tail.
    pub fn new(file: LogFile) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            file,
            tail: Tail::default(),
            watch: None,
        })))
    }

    /// Begins a new process's output: an empty tail and nothing watched for.
    pub fn begin(&self) {
        let mut inner = self.0.lock();
        inner.tail = Tail::default();
        inner.watch = None;
    }

    /// Fires when a line matches.
    pub fn watch_for(&self, pattern: Regex) -> oneshot::Receiver<()> {
        let (found, receiver) = oneshot::channel();
        self.0.lock().watch = Some((pattern, found));
        receiver
    }

    /// The last lines of the current process.
    pub fn tail(&self) -> String {
        self.0.lock().tail.text()
    }

    /// Changes what is kept.
    pub fn set_policy(&self, policy: crate::spec::LogPolicy) {
        self.0.lock().file.set_policy(policy);
    }

    /// Writes a line of the keeper's own.
    pub fn note(&self, text: &str) {
        let mut line = Vec::new();
        push_line(
            &mut line,
            unix_ms(),
            Source::Err,
            format!("[backstay] {text}").as_bytes(),
        );
        self.0.lock().file.write(&line);
    }

    /// Reads a pipe to its end and logs it. Never blocks and never gives up: a full
    /// pipe would block the instance.
    pub async fn pump(self, pipe: OwnedFd, source: Source) -> io::Result<()> {
        let pipe = Receiver::from_owned_fd(pipe)?;
        let mut carry = Carry::default();
        loop {
            pipe.readable().await?;
            match self.read(&pipe, source, &mut carry) {
                Ok(0) => break,
                // A flood on one pipe must not keep the others waiting.
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.finish(source, &carry);
        Ok(())
    }

    fn read(&self, pipe: &Receiver, source: Source, carry: &mut Carry) -> io::Result<usize> {
        let mut buffer = [0; READ];
        let count = pipe.try_read(&mut buffer)?;
        let mut inner = self.0.lock();
        let mut formatted = Vec::with_capacity(count + count / 4 + 64);
        let now = unix_ms();
        carry.split(&buffer[..count], |line| {
            inner.take(&mut formatted, now, source, line);
        });
        inner.file.write(&formatted);
        Ok(count)
    }

    fn finish(&self, source: Source, carry: &Carry) {
        if carry.0.is_empty() {
            return;
        }
        let mut inner = self.0.lock();
        let mut formatted = Vec::new();
        inner.take(&mut formatted, unix_ms(), source, &carry.0);
        inner.file.write(&formatted);
    }
}

impl Inner {
    fn take(&mut self, formatted: &mut Vec<u8>, now: u64, source: Source, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        push_line(formatted, now, source, line);
        self.tail.push(line);
        if self
            .watch
            .as_ref()
            .is_some_and(|(pattern, _)| pattern.is_match(line))
        {
            let found = self.watch.take();
            let _nobody_waits = found.map(|(_, found)| found.send(()));
        }
    }
}

/// The beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
struct Carry(Vec<u8>);

impl Carry {
    fn split(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = LINE_MAX - self.0.len();
            let window = &bytes[..room.min(bytes.len())];
            let end = memchr::memchr(b'\n', window);
            let (taken, used) = match end {
                Some(end) => (end, end + 1),
                None if window.len() == room => (room, room),
                None => {
                    self.0.extend_from_slice(window);
                    return;
                }
            };
            if self.0.is_empty() {
                line(&bytes[..taken]);
            } else {
                self.0.extend_from_slice(&bytes[..taken]);
                line(&self.0);
                // Given back, not cleared: an idle instance holds no buffer.
                self.0 = Vec::new();
            }
            bytes = &bytes[used..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::LogPolicy;
    use proptest::prelude::*;

    fn log(directory: &std::path::Path) -> Log {
        Log::new(LogFile::new(directory, "a.1", LogPolicy::default()))
    }

    #[tokio::test]
    async fn output_is_logged_by_line_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        let log = log(directory.path());
        let matched = log.watch_for(Regex::new("^secon").unwrap());
        rustix::io::write(&write, b"first\r\nsecond\nno end").unwrap();
        drop(write);
        log.clone().pump(read, Source::Out).await.unwrap();
        matched.await.unwrap();
        assert_eq!(log.tail(), "first\nsecond\nno end\n");
        let text = std::fs::read_to_string(directory.path().join("a.1.log")).unwrap();
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        assert_eq!(lines, ["out first", "out second", "out no end"]);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_the_bytes_are_cut(text in "[a-z\n]{0,200}", step in 1_usize..40) {
            let (mut carry, mut lines) = (Carry::default(), Vec::new());
            for piece in text.as_bytes().chunks(step) {
                carry.split(piece, |line| lines.push(line.to_vec()));
            }
            lines.push(carry.0);
            let whole: Vec<_> = text.split('\n').map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(lines, whole);
        }
    }

    #[test]
    fn an_endless_line_is_split_and_not_gathered() {
        let (mut carry, mut lines) = (Carry::default(), Vec::new());
        for _ in 0..100 {
            carry.split(&[b'x'; 1000], |line| lines.push(line.len()));
        }
        assert_eq!(lines, [LINE_MAX; 6]);
        assert!(carry.0.len() < LINE_MAX);
    }
}
