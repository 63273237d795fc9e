//! One connection: a request is written, its answer read, by the task that asked. Nothing runs beside it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::head::{self, Head};

/// What is read at a time, and what a buffer has room for at first.
const CHUNK: usize = 8 << 10;
/// Room below which a buffer is made anew.
const LEAST: usize = 1 << 10;
/// Most bytes of an answer's head.
const MOST_HEAD: usize = 64 << 10;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) why: io::Error,
    /// Whether a byte of the request may have arrived.
    pub(super) sent: bool,
}

impl Broken {
    fn sent(why: impl Into<io::Error>) -> Self {
        Self {
            why: why.into(),
            sent: true,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// What was read and is not used yet.
    pub(super) buffer: BytesMut,
    /// An answer came before the whole request had gone, so that nothing can follow it.
    half: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            half: false,
        }
    }

    /// Whether another request may follow an answer that was read to its end.
    pub(super) fn is_free(&self) -> bool {
        self.buffer.is_empty() && !self.half
    }

    /// Whether its peer has closed it, or said something unasked, as far as this process has heard.
    pub(super) fn is_spoilt(&self) -> bool {
        let mut byte = [0];
        // Asks the kernel only where tokio has been told of something.
        let read = self.stream.try_read(&mut byte);
        !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The same, asked of the kernel.
    pub(super) fn is_spoilt_now(&self) -> bool {
        let mut byte = [0];
        let peeked = rustix::net::recv(
            &self.stream,
            &mut byte,
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        );
        !matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }

    /// Writes a request and reads the head of its answer, which is taken out of the buffer.
    pub(super) async fn ask(&mut self, head: &[u8], body: &[u8]) -> Result<(Head, Bytes), Broken> {
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        let all = head.len() + body.len();
        let written = poll_fn(|cx| {
            let stream = Pin::new(&mut self.stream);
            if body.is_empty() {
                stream.poll_write(cx, head)
            } else {
                stream.poll_write_vectored(cx, &parts)
            }
        })
        .await;
        match written {
            Ok(written) if written == all => {}
            // Boxed: most requests are one write.
            Ok(written) => Box::pin(self.write_rest(head, body, written))
                .await
                .map_err(Broken::sent)?,
            Err(why) => return Err(Broken { why, sent: false }),
        }
        loop {
            match head::read(&self.buffer).map_err(|bad| Broken::sent(io::Error::other(bad)))? {
                Some(head) => {
                    let bytes = self.buffer.split_to(head.length).freeze();
                    // 100 and its kin come before the answer; nobody asked to switch.
                    if !head.status.is_informational() {
                        return Ok((head, bytes));
                    }
                    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
                        return Err(Broken::sent(io::Error::other(
                            "it switches protocols unasked",
                        )));
                    }
                }
                None if self.buffer.len() > MOST_HEAD => {
                    let why = format!("the head of its answer has more than {MOST_HEAD} bytes");
                    return Err(Broken::sent(io::Error::other(why)));
                }
                None => {
                    if self.fill().await.map_err(Broken::sent)? == 0 {
                        let why = "it closed the connection before its answer";
                        return Err(Broken::sent(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            why,
                        )));
                    }
                }
            }
        }
    }

    /// Writes what is left of a large request while the answer may come already: a server that refuses it need not
    /// read it.
    async fn write_rest(&mut self, head: &[u8], body: &[u8], mut done: usize) -> io::Result<()> {
        let all = head.len() + body.len();
        poll_fn(|cx| {
            while done < all {
                let parts = [
                    IoSlice::new(&head[done.min(head.len())..]),
                    IoSlice::new(&body[done.saturating_sub(head.len())..]),
                ];
                match Pin::new(&mut self.stream).poll_write_vectored(cx, &parts) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(written)) => done += written,
                    // It reads no more; perhaps it has said why.
                    Poll::Ready(Err(error)) if is_end(&error) => {
                        self.half = true;
                        break;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        let read = ready!(self.poll_fill(cx))?;
                        if read == 0 || self.has_answer() {
                            self.half = true;
                            break;
                        }
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Whether the head of an answer is there, or so much that it is none.
    fn has_answer(&self) -> bool {
        let head = head::read(&self.buffer);
        let final_one = |head: Head| !head.status.is_informational();
        self.buffer.len() > MOST_HEAD || head.map_or(true, |head| head.is_some_and(final_one))
    }

    /// Reads more into the buffer; zero at the connection's end.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        self.make_room();
        self.stream.read_buf(&mut self.buffer).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; 1024];
        let mut read = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    fn make_room(&mut self) {
        if self.buffer.capacity() - self.buffer.len() < LEAST {
            self.buffer.reserve(CHUNK);
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}
