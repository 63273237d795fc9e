//! An answer's body, which gives its connection back when it has been read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;

use super::Pool;

/// See the module. Dropped before its end, it takes its connection with it: the rest of the answer is in its way.
pub struct Reply<B> {
    body: Incoming,
    connection: Option<(Arc<Pool<B>>, http1::SendRequest<B>)>,
}

impl<B> std::fmt::Debug for Reply<B> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.body.fmt(out)
    }
}

impl<B> Reply<B> {
    pub(super) fn new(
        body: Incoming,
        connection: Option<(Arc<Pool<B>>, http1::SendRequest<B>)>,
    ) -> Self {
        Self { body, connection }
    }

    fn give_back(&mut self) {
        if let Some((pool, connection)) = self.connection.take() {
            pool.give_back(connection);
        }
    }
}

impl<B> Body for Reply<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if frame.is_none() {
            this.give_back();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Reply<B> {
    fn drop(&mut self) {
        // Who knows a body's length need not ask for its end.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}
