//! What waits to be written to a server's stdin.
//!
//! Callers append to one buffer; the one writing task takes all of it at once, so that under load a single
//! system call carries many messages and nobody waits for a timer.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::pipe::PIPE_BUF;
use tokio::sync::{Notify, watch};

use super::write::Writer;
use crate::envelope::join_lines;

/// The buffer between callers and the writing task.
#[derive(Debug)]
pub struct Outbox {
    /// Guards appends and the swap, both short and never across an await.
    waiting: Mutex<Waiting>,
    wake: Notify,
    done: watch::Sender<bool>,
    limit: usize,
    /// Woken when many messages have gone out at once.
    went: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    closed: bool,
}

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// So many bytes wait already.
    Full(usize),
    /// The connection has ended.
    Closed,
    /// The message has so many bytes.
    TooLarge(usize),
}

/// What one batch's buffer may keep for the next.
const KEPT: usize = 1 << 20;

impl Outbox {
    /// A buffer that takes no further message once `limit` bytes wait. When many have gone out at once, `went` is woken:
    /// answers to earlier ones may be there.
    pub fn new(limit: usize, went: Arc<Notify>) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Notify::new(),
            done: watch::Sender::new(false),
            limit,
            went,
        }
    }

    /// Appends the message that `write` writes, made one line of.
    pub fn push(&self, max_bytes: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Refused> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(Refused::Closed);
        }
        let start = waiting.lines.len();
        if start >= self.limit {
            return Err(Refused::Full(start));
        }
        let lines = &mut waiting.lines;
        write(lines);
        let size = lines.len() - start;
        if size > max_bytes {
            lines.truncate(start);
            return Err(Refused::TooLarge(size));
        }
        join_lines(lines, start);
        lines.push(b'\n');
        drop(waiting);
        if start == 0 {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Takes no more; what waits is still written.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits until nothing more will be written.
    pub async fn done(&self) {
        // The sender is ours, so it cannot be gone.
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }

    /// Writes what comes until the box is closed and empty, or the pipe fails.
    pub async fn write_to(&self, writer: Writer) -> io::Result<()> {
        let outcome = self.write_all_to(writer).await;
        self.close();
        self.done.send_replace(true);
        outcome
    }

    async fn write_all_to(&self, mut writer: Writer) -> io::Result<()> {
        writer.finish().await?;
        let mut batch = Vec::new();
        loop {
            self.wake.notified().await;
            // Whoever is ready to send something does so first: then one system call carries it all, and wakes the
            // server once.
            tokio::task::yield_now().await;
            loop {
                let closed = {
                    let mut waiting = self.waiting.lock();
                    std::mem::swap(&mut batch, &mut waiting.lines);
                    waiting.closed
                };
                if batch.is_empty() {
                    if closed {
                        return Ok(());
                    }
                    break;
                }
                writer.write(&batch).await?;
                if batch.len() > PIPE_BUF {
                    self.went.notify_one();
                }
                batch.clear();
                batch.shrink_to(KEPT);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_one_line() {
        let outbox = Outbox::new(100, Arc::default());
        outbox
            .push(100, |out| out.extend_from_slice(b"{\n\"a\":\r\n1}"))
            .unwrap();
        assert_eq!(outbox.waiting.lock().lines, b"{ \"a\":  1}\n");
    }

    #[test]
    fn a_full_box_says_so_and_a_large_message_leaves_nothing() {
        let outbox = Outbox::new(4, Arc::default());
        assert_eq!(
            outbox.push(3, |out| out.extend_from_slice(b"1234")),
            Err(Refused::TooLarge(4))
        );
        outbox
            .push(9, |out| out.extend_from_slice(b"1234"))
            .unwrap();
        assert_eq!(outbox.push(9, |out| out.push(b'1')), Err(Refused::Full(5)));
        outbox.close();
        assert_eq!(outbox.push(9, |out| out.push(b'1')), Err(Refused::Closed));
    }
}
