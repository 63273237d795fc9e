//! One resumable SSE stream to a client: messages in, frames out.
//!
//! Messages are kept after they were sent, within bounds, so that a client that lost its connection
//! gets them again by `Last-Event-ID`. When the bounds are reached, what was already sent goes first,
//! then the oldest notification; answers and requests are never dropped (`backlog.rs`). How a message is written as
//! an event is in `frame.rs`.

mod backlog;
mod frame;

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use backstay_mcp::{RawJson, RpcError, jsonrpc};
use bytes::Bytes;
use parking_lot::Mutex;

use backlog::Backlog;
pub(crate) use backlog::Keep;
pub(crate) use frame::EventId;

/// See the module.
#[derive(Debug)]
pub(crate) struct EventStream {
    generation: u32,
    /// Its number within the session.
    pub(crate) number: u32,
    /// The request it answers, if it answers one.
    request: Option<RawJson>,
    /// Its events have no ids: it cannot be resumed.
    bare: bool,
    /// Guards the queue and the reader's waker for a few instructions at a time; never held across a wait.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    backlog: Backlog,
    finished: bool,
    /// The reader is to go when it has read what there is, and to come back for the rest.
    paused: bool,
    waker: Option<Waker>,
    /// Which reader is the current one: a newer one ends the older.
    reader: u64,
    reading: bool,
}

impl EventStream {
    pub(crate) fn new(generation: u32, number: u32, request: Option<RawJson>) -> Arc<Self> {
        Arc::new(Self {
            generation,
            number,
            request,
            bare: false,
            state: Mutex::default(),
        })
    }

    /// A stream that cannot be resumed, for a modern client.
    pub(crate) fn bare() -> Arc<Self> {
        Arc::new(Self {
            generation: 0,
            number: 0,
            request: None,
            bare: true,
            state: Mutex::default(),
        })
    }

    /// What there is of a stream that is not known any more: an error for the request it answered, and its end.
    pub(crate) fn lost(id: EventId, why: &str) -> Arc<Self> {
        let stream = Self::new(id.generation, id.stream, id.request);
        stream.state.lock().backlog = Backlog::after(id.number);
        if let Some(request) = &stream.request {
            let error = RpcError::new(jsonrpc::CONNECTION_CLOSED, why);
            stream.push(&jsonrpc::error(Some(request), &error), Keep::Always);
        }
        stream.finish();
        stream
    }

    /// Adds a message.
    pub(crate) fn push(&self, message: &[u8], keep: Keep) {
        let mut state = self.state.lock();
        if state.finished {
            return;
        }
        let frame = if self.bare {
            frame::write_bare(message)
        } else {
            let id = EventId {
                generation: self.generation,
                stream: self.number,
                number: state.backlog.next(),
                request: self.request.clone(),
            };
            frame::write(&id, message)
        };
        if !state.backlog.push(frame, keep) {
            return;
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Adds an event that is no message.
    pub(crate) fn event(&self, name: &str, data: &str) {
        let frame = format!("event: {name}\ndata: {data}\n\n");
        self.state.lock().backlog.push(frame.into(), Keep::Always);
    }

    /// Adds the event without data that lets a client resume a stream on which nothing has come yet.
    pub(crate) fn prime(&self) {
        self.push(b"", Keep::Always);
    }

    /// Nothing more will come; readers end when they have read all.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock();
        state.finished = true;
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    /// Ends the connection that reads it, or the first that will, once it has read what there is. Its client
    /// comes back for the rest by `Last-Event-ID` (2025-11-25's polling).
    pub(crate) fn pause(&self) {
        let mut state = self.state.lock();
        state.paused = true;
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    /// Whether a connection reads it now.
    pub(crate) fn is_read(&self) -> bool {
        self.state.lock().reading
    }

    /// Whether nothing more will come.
    pub(crate) fn is_finished(&self) -> bool {
        self.state.lock().finished
    }

    /// How much it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().backlog.bytes()
    }

    /// Messages not yet taken by any connection.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().backlog.waits()
    }

    /// Reads on behind event `after`; a reader from before ends.
    pub(crate) fn read(self: &Arc<Self>, after: u64) -> Reader {
        let mut state = self.state.lock();
        state.reader += 1;
        state.reading = true;
        let epoch = state.reader;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Reader {
            stream: Arc::clone(self),
            cursor: after,
            epoch,
            held: None,
        }
    }

    /// Reads what no connection has taken yet.
    pub(crate) fn read_on(self: &Arc<Self>) -> Reader {
        let sent = self.state.lock().backlog.sent();
        self.read(sent)
    }
}

/// One connection's reading of a stream: the body of an answer.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Arc<EventStream>,
    cursor: u64,
    epoch: u64,
    /// What ends when nobody reads any more.
    held: Option<Held>,
}

