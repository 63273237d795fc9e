//! The events of one stream: those that wait, and those that were sent a while ago; both bounded.

use std::collections::VecDeque;

use bytes::Bytes;

use super::frame;

/// Messages that may wait on one stream.
pub(super) const MOST_EVENTS: usize = 512;
/// Bytes that may wait on one stream; an answer or a request always may.
const MOST_BYTES: usize = 1 << 20;
/// Messages kept behind the reader, for when it lost its connection.
const MOST_KEPT: usize = 32;
/// Bytes kept behind the reader. The last message is always kept.
pub(super) const MOST_KEPT_BYTES: usize = 16 << 10;

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
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: VecDeque<Event>,
    bytes: usize,
    /// The number of the last event that came.
    last: u64,
    /// The number of the last event that a connection took.
    sent: u64,
}

impl Backlog {
    /// An empty one whose events are numbered from behind `last` on.
    pub(super) fn after(last: u64) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }

    /// The number that the next event will have.
    pub(super) fn next(&self) -> u64 {
        // A client may name any number as the last it saw.
        self.last.saturating_add(1)
    }

    /// Adds the next event; false where an equal one that waits makes it superfluous.
    pub(super) fn push(&mut self, frame: Bytes, keep: Keep) -> bool {
        if keep == Keep::Once {
            let same = |event: &Event| {
                event.keep == Keep::Once && frame::body(&event.frame) == frame::body(&frame)
            };
            if self.waiting().any(same) {
                return false;
            }
        }
        self.last = self.next();
        self.bytes += frame.len();
        self.events.push_back(Event {
            number: self.last,
            frame,
            keep,
        });
        self.make_room();
        true
    }

    /// The first event behind number `cursor`, which is sent by that.
    pub(super) fn take(&mut self, cursor: u64) -> Option<(u64, Bytes)> {
        let event = self.events.get(self.behind(cursor))?;
        let (number, frame) = (event.number, event.frame.clone());
        if number > self.sent {
            self.sent = number;
            self.trim();
        }
        Some((number, frame))
    }

    /// The number of the last event that a connection took.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// How much it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many events no connection has taken yet.
    #[cfg(test)]
    pub(super) fn waits(&self) -> usize {
        self.waiting().count()
    }

    fn waiting(&self) -> impl Iterator<Item = &Event> {
        self.events.range(self.behind(self.sent)..)
    }

    /// The index of the first event behind this number.
    fn behind(&self, number: u64) -> usize {
        self.events.partition_point(|event| event.number <= number)
    }

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
        let kept = self.behind(self.sent);
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
