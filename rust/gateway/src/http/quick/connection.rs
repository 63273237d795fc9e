//! One connection: what is read of it and not used yet, its time, and answers written to it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use hyper::body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::asking::{Answered, Coming};
use super::super::body::Body;
use super::super::compress::{Coding, compress};
use super::super::listener::{Draining, HEADER_TIME};
use super::super::post::{BODY_TIME, LONG};
use super::head;
use super::prefixed::Prefixed;

/// What is read at a time.
const CHUNK: usize = 16 << 10;
/// What may come while an answer is waited for or written.
const AHEAD: usize = 64 << 10;
/// Larger answers are not copied to be one piece with their head.
const JOINED: usize = 16 << 10;

thread_local! {
    /// What every connection of this thread is read with, so that one that waits holds no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into());
}

/// How a connection's time here ended.
pub(in super::super) enum Ended<S> {
    Closed,
    /// It goes on elsewhere, with what was read and not used.
    Elsewhere(Prefixed<S>),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Head,
    Body,
}

/// See the module.
pub(super) struct Connection<'a, S> {
    stream: S,
    read: Vec<u8>,
    used: usize,
    /// When what is waited for must have come.
    due: Instant,
    awaited: Input,
    /// Fires at `due` or before it, mostly before: then it is set anew. So it is touched once in many requests.
    timer: Pin<Box<Sleep>>,
    /// Whether the timer and the draining know whom to wake.
    listened: bool,
    draining: Draining,
    drained: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
    closing: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    pub(super) fn new(stream: S, draining: &'a mut Draining) -> Self {
        let due = Instant::now() + HEADER_TIME;
        Self {
            stream,
            read: Vec::new(),
            used: 0,
            due,
            awaited: Input::Head,
            timer: Box::pin(sleep_until(due)),
            draining: draining.clone(),
            drained: Box::pin(async move { drop(draining.wait_for(|draining| *draining).await) }),
            listened: false,
            closing: false,
        }
    }

    /// What was read and is not used.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.read[self.used..]
    }

    /// Some of it was used.
    pub(super) fn consume(&mut self, length: usize) {
        self.used += length;
        if self.used >= self.read.len() {
            // A connection that waits holds nothing.
            self.read = Vec::new();
            self.used = 0;
        }
    }

    /// It goes on elsewhere.
    pub(super) fn hand_over(self) -> Ended<S> {
        let read = Bytes::from(self.read).slice(self.used..);
        Ended::Elsewhere(Prefixed::new(read, self.stream))
    }

    /// Waits until more has been read; the error is the connection's end.
    pub(super) async fn wait_for(&mut self, input: Input) -> Result<(), Ended<S>> {
        if self.awaited != input {
            self.awaited = input;
            self.due = Instant::now()
                + if input == Input::Head {
                    HEADER_TIME
                } else {
                    BODY_TIME
                };
        }
        let mut first = true;
        let come = poll_fn(|cx| {
            if let Poll::Ready(read) = self.poll_fill(cx) {
                return Poll::Ready(matches!(read, Ok(1..)));
            }
            let (late, drained) = self.listen(&mut first, cx);
            // Nobody waits for an answer now, so nothing is lost.
            if late || drained && self.bytes().is_empty() {
                return Poll::Ready(false);
            }
            Poll::Pending
        });
        if come.await {
            Ok(())
        } else {
            Err(Ended::Closed)
        }
    }

    /// Waits for an answer; none where the client goes away before.
    pub(super) async fn wait_with(&mut self, mut coming: impl Coming) -> Option<Answered> {
        self.due = Instant::now() + LONG;
        let mut first = true;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(answered) = Pin::new(&mut coming).poll(cx) {
                    return Poll::Ready(Some(answered));
                }
                if self.is_gone(cx) {
                    return Poll::Ready(None);
                }
                let (late, _) = self.listen(&mut first, cx);
                if !late {
                    return Poll::Pending;
                }
                self.due = Instant::now() + LONG;
                if let Some(answered) = coming.takes_long() {
                    return Poll::Ready(Some(answered));
                }
            }
        })
        .await
    }

    /// Writes an answer. An error is the connection's end.
    pub(super) async fn answer(
        &mut self,
        answered: Answered,
        coding: Option<Coding>,
    ) -> io::Result<()> {
        let closing = self.closing;
        match answered {
            Answered::Json(pieces) if coding.is_none() => {
                self.write_json(&pieces, closing).await?;
            }
            answered => {
                let response = answered.into_response();
                let response = match coding {
                    Some(coding) => compress(coding, response),
                    None => response,
                };
                // Boxed: most answers are none of these.
                Box::pin(self.write(response, closing)).await?;
            }
        }
        if closing {
            let _ = self.stream.shutdown().await;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.awaited = Input::Head;
        self.due = Instant::now() + HEADER_TIME;
        Ok(())
    }

    /// The answer that nearly all are: JSON that is all there.
    async fn write_json(&mut self, pieces: &[Bytes; 3], closing: bool) -> io::Result<()> {
        let length = pieces.iter().map(Bytes::len).sum();
        let mut out = Vec::with_capacity(head::ROOM + if length > JOINED { 0 } else { length });
        head::json(length, closing, &mut out);
        if length <= JOINED {
            for piece in pieces {
                out.extend_from_slice(piece);
            }
            self.stream.write_all(&out).await?;
        } else {
            self.write_parts([&out, &pieces[0], &pieces[1], &pieces[2]])
                .await?;
        }
        self.stream.flush().await
    }

    async fn write_parts(&mut self, parts: [&[u8]; 4]) -> io::Result<()> {
        let mut slices = parts.map(IoSlice::new);
        let mut left = &mut slices[..];
        // Drops what is empty.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.stream.write_vectored(left).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut left, written),
            }
        }
        Ok(())
    }

    /// Any other answer: its head, and its body piece by piece.
    async fn write(&mut self, response: Response<Body>, closing: bool) -> io::Result<()> {
        let (parts, body) = response.into_parts();
        let length = body.size_hint().exact();
        let mut out = Vec::with_capacity(head::ROOM * 2);
        head::any(&parts, length, closing, &mut out);
        let mut body = pin!(body);
        loop {
            if !out.is_empty() {
                self.stream.write_all(&out).await?;
                self.stream.flush().await?;
                out.clear();
            }
            let frame = poll_fn(|cx| {
                if let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
                    return Poll::Ready(Ok(frame));
                }
                if self.is_gone(cx) {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted)));
                }
                Poll::Pending
            });
            match frame.await? {
                Some(frame) => {
                    let Ok(data) = frame?.into_data() else {
                        continue;
                    };
                    if data.is_empty() {
                        continue;
                    }
                    if length.is_none() {
                        head::chunk(data.len(), &mut out);
                    }
                    out.extend_from_slice(&data);
                    if length.is_none() {
                        out.extend_from_slice(b"\r\n");
                    }
                }
                None if length.is_none() => {
                    self.stream.write_all(b"0\r\n\r\n").await?;
                    return self.stream.flush().await;
                }
                None => return Ok(()),
            }
        }
    }

    /// Reads what there is; zero at the connection's end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut into = ReadBuf::new(scratch);
            std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
            self.read.extend_from_slice(into.filled());
            Poll::Ready(Ok(into.filled().len()))
        })
    }

    /// Whether the client has gone, while we have something to do for it. What it says meanwhile is kept.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.bytes().len() < AHEAD {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }

    /// Whether what is waited for is late, and whether the gateway drains. Who waits for the first time, in a call or
    /// between two, need not ask: whoever was told once whom to wake still knows.
    fn listen(&mut self, first: &mut bool, cx: &mut Context<'_>) -> (bool, bool) {
        if self.due < self.timer.deadline() {
            self.timer.as_mut().reset(self.due);
            self.listened = false;
        }
        // What happened while something was written woke this task for nothing, so it is looked at.
        let quiet = self.listened && !self.timer.is_elapsed() && !*self.draining.borrow();
        if std::mem::take(first) && quiet {
            return (false, false);
        }
        self.listened = true;
        if !self.closing {
            self.closing = self.drained.as_mut().poll(cx).is_ready();
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.due {
                return (true, self.closing);
            }
            self.timer.as_mut().reset(self.due);
        }
        (false, self.closing)
    }
}
