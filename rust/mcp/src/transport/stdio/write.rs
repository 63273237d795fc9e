//! Whole lines into a server's stdin.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::PIPE_BUF;
use tokio::net::unix::pipe::Sender;

use super::journal::Journal;

/// Writes lines so that a kill at any moment leaves none of them mangled in the pipe.
#[derive(Debug)]
pub struct Writer {
    pipe: Sender,
    journal: Journal,
}

impl Writer {
    /// Takes a pipe's writing end, which becomes non-blocking, and its journal. Needs a tokio runtime around it.
    pub fn open(stdin: OwnedFd, journal: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            pipe: Sender::from_owned_fd(stdin)?,
            journal: Journal::open(journal)?,
        })
    }

    /// Finishes what a former daemon committed and did not live to send.
    pub async fn finish(&mut self) -> io::Result<()> {
        while self.journal.has_unsent() {
            self.pipe.writable().await?;
            match self.pipe.try_io(|| self.journal.send(self.pipe.as_fd())) {
                Err(error) if !again(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes lines, each with its line break, in as few system calls as atomic writes allow.
    pub async fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        self.finish().await?;
        self.journal.reclaim(self.pipe.as_fd())?;
        while !lines.is_empty() {
            let atomic = if lines.len() <= PIPE_BUF {
                Some(lines.len())
            } else {
                memchr::memrchr(b'\n', &lines[..PIPE_BUF]).map(|at| at + 1)
            };
            let length = atomic
                .or_else(|| memchr::memchr(b'\n', lines).map(|at| at + 1))
                .unwrap_or(lines.len());
            let (now, later) = lines.split_at(length);
            if atomic.is_some() {
                self.write_atomically(now).await?;
            } else {
                self.journal.commit(now)?;
                self.finish().await?;
            }
            lines = later;
        }
        Ok(())
    }

    async fn write_atomically(&self, lines: &[u8]) -> io::Result<()> {
        loop {
            match self.pipe.try_write(lines) {
                Ok(written) if written == lines.len() => return Ok(()),
                Ok(written) => {
                    return Err(io::Error::other(format!(
                        "stdin took {written} of {} bytes at once: it is no pipe",
                        lines.len()
                    )));
                }
                Err(error) if again(&error) => self.pipe.writable().await?,
                Err(error) => return Err(error),
            }
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
