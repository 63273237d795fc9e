//! The writer of a server's stdin is killed at any point, hundreds of times, and its successor goes on.
//!
//! The parent stands for the keeper (it holds the pipe's writing end and the journal) and for the server (it
//! reads). The child, this very test program run again, stands for the daemon. What the server reads must be
//! whole lines, none twice, none out of order, and all that were committed.

#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backstay_mcp::transport::stdio::{JOURNAL_START, Writer};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};

const KILLS: u64 = 400;
/// The round of a child that takes over and writes nothing of its own.
const FINISH: u64 = u64::MAX;
const CHILD: &str = "BACKSTAY_KILL_POINT_ROUND";

/// A line tells its round, its number, its length and its content, so that any damage shows.
fn line(round: u64, number: u64) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(round << 32 | number);
    let size = match number % 7 {
        0 => random.random_range(4_000..300_000),
        1 => random.random_range(4_050..4_150),
        _ => random.random_range(0..400),
    };
    let letter = b'a' + u8::try_from(number % 26).unwrap();
    let mut line =
        format!("{{\"round\":{round},\"number\":{number},\"size\":{size},\"text\":\"").into_bytes();
    line.extend(std::iter::repeat_n(letter, size));
    line.extend_from_slice(b"\"}\n");
    line
}

/// Reads a line back; panics if it is not exactly as it was made.
fn check(bytes: &[u8]) -> (u64, u64) {
    let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("mangled: {error}: {}", shown()));
    let (round, number) = (
        value["round"].as_u64().unwrap(),
        value["number"].as_u64().unwrap(),
    );
    assert!(
        bytes == &line(round, number)[..],
        "another content: {}",
        shown()
    );
    (round, number)
}

/// The daemon: takes over, then writes batches until it is killed. Its stdin is the pipe, its stderr the journal.
#[test]
fn writer_child() {
    let Ok(round) = std::env::var(CHILD) else {
        return;
    };
    let round: u64 = round.parse().unwrap();
    let pipe = stdin().as_fd().try_clone_to_owned().unwrap();
    let journal = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let mut random = SmallRng::seed_from_u64(round);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut writer = Writer::open(pipe, journal).unwrap();
        writer.finish().await.unwrap();
        if round == FINISH {
            return;
        }
        let mut number = 0;
        loop {
            let mut batch = Vec::new();
            for _ in 0..random.random_range(1..40) {
                batch.extend_from_slice(&line(round, number));
                number += 1;
            }
            writer.write(&batch).await.unwrap();
            let mut out = stdout().lock();
            writeln!(out, "wrote {number}").unwrap();
            out.flush().unwrap();
        }
    });
}

fn spawn(round: u64, pipe: &OwnedFd, journal: &OwnedFd) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_child", "--nocapture", "--test-threads=1"])
        .env(CHILD, round.to_string())
        .stdin(pipe.try_clone().unwrap())
        .stderr(journal.try_clone().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The server: takes what is in the pipe, cut into lines.
struct Server {
    pipe: File,
    half: Vec<u8>,
    lines: Vec<(u64, u64)>,
}

impl Server {
    /// Reads for as long as told, or until the pipe is empty where `None`.
    fn read(&mut self, random: &mut SmallRng, time: Option<Duration>) {
        let until = time.map(|time| std::time::Instant::now() + time);
        let mut buffer = vec![0; 65_536];
        loop {
            let left = until.map_or(Duration::ZERO, |until| {
                until.saturating_duration_since(std::time::Instant::now())
            });
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            if poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&wait)).unwrap() == 0 {
                return;
            }
            // Odd sizes leave the pipe in every state of fullness.
            let size = random.random_range(1..=buffer.len());
            match self.pipe.read(&mut buffer[..size]) {
                Ok(read) => self.take(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
            if until.is_some_and(|until| until <= std::time::Instant::now()) {
                return;
            }
        }
    }

    /// Waits until there is something to read.
    fn await_output(&mut self) {
        let wait = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        let ready = poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&wait)).unwrap();
        assert_eq!(ready, 1, "the child writes nothing");
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            self.half.extend_from_slice(&bytes[..=at]);
            self.lines.push(check(&self.half));
            self.half.clear();
            bytes = &bytes[at + 1..];
        }
        self.half.extend_from_slice(bytes);
    }
}

