//! The pipes to one MCP server over stdio, and the journal beside them.
//!
//! The keeper makes a set for every start of a [`crate::spec::Stdio::Mcp`]
//! instance and keeps it for the life of the process. What the daemon gets are
//! duplicates: they share offset and flags with the keeper's, so a daemon that
//! dies leaves the pipes as they were and the next one goes on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, OFlags};
use rustix::pipe::PipeFlags;

/// What the gateway talks to a stdio server through.
#[derive(Debug)]
pub struct McpPipes {
    /// Write end of the server's standard input, non-blocking.
    pub stdin: OwnedFd,
    /// Read end of the server's standard output, non-blocking.
    pub stdout: OwnedFd,
    /// An empty memory file at first; `rust/mcp` keeps writes in it that are
    /// larger than one atomic pipe write, so that a successor can finish them.
    pub journal: OwnedFd,
}

/// The two ends that the server itself gets.
#[derive(Debug)]
pub struct ServerEnds {
    /// Read end of its standard input.
    pub stdin: OwnedFd,
    /// Write end of its standard output.
    pub stdout: OwnedFd,
}

impl McpPipes {
    /// Fresh pipes and an empty journal; `size` is asked of the kernel, not required.
    ///
    /// A pipe's buffer is all that a server can write while no daemon reads, so a
    /// larger one keeps it from blocking. The kernel may refuse (each user has a
    /// budget): the default size then does.
    pub fn create(size: usize) -> rustix::io::Result<(Self, ServerEnds)> {
        let (server_stdin, stdin) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (stdout, server_stdout) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        for end in [&stdin, &stdout] {
            let _default_will_do = rustix::pipe::fcntl_setpipe_size(end, size);
            rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK | rustix::fs::fcntl_getfl(end)?)?;
        }
        let journal = rustix::fs::memfd_create("backstay-journal", MemfdFlags::CLOEXEC)?;
        Ok((
            Self {
                stdin,
                stdout,
                journal,
            },
            ServerEnds {
                stdin: server_stdin,
                stdout: server_stdout,
            },
        ))
    }

    /// The three descriptors in the order they are sent.
    pub fn borrowed(&self) -> [BorrowedFd<'_>; 3] {
        [
            self.stdin.as_fd(),
            self.stdout.as_fd(),
            self.journal.as_fd(),
        ]
    }

    /// The set in the order [`Self::borrowed`] sends it.
    pub(crate) fn from_received(fds: Vec<OwnedFd>) -> Option<Self> {
        let [stdin, stdout, journal] = <[OwnedFd; 3]>::try_from(fds).ok()?;
        Some(Self {
            stdin,
            stdout,
            journal,
        })
    }
}

/// Buffer to ask for when `servers` stdio servers run already.
///
/// An unprivileged user may hold 16,384 pages (64 MiB) of pipe buffers before the
/// kernel shrinks new pipes to a page or two, so a large fleet asks for less each.
pub fn pipe_size(servers: usize) -> usize {
    match servers {
        0..16 => 512 << 10,
        16..64 => 256 << 10,
        _ => 64 << 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_of_a_full_fleet_stay_inside_a_users_budget() {
        let held: usize = (0..128).map(|servers| 2 * pipe_size(servers)).sum();
        assert!(held <= 64 << 20, "{held}");
    }

    #[test]
    fn what_is_written_to_stdin_is_read_by_the_server() {
        let (ours, server) = McpPipes::create(pipe_size(0)).unwrap();
        rustix::io::write(&ours.stdin, b"ping\n").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(rustix::io::read(&server.stdin, &mut buffer).unwrap(), 5);
        let nothing_yet = rustix::io::read(&ours.stdout, &mut buffer);
        assert_eq!(nothing_yet.unwrap_err(), rustix::io::Errno::AGAIN);
    }
}
