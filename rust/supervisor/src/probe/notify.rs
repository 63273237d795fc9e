//! Has it said that it is ready, as to systemd?
//!
//! The socket's name is abstract: short however long the state directory's path
//! is, and gone with the socket. Abstract names have no permissions, so whoever
//! sends must be of our own user or a descendant of ours (a service started by root
//! may have become another user).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::census::{Entry, own_pid};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::Interest;

/// Longest message; systemd's own limit is 4 KiB.
const MESSAGE_MAX: usize = 4 << 10;
/// Generations looked back for ourselves.
const GENERATIONS: usize = 64;

/// One instance's `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct NotifySocket {
    socket: tokio::net::UnixDatagram,
    name: String,
}

impl NotifySocket {
    /// Binds a socket with a name nobody else has.
    pub fn bind() -> io::Result<Self> {
        let name = format!("backstay/notify/{:032x}", rand::random::<u128>());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: tokio::net::UnixDatagram::from_std(socket)?,
            name,
        })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// Waits for `READY=1`.
    pub async fn ready(&self) -> io::Result<()> {
        loop {
            let message = self.receive().await?;
            if message
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"READY=1")
            {
                return Ok(());
            }
        }
    }

    /// Hears out all that follows: a full queue would block whoever reports its status.
    pub async fn drain(&self) -> io::Result<()> {
        loop {
            self.receive().await?;
        }
    }

    async fn receive(&self) -> io::Result<Vec<u8>> {
        loop {
            let received = self
                .socket
                .async_io(Interest::READABLE, || receive(self.socket.as_fd()))
                .await?;
            if let Some(message) = received {
                return Ok(message);
            }
        }
    }
}

/// One message, or nothing if a stranger sent it.
fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = [0; MESSAGE_MAX];
    let mut parts = [io::IoSliceMut::new(&mut buffer)];
    let count =
        rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let own = rustix::process::getuid();
    let genuine = ancillary.drain().any(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => {
            sender.uid == own || is_ours(sender.pid.as_raw_nonzero().get())
        }
        _ => false,
    });
    Ok(genuine.then(|| buffer[..count].to_vec()))
}

/// Whether a process descends from this one.
fn is_ours(pid: i32) -> bool {
    let parent = |pid: &i32| Entry::read(*pid).map(|entry| entry.parent);
    let mut ancestors = std::iter::successors(Some(pid), parent).take(GENERATIONS);
    ancestors.any(|ancestor| ancestor == own_pid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_is_heard_among_other_news() {
        let socket = NotifySocket::bind().unwrap();
        let address = socket.address();
        let peer = UnixDatagram::unbound().unwrap();
        let to = SocketAddr::from_abstract_name(address.strip_prefix('@').unwrap()).unwrap();
        peer.send_to_addr(b"STATUS=loading\nNOTREADY=1", &to)
            .unwrap();
        peer.send_to_addr(b"STATUS=loaded\nREADY=1\n", &to).unwrap();
        socket.ready().await.unwrap();
    }

    #[test]
    fn descent_is_what_makes_another_user_trusted() {
        assert!(is_ours(own_pid()));
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        assert!(is_ours(i32::try_from(child.id()).unwrap()));
        assert!(!is_ours(
            rustix::process::getppid().unwrap().as_raw_nonzero().get()
        ));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
