//! A unix stream socket that carries frames and descriptors.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::{Buf, BytesMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use thiserror::Error;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::frame::{self, FDS_MAX, Frame, FrameError};

/// Bytes asked of the kernel at a time.
const READ: usize = 16 << 10;

/// Why a frame could not be sent or received.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The socket failed or the peer is gone.
    #[error("the connection is gone: {0}")]
    Io(#[from] io::Error),
    /// What came was no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame names more descriptors than came, or more came than any frame names.
    #[error("a message came without its descriptors, or with too many")]
    Fds,
}

/// What has arrived and is not yet taken.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: BytesMut,
    fds: VecDeque<OwnedFd>,
}

impl Inbox {
    /// The next frame and its descriptors; `None` when the peer closed between two frames.
    ///
    /// Cancel-safe: what has arrived stays in the inbox.
    pub async fn receive(
        &mut self,
        stream: &UnixStream,
    ) -> Result<Option<(Frame, Vec<OwnedFd>)>, SocketError> {
        loop {
            if let Some(frame) = frame::decode(&mut self.bytes)? {
                if self.fds.len() < frame.fds {
                    return Err(SocketError::Fds);
                }
                let fds = self.fds.drain(..frame.fds).collect();
                return Ok(Some((frame, fds)));
            }
            let count = stream
                .async_io(Interest::READABLE, || self.read(stream.as_fd()))
                .await?;
            // A frame is at most one set ahead of its bytes, so more is a peer gone astray.
            if self.fds.len() > 2 * FDS_MAX {
                return Err(SocketError::Fds);
            }
            if count == 0 {
                let broken_off = !self.bytes.is_empty();
                return if broken_off {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                } else {
                    Ok(None)
                };
            }
        }
    }

    fn read(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let filled = self.bytes.len();
        self.bytes.resize(filled + READ, 0);
        let mut parts = [io::IoSliceMut::new(&mut self.bytes[filled..])];
        let received =
            rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        self.bytes
            .truncate(filled + received.as_ref().map_or(0, |message| message.bytes));
        let received = received?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        Ok(received.bytes)
    }
}

/// Sends one frame; its descriptors go with its first byte.
pub async fn send(
    stream: &UnixStream,
    frame: &Frame,
    fds: &[BorrowedFd<'_>],
) -> Result<(), SocketError> {
    debug_assert_eq!(
        frame.fds,
        fds.len(),
        "the header says how many descriptors come"
    );
    let mut bytes = BytesMut::new();
    frame::encode(frame, &mut bytes)?;
    let mut with = fds;
    while bytes.has_remaining() {
        let sent = stream
            .async_io(Interest::WRITABLE, || write(stream.as_fd(), &bytes, with))
            .await?;
        bytes.advance(sent);
        with = &[];
    }
    Ok(())
}

fn write(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(fds));
    }
    let parts = [io::IoSlice::new(bytes)];
    Ok(rustix::net::sendmsg(
        socket,
        &parts,
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(json: &'static str, raw: Vec<u8>, fds: usize) -> Frame {
        Frame {
            json: json.as_bytes().into(),
            raw: raw.into(),
            fds,
        }
    }

    #[tokio::test]
    async fn descriptors_arrive_with_their_own_frame_in_a_run_of_frames() {
        let (here, there) = UnixStream::pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        let large = vec![7; frame::RAW_MAX];
        let sending = async {
            send(&here, &frame("1", large.clone(), 0), &[])
                .await
                .unwrap();
            send(&here, &frame("2", Vec::new(), 1), &[write.as_fd()])
                .await
                .unwrap();
            send(&here, &frame("3", large.clone(), 1), &[read.as_fd()])
                .await
                .unwrap();
            send(&here, &frame("4", Vec::new(), 0), &[]).await.unwrap();
        };
        let receiving = async {
            let mut inbox = Inbox::default();
            let mut arrived = Vec::new();
            while arrived.len() < 4 {
                arrived.push(inbox.receive(&there).await.unwrap().unwrap());
            }
            arrived
        };
        let ((), arrived) = tokio::join!(sending, receiving);
        let counts: Vec<_> = arrived
            .iter()
            .map(|(frame, fds)| (frame.raw.len(), fds.len()))
            .collect();
        assert_eq!(counts, [(large.len(), 0), (0, 1), (large.len(), 1), (0, 0)]);
        rustix::io::write(&arrived[1].1[0], b"x").unwrap();
        assert_eq!(rustix::io::read(&arrived[2].1[0], &mut [0; 4]).unwrap(), 1);
    }

    #[tokio::test]
    async fn a_frame_without_its_descriptors_ends_the_connection() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut bytes = BytesMut::new();
        frame::encode(&frame("{}", Vec::new(), 2), &mut bytes).unwrap();
        here.writable().await.unwrap();
        here.try_write(&bytes).unwrap();
        let received = Inbox::default().receive(&there).await;
        assert!(matches!(received, Err(SocketError::Fds)), "{received:?}");
    }

    #[tokio::test]
    async fn a_peer_that_dies_inside_a_frame_is_an_error_and_between_two_is_the_end() {
        let (here, there) = UnixStream::pair().unwrap();
        here.writable().await.unwrap();
        here.try_write(&[0, 0, 0]).unwrap();
        drop(here);
        let cut = Inbox::default().receive(&there).await;
        assert!(matches!(cut, Err(SocketError::Io(_))), "{cut:?}");
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert!(Inbox::default().receive(&there).await.unwrap().is_none());
    }
}
