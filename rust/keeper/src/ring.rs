//! What happened lately, for a daemon that was not there.

use std::collections::VecDeque;

use backstay_supervisor::event::KeeperEvent;
use backstay_supervisor::spawn::unix_ms;
use backstay_supervisor::wire::message::Message;
use bytes::Bytes;

/// Most events kept.
pub(crate) const EVENTS_MAX: usize = 4096;
/// Most bytes of them kept: tails of logs make some events long.
const BYTES_MAX: usize = 1 << 20;

/// An event as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) seq: u64,
    pub(crate) json: Bytes,
}

/// The newest events, numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    events: VecDeque<Recorded>,
    bytes: usize,
    last: u64,
}

impl Ring {
    /// Number of the newest event; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Numbers an event and keeps it, dropping the oldest if there is no room.
    pub(crate) fn record(&mut self, event: KeeperEvent) -> Recorded {
        self.last += 1;
        let recorded = Recorded {
            seq: self.last,
            json: encode(self.last, event),
        };
        self.bytes += recorded.json.len();
        self.events.push_back(recorded.clone());
        while self.events.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.events.len() > 1) {
            self.bytes -= self
                .events
                .pop_front()
                .map_or(0, |oldest| oldest.json.len());
        }
        recorded
    }

    /// The events after a number, as far back as they are kept.
    pub(crate) fn after(&self, seq: u64) -> impl Iterator<Item = &Recorded> {
        self.events
            .iter()
            .filter(move |recorded| recorded.seq > seq)
    }
}

/// An event's message.
pub(crate) fn encode(seq: u64, event: KeeperEvent) -> Bytes {
    let message = Message::Event {
        seq,
        at: unix_ms(),
        event,
    };
    // Our own types, with string keys only: nothing in them can fail to be JSON.
    serde_json::to_vec(&message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: usize) -> KeeperEvent {
        KeeperEvent::Failed {
            name: "a.1".to_owned(),
            reason: "x".repeat(text),
            tail: String::new(),
        }
    }

    #[test]
    fn the_newest_events_are_kept_in_order_and_in_bounds() {
        let mut ring = Ring::default();
        for _ in 0..2 * EVENTS_MAX {
            ring.record(event(1));
        }
        let kept: Vec<_> = ring.after(0).map(|recorded| recorded.seq).collect();
        assert_eq!(kept.len(), EVENTS_MAX);
        assert_eq!(kept.last(), Some(&(2 * EVENTS_MAX as u64)));
        assert!(kept.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert_eq!(ring.after(2 * EVENTS_MAX as u64 - 3).count(), 3);
        for _ in 0..1000 {
            ring.record(event(4000));
        }
        assert!(ring.bytes <= BYTES_MAX && ring.after(0).count() > 200);
    }
}
