//! Large messages, so that a daemon killed while it writes one leaves no half of it in a server's stdin.
//!
//! A write of up to `PIPE_BUF` bytes to a pipe is all or nothing. A larger one can stop half-way, and whoever comes
//! next must know where. So a large message is first appended to a memfd that the keeper holds too, then counted in
//! as committed, and then the *kernel* moves it on: `sendfile` advances the memfd's own file offset, which every
//! holder of it shares, in the very system call that fills the pipe. Killed before the commit, the message was
//! never there; killed after it, the next daemon finds an offset short of `committed` and sends the rest first.
//!
//! `sendfile` puts references to the memfd's pages into the pipe, not copies: what was sent is never overwritten,
//! messages only ever append, and pages are given back (by punching a hole) only once the server has read past them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek, sendfile, tell};
use rustix::io::{ioctl_fionread, pread, pwrite};

/// Where messages start: behind a page whose first eight bytes are the position up to which they are committed.
pub const JOURNAL_START: u64 = 4096;

const PAGE: u64 = 4096;

/// The one writer's view of the memfd.
#[derive(Debug)]
pub struct Journal {
    memfd: OwnedFd,
    /// The end of what will be sent, whoever sends it.
    committed: u64,
    /// The shared file offset: the end of what is in the pipe.
    sent: u64,
    /// The end of what was given back.
    punched: u64,
}

impl Journal {
    /// Takes over a memfd, new or a former daemon's.
    pub fn open(memfd: OwnedFd) -> io::Result<Self> {
        let mut header = [0; 8];
        let read = pread(&memfd, &mut header[..], 0)?;
        let mut committed = u64::from_ne_bytes(header);
        if read < header.len() || committed == 0 {
            // New. Killed between these two steps, it is still new.
            seek(&memfd, SeekFrom::Start(JOURNAL_START))?;
            committed = JOURNAL_START;
            write_all(&memfd, &committed.to_ne_bytes(), 0)?;
        }
        let sent = tell(&memfd)?;
        if sent < JOURNAL_START || sent > committed {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the journal of stdin is damaged: sent {sent}, committed {committed}"),
            ));
        }
        // What a former daemon gave back is a hole already, and punching holes again costs nothing much.
        Ok(Self {
            memfd,
            committed,
            sent,
            punched: JOURNAL_START,
        })
    }

    /// Whether something committed is not in the pipe yet.
    pub fn has_unsent(&self) -> bool {
        self.sent < self.committed
    }

    /// Appends a message; when this returns, it will be sent, whoever does it.
    pub fn commit(&mut self, message: &[u8]) -> io::Result<()> {
        write_all(&self.memfd, message, self.committed)?;
        let committed = self.committed + message.len() as u64;
        // Eight bytes inside one page: the kernel copies them whole before it looks at signals.
        write_all(&self.memfd, &committed.to_ne_bytes(), 0)?;
        self.committed = committed;
        Ok(())
    }

    /// Moves into the pipe what it takes; `WouldBlock` when it is full.
    pub fn send(&mut self, pipe: BorrowedFd<'_>) -> io::Result<()> {
        while self.has_unsent() {
            let left = usize::try_from(self.committed - self.sent).unwrap_or(usize::MAX);
            let sent = sendfile(pipe, self.memfd.as_fd(), None, left)?;
            if sent == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the journal of stdin is shorter than it says",
                ));
            }
            self.sent += sent as u64;
        }
        Ok(())
    }

    /// Gives pages back that the server has read past.
    pub fn reclaim(&mut self, pipe: BorrowedFd<'_>) -> io::Result<()> {
        if self.sent - self.punched < PAGE {
            return Ok(());
        }
        // The unread bytes are the last ones written, so everything of ours before that many is read.
        let read = self.sent.saturating_sub(ioctl_fionread(pipe)?);
        let end = read / PAGE * PAGE;
        if end > self.punched {
            fallocate(
                &self.memfd,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                self.punched,
                end - self.punched,
            )?;
            self.punched = end;
        }
        Ok(())
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = match pwrite(fd, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        bytes = &bytes[written..];
        at += written as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    struct Bench {
        keeper: OwnedFd,
        pipe: OwnedFd,
        server: File,
    }

    fn bench() -> Bench {
        let (server, pipe) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        Bench {
            keeper: memfd_create("journal", MemfdFlags::empty()).unwrap(),
            pipe,
            server: server.into(),
        }
    }

    impl Bench {
        fn journal(&self) -> Journal {
            Journal::open(self.keeper.try_clone().unwrap()).unwrap()
        }

        fn drain(&mut self) -> Vec<u8> {
            let mut all = Vec::new();
            let _ = self.server.read_to_end(&mut all); // ends with WouldBlock, keeping what was read
            all
        }

        fn blocks(&self) -> u64 {
            u64::try_from(rustix::fs::fstat(&self.keeper).unwrap().st_blocks).unwrap() * 512
        }
    }

    fn message(size: usize) -> Vec<u8> {
        (0..size)
            .map(|at| b'a' + u8::try_from(at % 23).unwrap())
            .collect()
    }

    #[test]
    fn what_was_committed_is_sent_by_the_next_one() {
        let mut bench = bench();
        let large = message(200_000);
        bench.journal().commit(&large).unwrap();
        let mut got = Vec::new();
        while got.len() < large.len() {
            // Each time another daemon, each time as much as the pipe takes.
            let outcome = bench.journal().send(bench.pipe.as_fd());
            assert!(outcome.is_ok() || outcome.unwrap_err().kind() == io::ErrorKind::WouldBlock);
            got.extend(bench.drain());
        }
        assert_eq!(got, large);
        assert!(!bench.journal().has_unsent());
    }

    #[test]
    fn what_was_not_committed_was_never_there() {
        let mut bench = bench();
        let journal = bench.journal();
        write_all(
            &journal.memfd,
            b"killed before the commit",
            journal.committed,
        )
        .unwrap();
        drop(journal);
        let mut journal = bench.journal();
        journal.commit(b"next").unwrap();
        journal.send(bench.pipe.as_fd()).unwrap();
        assert_eq!(bench.drain(), b"next");
    }

    #[test]
    fn a_half_made_header_is_made_again() {
        let bench = bench();
        seek(&bench.keeper, SeekFrom::Start(JOURNAL_START)).unwrap();
        assert!(!bench.journal().has_unsent());
        assert!(!bench.journal().has_unsent());
    }

    #[test]
    fn pages_are_given_back_only_when_they_were_read() {
        let mut bench = bench();
        let mut journal = bench.journal();
        let large = message(60_000);
        for _ in 0..50 {
            journal.commit(&large).unwrap();
            journal.send(bench.pipe.as_fd()).unwrap();
            journal.reclaim(bench.pipe.as_fd()).unwrap();
            assert!(bench.blocks() >= 60_000, "unread pages were given back");
            assert_eq!(bench.drain(), large);
            journal.reclaim(bench.pipe.as_fd()).unwrap();
            assert!(
                bench.blocks() <= 3 * PAGE,
                "{} bytes are still held",
                bench.blocks()
            );
        }
    }

    #[test]
    fn an_offset_beyond_what_was_committed_is_damage() {
        let bench = bench();
        bench.journal();
        seek(&bench.keeper, SeekFrom::Start(JOURNAL_START + 1)).unwrap();
        assert!(Journal::open(bench.keeper.try_clone().unwrap()).is_err());
    }
}