/// Something whose drop says that nobody reads any more.
pub(crate) type Held = Box<dyn Any + Send + Sync>;

impl Reader {
    /// The same, holding something as long as it reads.
    pub(crate) fn holding(mut self, held: Held) -> Self {
        self.held = Some(held);
        self
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.stream.state.lock();
        if state.reader != self.epoch {
            return Poll::Ready(None);
        }
        if let Some((number, frame)) = state.backlog.take(self.cursor) {
            self.cursor = number;
            return Poll::Ready(Some(frame));
        }
        if state.finished || std::mem::take(&mut state.paused) {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // First, as it may look at the stream.
        drop(self.held.take());
        let mut state = self.stream.state.lock();
        if state.reader == self.epoch {
            state.reading = false;
            state.waker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(reader: &mut Reader) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut frames = Vec::new();
        while let Poll::Ready(Some(frame)) = reader.poll_next(&mut cx) {
            frames.push(String::from_utf8(frame.to_vec()).unwrap());
        }
        frames
    }

    #[test]
    fn a_paused_stream_lets_its_reader_go_once_and_keeps_the_rest_for_the_next() {
        let stream = EventStream::new(3, 7, None);
        stream.prime();
        stream.pause();
        let mut first = stream.read(0);
        assert_eq!(take(&mut first), ["id: 3-7-1\nretry: 500\ndata: \n\n"]);
        let mut cx = Context::from_waker(Waker::noop());
        let mut second = stream.read(1);
        assert!(second.poll_next(&mut cx).is_pending(), "it is let go once");
        stream.push(b"{}", Keep::Always);
        assert_eq!(
            take(&mut second),
            ["id: 3-7-2\nevent: message\ndata: {}\n\n"]
        );
    }

    #[test]
    fn a_client_that_comes_back_gets_what_it_missed() {
        let stream = EventStream::new(3, 7, None);
        stream.push(b"{\"a\":1}", Keep::IfRoom);
        stream.push(b"{\"a\":\n2}", Keep::Always);
        let mut first = stream.read_on();
        assert_eq!(
            take(&mut first),
            [
                "id: 3-7-1\nevent: message\ndata: {\"a\":1}\n\n",
                "id: 3-7-2\nevent: message\ndata: {\"a\":\ndata: 2}\n\n"
            ]
        );
        drop(first);
        stream.push(b"3", Keep::Always);
        stream.finish();
        let after = EventId::parse("3-7-1").unwrap().number;
        let again = take(&mut stream.read(after));
        assert_eq!(again.len(), 2);
        assert!(again[1].contains("data: 3"));
    }

    #[test]
    fn a_newer_reader_ends_the_older() {
        let stream = EventStream::new(1, 1, None);
        let mut old = stream.read_on();
        let mut new = stream.read_on();
        stream.push(b"1", Keep::Always);
        assert!(take(&mut old).is_empty());
        drop(old);
        assert!(stream.is_read(), "the old one's end is not the new one's");
        assert_eq!(take(&mut new).len(), 1);
    }

    #[test]
    fn a_full_stream_drops_notifications_and_keeps_answers() {
        let stream = EventStream::new(1, 1, None);
        stream.push(b"\"answer\"", Keep::Always);
        for _ in 0..backlog::MOST_EVENTS * 2 {
            stream.push(b"\"note\"", Keep::IfRoom);
        }
        let frames = take(&mut stream.read_on());
        assert_eq!(frames.len(), backlog::MOST_EVENTS);
        assert!(frames[0].contains("answer"));
    }

    #[test]
    fn what_was_sent_is_kept_only_for_a_while() {
        let stream = EventStream::new(1, 1, None);
        let mut reader = stream.read_on();
        for _ in 0..100 {
            stream.push(&[b'1'; 1000], Keep::Always);
            take(&mut reader);
        }
        assert!(stream.bytes() <= backlog::MOST_KEPT_BYTES);
        stream.push(&vec![b'1'; 1 << 20], Keep::Always);
        take(&mut reader);
        assert_eq!(
            take(&mut stream.read(100)).len(),
            1,
            "the last one is there, however large"
        );
    }

    #[test]
    fn the_same_change_is_announced_once() {
        let stream = EventStream::new(1, 1, None);
        stream.push(b"\"changed\"", Keep::Once);
        stream.push(b"\"changed\"", Keep::Once);
        assert_eq!(stream.waiting(), 1);
        take(&mut stream.read_on());
        stream.push(b"\"changed\"", Keep::Once);
        assert_eq!(stream.waiting(), 1);
    }
}
