//! One resumable SSE stream to a client: messages in, frames out.
//!
//! Messages are kept after they were sent, within bounds, so that a client that lost its connection
//! gets them again by `Last-Event-ID`. When the bounds are reached, what was already sent goes first,
//! then the oldest notification; answers and requests are never dropped.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

/// Messages that may wait on one stream.
const MOST_EVENTS: usize = 512;
/// Bytes that may wait on one stream; an answer or a request always may.
const MOST_BYTES: usize = 1 << 20;
/// Messages kept behind the reader, for when it lost its connection.
const MOST_KEPT: usize = 32;
/// Bytes kept behind the reader. The last message is always kept.
const MOST_KEPT_BYTES: usize = 16 << 10;

/// How long a client is to wait before it comes back for the rest of a stream.
const RETRY_MS: u32 = 500;

/// Names one event of one stream of one daemon: `<generation>-<stream>-<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) generation: u32,
    pub(crate) stream: u32,
    pub(crate) number: u64,
}

impl EventId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let id = Self {
            generation: parts.next()?.parse().ok()?,
            stream: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }
}

/// What may happen to a message when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It may be dropped: a notification.
    IfRoom,
    /// It may be dropped, and an equal one that still waits makes it superfluous: `list_changed`.
    Once,
    /// It is an answer or a request.
    Always,
}

/// One message on its way.
#[derive(Debug)]
struct Event {
    number: u64,
    frame: Bytes,
    keep: Keep,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct EventStream {
    generation: u32,
    /// Its number within the session.
    pub(crate) number: u32,
    /// Guards the queue and the reader's waker for a few instructions at a time; never held across a wait.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    next: u64,
    /// The number of the last event that a connection took.
    sent: u64,
    finished: bool,
    /// The reader is to go when it has read what there is, and to come back for the rest.
    paused: bool,
    waker: Option<Waker>,
    /// Which reader is the current one: a newer one ends the older.
    reader: u64,
    reading: bool,
}

impl EventStream {
    pub(crate) fn new(generation: u32, number: u32) -> Arc<Self> {
        Arc::new(Self {
            generation,
            number,
            state: Mutex::new(State {
                next: 1,
                ..State::default()
            }),
        })
    }

    /// Adds a message.
    pub(crate) fn push(&self, message: &[u8], keep: Keep) {
        let mut state = self.state.lock();
        if state.finished {
            return;
        }
        let number = state.next;
        let frame = self.frame(number, message);
        if keep == Keep::Once {
            let sent = state.sent;
            let same = |event: &Event| {
                event.keep == Keep::Once
                    && event.number > sent
                    && body(&event.frame) == body(&frame)
            };
            if state.events.iter().any(same) {
                return;
            }
        }
        state.next += 1;
        state.bytes += frame.len();
        state.events.push_back(Event {
            number,
            frame,
            keep,
        });
        state.make_room();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
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

    /// How much it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Messages not yet taken by any connection.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        let state = self.state.lock();
        state
            .events
            .iter()
            .filter(|event| event.number > state.sent)
            .count()
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
        }
    }

    /// Reads what no connection has taken yet.
    pub(crate) fn read_on(self: &Arc<Self>) -> Reader {
        let sent = self.state.lock().sent;
        self.read(sent)
    }

    fn frame(&self, number: u64, message: &[u8]) -> Bytes {
        let mut frame = Vec::with_capacity(message.len() + 64);
        let _ = writeln!(frame, "id: {}-{}-{number}", self.generation, self.number);
        if message.is_empty() {
            let _ = write!(frame, "retry: {RETRY_MS}\ndata: \n\n");
            return frame.into();
        }
        frame.extend_from_slice(b"event: message\n");
        // JSON may hold line breaks between its tokens; to SSE each is a line of its own.
        for line in message.split(|&byte| byte == b'\n' || byte == b'\r') {
            frame.extend_from_slice(b"data: ");
            frame.extend_from_slice(line);
            frame.push(b'\n');
        }
        frame.push(b'\n');
        frame.into()
    }
}

/// The frame without its id.
fn body(frame: &[u8]) -> &[u8] {
    frame
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(frame, |end| &frame[end..])
}

impl State {
    /// Drops what may be dropped until what waits is within its bounds.
    fn make_room(&mut self) {
        while self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            let sent = self.sent;
            let droppable = |event: &Event| event.number <= sent || event.keep != Keep::Always;
            let Some(victim) = self.events.iter().position(droppable) else {
                return;
            };
            self.forget(victim);
        }
    }

    /// Drops what was sent long enough ago.
    fn trim(&mut self) {
        let sent = self.sent;
        let kept = self.events.partition_point(|event| event.number <= sent);
        let mut bytes: usize = self
            .events
            .range(..kept)
            .map(|event| event.frame.len())
            .sum();
        let mut excess = 0;
        for (index, event) in self.events.range(..kept.saturating_sub(1)).enumerate() {
            if kept - index <= MOST_KEPT && bytes <= MOST_KEPT_BYTES {
                break;
            }
            bytes -= event.frame.len();
            excess = index + 1;
        }
        for _ in 0..excess {
            self.forget(0);
        }
    }

    fn forget(&mut self, index: usize) {
        if let Some(event) = self.events.remove(index) {
            self.bytes -= event.frame.len();
        }
    }
}

/// One connection's reading of a stream: the body of an answer.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Arc<EventStream>,
    cursor: u64,
    epoch: u64,
}

impl Reader {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.stream.state.lock();
        if state.reader != self.epoch {
            return Poll::Ready(None);
        }
        let next = state
            .events
            .partition_point(|event| event.number <= self.cursor);
        if let Some(event) = state.events.get(next) {
            let (number, frame) = (event.number, event.frame.clone());
            self.cursor = number;
            if number > state.sent {
                state.sent = number;
                state.trim();
            }
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
        let stream = EventStream::new(3, 7);
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
        let stream = EventStream::new(3, 7);
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
        let stream = EventStream::new(1, 1);
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
        let stream = EventStream::new(1, 1);
        stream.push(b"\"answer\"", Keep::Always);
        for _ in 0..MOST_EVENTS * 2 {
            stream.push(b"\"note\"", Keep::IfRoom);
        }
        let frames = take(&mut stream.read_on());
        assert_eq!(frames.len(), MOST_EVENTS);
        assert!(frames[0].contains("answer"));
    }

    #[test]
    fn what_was_sent_is_kept_only_for_a_while() {
        let stream = EventStream::new(1, 1);
        let mut reader = stream.read_on();
        for _ in 0..100 {
            stream.push(&[b'1'; 1000], Keep::Always);
            take(&mut reader);
        }
        assert!(stream.state.lock().bytes <= MOST_KEPT_BYTES);
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
        let stream = EventStream::new(1, 1);
        stream.push(b"\"changed\"", Keep::Once);
        stream.push(b"\"changed\"", Keep::Once);
        assert_eq!(stream.waiting(), 1);
        take(&mut stream.read_on());
        stream.push(b"\"changed\"", Keep::Once);
        assert_eq!(stream.waiting(), 1);
    }
}
