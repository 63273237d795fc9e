//! The bodies of our answers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use backstay_traffic::pool::Reply;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::compress::Encoded;
use crate::published::Asked;
use crate::session::Reader;

/// A stream on which nothing happens says so this often, so that nothing between takes it for dead.
const QUIET: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) enum Body {
    /// Bytes that are all there, in up to three pieces.
    Whole([Bytes; 3]),
    /// An event stream.
    Events(Reader, Pin<Box<Sleep>>),
    /// What another server answers.
    Forwarded(Incoming),
    /// What a published service answers.
    Passed(Box<Passed>),
    /// Any of these, in fewer bytes.
    Encoded(Box<Encoded>),
}

/// An answer's body that is passed on, and what counts it until it has ended.
pub(crate) struct Passed {
    reply: Reply<Asked>,
    _counted: Box<dyn Send>,
}

impl Passed {
    pub(crate) fn new(reply: Reply<Asked>, counted: impl Send + 'static) -> Self {
        Self {
            reply,
            _counted: Box::new(counted),
        }
    }
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Whole([const { Bytes::new() }; 3])
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole([bytes.into(), Bytes::new(), Bytes::new()])
    }

    pub(crate) fn events(reader: Reader) -> Self {
        Self::Events(reader, Box::pin(tokio::time::sleep(QUIET)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(pieces) => {
                let next = pieces
                    .iter_mut()
                    .find(|piece| !piece.is_empty())
                    .map(std::mem::take);
                Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
            }
            Self::Events(reader, quiet) => {
                if let Poll::Ready(event) = reader.poll_next(cx) {
                    quiet.as_mut().reset(Instant::now() + QUIET);
                    return Poll::Ready(event.map(|event| Ok(Frame::data(event))));
                }
                ready!(quiet.as_mut().poll(cx));
                quiet.as_mut().reset(Instant::now() + QUIET);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))))
            }
            Self::Forwarded(body) => Pin::new(body).poll_frame(cx).map_err(io::Error::other),
            Self::Passed(passed) => Pin::new(&mut passed.reply)
                .poll_frame(cx)
                .map_err(io::Error::other),
            Self::Encoded(encoded) => encoded
                .poll_data(cx)
                .map(|data| data.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(pieces) => pieces.iter().all(Bytes::is_empty),
            Self::Events(..) | Self::Encoded(_) => false,
            Self::Forwarded(body) => body.is_end_stream(),
            Self::Passed(passed) => passed.reply.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            Self::Events(..) | Self::Encoded(_) => SizeHint::default(),
            Self::Forwarded(body) => body.size_hint(),
            Self::Passed(passed) => passed.reply.size_hint(),
        }
    }
}