/// What was committed and not yet sent: the end of it is a whole line that must still arrive.
fn committed_line(journal: &OwnedFd) -> Option<(u64, u64)> {
    let mut header = [0; 8];
    rustix::io::pread(journal, &mut header[..], 0).unwrap();
    let committed = u64::from_ne_bytes(header);
    let sent = rustix::fs::tell(journal).unwrap();
    if committed <= sent.max(JOURNAL_START) {
        return None;
    }
    let from = committed.saturating_sub(400_000).max(JOURNAL_START);
    let mut bytes = vec![0; usize::try_from(committed - from).unwrap()];
    let read = rustix::io::pread(journal, &mut bytes[..], from).unwrap();
    assert_eq!(read, bytes.len());
    let start = memchr::memrchr(b'\n', &bytes[..bytes.len() - 1]).map_or(0, |at| at + 1);
    // The line may start in a hole: its pages were given back, as the server had read them.
    let start = start + bytes[start..].iter().take_while(|byte| **byte == 0).count();
    bytes[start..]
        .starts_with(b"{")
        .then(|| check(&bytes[start..]))
}

#[test]
fn a_killed_writer_leaves_no_mangled_and_no_doubled_line() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let seed = std::env::var("BACKSTAY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    eprintln!("BACKSTAY_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let (reader, pipe) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let journal = memfd_create("journal", MemfdFlags::CLOEXEC).unwrap();
    let mut server = Server {
        pipe: reader.into(),
        half: Vec::new(),
        lines: Vec::new(),
    };
    let (mut mid_line, mut resumed, mut written) = (0, 0, 0);
    for round in 0..KILLS {
        let mut child = spawn(round, &pipe, &journal);
        let mut acknowledged = BufReader::new(child.stdout.take().unwrap());
        // The first line of the harness says that the child runs; from there on any moment will do, but most while it
        // writes, which on a busy machine may take a while to begin.
        acknowledged.read_line(&mut String::new()).unwrap();
        if round % 8 != 0 {
            server.await_output();
        }
        let time = Duration::from_micros(random.random_range(0..6_000));
        server.read(&mut random, Some(time));
        child.kill().unwrap();
        assert_eq!(
            child.wait().unwrap().signal(),
            Some(9),
            "the child ended by itself"
        );
        let owed = committed_line(&journal);
        resumed += u64::from(owed.is_some());
        let mut told = String::new();
        acknowledged.read_to_string(&mut told).unwrap();
        let told = told
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("wrote ")?.parse().ok());
        let told: u64 = told.unwrap_or(0);
        // A successor that only finishes what was begun.
        let mut child = spawn(FINISH, &pipe, &journal);
        while child.try_wait().unwrap().is_none() {
            server.read(&mut random, Some(Duration::from_millis(1)));
        }
        assert_eq!(
            committed_line(&journal),
            None,
            "the successor left something"
        );
        server.read(&mut random, None);
        mid_line += u64::from(!server.half.is_empty());
        if let Some(owed) = owed {
            assert!(
                server.lines.contains(&owed),
                "{owed:?} was committed and never came"
            );
        }
        let of_round: Vec<u64> = server
            .lines
            .iter()
            .filter(|line| line.0 == round)
            .map(|line| line.1)
            .collect();
        assert!(
            of_round.iter().copied().eq(0..of_round.len() as u64),
            "round {round}: {of_round:?}"
        );
        assert!(
            of_round.len() as u64 >= told,
            "round {round}: {told} lines were written, {} came",
            of_round.len()
        );
        written += server.lines.len();
        server.lines.clear();
    }
    assert!(
        resumed > KILLS / 20,
        "only {resumed} of {KILLS} kills hit a large line: the test shows nothing"
    );
    eprintln!(
        "{written} lines, {resumed} of {KILLS} kills inside a large line, {mid_line} half lines at the end of a round"
    );
}
