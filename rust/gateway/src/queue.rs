//! The one ordered stream of events to the daemon: a queue with an eventfd that is readable while
//! something waits.
//!
//! It is bounded. What tells a state (an exit, a handshake) is never dropped: whoever can wait (the
//! keeper's events) waits for room, and what cannot is let in. What is only worth knowing is dropped when
//! the queue is full, and the next event says how much.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use serde::Serialize;
use tokio::sync::Notify;

/// How much an event matters when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It tells a state: never dropped.
    State,
    /// It is worth knowing.
    Note,
}

/// See the module.
#[derive(Debug)]
pub struct EventQueue {
    /// Held while one event is numbered and appended, or while some are taken out.
    state: Mutex<State>,
    ready: OwnedFd,
    room: Notify,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Vec<u8>>,
    seq: u64,
    dropped: u64,
}

#[derive(Serialize)]
struct Numbered<'a, T> {
    seq: u64,
    at: u64,
    #[serde(flatten)]
    event: &'a T,
}

#[derive(Serialize)]
#[serde(tag = "kind")]
enum Own {
    #[serde(rename = "events.dropped")]
    Dropped { count: u64 },
}

impl EventQueue {
    /// An empty queue for about `most` events.
    pub fn new(most: usize) -> io::Result<Self> {
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            state: Mutex::default(),
            ready,
            room: Notify::new(),
            most,
        })
    }

    /// Appends an event that happened `at` (Unix milliseconds; now if none). It is numbered here, so that
    /// the order of numbers is the order of the stream.
    pub fn push<T: Serialize>(&self, event: &T, at: Option<u64>, weight: Weight) {
        let at = at.unwrap_or_else(unix_ms);
        let mut state = self.state.lock();
        if weight == Weight::Note && state.events.len() >= self.most {
            state.dropped += 1;
            return;
        }
        if state.dropped > 0 {
            let count = std::mem::take(&mut state.dropped);
            state.append(&Own::Dropped { count }, at);
        }
        state.append(event, at);
        drop(state);
        // It fails only where the counter is full, and then the descriptor is readable already.
        let _ = rustix::io::write(&self.ready, &1_u64.to_ne_bytes());
    }

    /// Waits until there is room.
    pub async fn room(&self) {
        loop {
            let made = self.room.notified();
            tokio::pin!(made);
            made.as_mut().enable();
            if self.state.lock().events.len() < self.most {
                return;
            }
            made.await;
        }
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.state.lock().events.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes out up to `limit` events, oldest first. The descriptor stays readable while more wait.
    pub fn drain(&self, limit: usize) -> Vec<Vec<u8>> {
        let mut state = self.state.lock();
        let count = limit.min(state.events.len());
        let events: Vec<_> = state.events.drain(..count).collect();
        if state.events.is_empty() {
            // Under the lock: an event appended after it must find the descriptor unread.
            let _ = rustix::io::read(&self.ready, &mut [0; 8]);
        }
        drop(state);
        self.room.notify_waiters();
        events
    }
}

impl AsFd for EventQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

impl AsRawFd for EventQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_raw_fd()
    }
}

impl State {
    fn append<T: Serialize>(&mut self, event: &T, at: u64) {
        self.seq += 1;
        if let Ok(json) = serde_json::to_vec(&Numbered {
            seq: self.seq,
            at,
            event,
        }) {
            self.events.push_back(json);
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use serde_json::{Value, json};

    use super::*;

    fn is_readable(queue: &EventQueue) -> bool {
        poll(
            &mut [PollFd::new(queue, PollFlags::IN)],
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )
        .unwrap()
            == 1
    }

    fn drain(queue: &EventQueue, limit: usize) -> Vec<Value> {
        queue
            .drain(limit)
            .iter()
            .map(|event| serde_json::from_slice(event).unwrap())
            .collect()
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_events_wait() {
        let queue = EventQueue::new(10).unwrap();
        assert!(!is_readable(&queue));
        queue.push(&json!({"kind": "a"}), Some(7), Weight::State);
        queue.push(&json!({"kind": "b"}), Some(8), Weight::State);
        assert!(is_readable(&queue));
        assert_eq!(drain(&queue, 1), [json!({"seq": 1, "at": 7, "kind": "a"})]);
        assert!(is_readable(&queue));
        assert_eq!(drain(&queue, 10), [json!({"seq": 2, "at": 8, "kind": "b"})]);
        assert!(!is_readable(&queue));
    }

    #[test]
    fn a_full_queue_keeps_states_drops_notes_and_says_so() {
        let queue = EventQueue::new(2).unwrap();
        for kind in ["a", "b"] {
            queue.push(&json!({"kind": kind}), None, Weight::Note);
        }
        queue.push(&json!({"kind": "lost"}), None, Weight::Note);
        queue.push(&json!({"kind": "exit"}), None, Weight::State);
        let kinds: Vec<_> = drain(&queue, 10)
            .iter()
            .map(|event| event["kind"].clone())
            .collect();
        assert_eq!(kinds, ["a", "b", "events.dropped", "exit"]);
    }

    #[tokio::test]
    async fn whoever_can_wait_waits_for_room() {
        let queue = std::sync::Arc::new(EventQueue::new(1).unwrap());
        queue.push(&json!({}), None, Weight::State);
        let waiting = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move { queue.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        queue.drain(1);
        waiting.await.unwrap();
    }
}
