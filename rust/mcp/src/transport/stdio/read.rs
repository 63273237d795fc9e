//! Lines out of a server's stdout, bounded whatever it prints.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_immediate;
use rustix::io::Errno;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;

use super::skim::Skim;
use crate::envelope::excerpt;
use crate::raw::RawJson;

/// What came out of stdout.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its line break, within the limit.
    Whole(Bytes),
    /// A line has gone over the limit; what follows of it is thrown away. This is how it starts.
    TooLong {
        /// Its start, as an error shows it.
        shown: String,
    },
    /// The line that went over the limit has ended.
    Skipped {
        /// The `id` it had, if it was an answer or a request.
        id: Option<RawJson>,
    },
    /// The process closed its stdout.
    End,
}

/// Cuts a pipe into lines. A line ends at `\n` and at nothing else: other line separators may stand in a JSON string.
#[derive(Debug)]
pub struct Reader {
    pipe: Receiver,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line break.
    searched: usize,
    /// The line that went over the limit, while it goes on.
    skim: Option<Box<Skim>>,
    /// Wakes it to look into the pipe unasked.
    look: Arc<Notify>,
}

/// What a full pipe holds.
const CHUNK: usize = 64 << 10;

thread_local! {
    /// What is read unasked.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into());
}

impl Reader {
    /// Takes a pipe's reading end, which becomes non-blocking. Needs a tokio runtime around it.
    pub fn open(stdout: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            pipe: Receiver::from_owned_fd(stdout)?,
            buffer: BytesMut::new(),
            searched: 0,
            skim: None,
            look: Arc::default(),
        })
    }

    /// Whoever wakes this has it look into the pipe before it is told that something came. A server that is busy has
    /// answered by then, and what tells of that may stand behind thousands of clients that ask.
    pub fn look(&self) -> Arc<Notify> {
        Arc::clone(&self.look)
    }

    /// The next line of at most `limit` bytes, or what there is instead of it.
    pub async fn next(&mut self, limit: usize) -> io::Result<Line> {
        self.next_watched(limit, |_| {}).await
    }

    /// As [`Reader::next`]; `unended` is shown a line that has begun whenever its end is waited for.
    pub async fn next_watched(
        &mut self,
        limit: usize,
        mut unended: impl FnMut(&[u8]),
    ) -> io::Result<Line> {
        loop {
            if let Some(line) = self.buffered(limit) {
                return Ok(line);
            }
            // A server that never stops must not keep this thread from its other tasks.
            tokio::task::coop::consume_budget().await;
            if self.buffer.capacity() - self.buffer.len() < CHUNK / 8 {
                self.buffer.reserve(CHUNK);
            }
            // A read that does not fill the buffer has emptied the pipe, as tokio knows too: it asks no second time.
            let read = poll_immediate(pin!(self.pipe.read_buf(&mut self.buffer))).await;
            if let Some(read) = read {
                if read? == 0 {
                    return Ok(self.rest());
                }
                continue;
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new(); // a server that says nothing costs nothing
            } else {
                unended(&self.buffer);
            }
            loop {
                tokio::select! {
                    ready = self.pipe.readable() => break ready?,
                    () = self.look.notified() => if self.read_unasked()? { break },
                }
            }
        }
    }

    /// Reads what there is. False where that is nothing, or its end, which is told of as well.
    fn read_unasked(&mut self) -> io::Result<bool> {
        SCRATCH.with_borrow_mut(
            |scratch| match rustix::io::read(&self.pipe, &mut scratch[..]) {
                Ok(0) | Err(Errno::AGAIN | Errno::INTR) => Ok(false),
                Ok(read) => {
                    self.buffer.extend_from_slice(&scratch[..read]);
                    Ok(true)
                }
                Err(error) => Err(error.into()),
            },
        )
    }

    /// What can be said of the bytes at hand.
    fn buffered(&mut self, limit: usize) -> Option<Line> {
        let end = memchr::memchr(b'\n', &self.buffer[self.searched..]).map(|at| self.searched + at);
        if let Some(skim) = &mut self.skim {
            skim.feed(&self.buffer[..end.unwrap_or(self.buffer.len())]);
            let ended = end.is_some();
            self.drop_front(end.map_or(self.buffer.len(), |end| end + 1));
            return if ended {
                self.skim.take().map(|skim| Line::Skipped { id: skim.id() })
            } else {
                None
            };
        }
        // A line that is too long is too long even if its end is at hand.
        if end.unwrap_or(self.buffer.len()) > limit {
            let shown = excerpt(&self.buffer);
            self.skim = Some(Box::default());
            self.searched = 0;
            return Some(Line::TooLong { shown });
        }
        self.searched = self.buffer.len();
        let end = end?;
        let mut line = self.buffer.split_to(end + 1).freeze();
        self.searched = 0;
        line.truncate(if line[..end].ends_with(b"\r") {
            end - 1
        } else {
            end
        });
        Some(Line::Whole(line))
    }

    /// What there is when nothing more comes: a last line without its line break, then the end.
    fn rest(&mut self) -> Line {
        self.searched = 0;
        let rest = std::mem::take(&mut self.buffer).freeze();
        if rest.is_empty() || self.skim.is_some() {
            Line::End
        } else {
            Line::Whole(rest)
        }
    }

    fn drop_front(&mut self, count: usize) {
        let _ = self.buffer.split_to(count);
        self.searched = 0;
        if self.buffer.is_empty() {
            // What a long line made grow is given back.
            self.buffer = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    fn reader() -> (Reader, File) {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        (Reader::open(out).unwrap(), into.into())
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_end_at_line_breaks_and_nowhere_else() {
        let (mut reader, mut server) = reader();
        server
            .write_all("one\r\n\"\u{2028}\u{2029}\u{85}\u{b}\"\n\nhal".as_bytes())
            .unwrap();
        assert_eq!(reader.next(100).await.unwrap(), whole("one"));
        assert_eq!(
            reader.next(100).await.unwrap(),
            whole("\"\u{2028}\u{2029}\u{85}\u{b}\"")
        );
        assert_eq!(reader.next(100).await.unwrap(), whole(""));
        server.write_all(b"f\n").unwrap();
        assert_eq!(reader.next(100).await.unwrap(), whole("half"));
        server.write_all(b"no end").unwrap();
        drop(server);
        assert_eq!(reader.next(100).await.unwrap(), whole("no end"));
        assert_eq!(reader.next(100).await.unwrap(), Line::End);
    }

    #[tokio::test]
    async fn ten_megabytes_without_a_line_break_take_no_memory() {
        let (mut reader, mut server) = reader();
        let writer = std::thread::spawn(move || {
            server
                .write_all(b"{\"jsonrpc\":\"2.0\",\"result\":{\"text\":\"")
                .unwrap();
            server.write_all(&vec![b'x'; 10 << 20]).unwrap();
            server.write_all(b"\"},\"id\":42}\nnext\n").unwrap();
        });
        let Line::TooLong { shown } = reader.next(100_000).await.unwrap() else {
            panic!("not noticed")
        };
        assert!(shown.starts_with("{\"jsonrpc\""), "{shown}");
        assert_eq!(
            reader.next(100_000).await.unwrap(),
            Line::Skipped {
                id: Some(RawJson::number(42))
            }
        );
        assert!(
            reader.buffer.capacity() <= 4 * CHUNK,
            "{}",
            reader.buffer.capacity()
        );
        assert_eq!(reader.next(100_000).await.unwrap(), whole("next"));
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn who_is_woken_to_look_reads_what_is_there_and_waits_on_where_nothing_is() {
        let (mut reader, mut server) = reader();
        let look = reader.look();
        for line in ["one", "two"] {
            look.notify_one();
            assert!(poll_immediate(pin!(reader.next(100))).await.is_none());
            server.write_all(line.as_bytes()).unwrap();
            server.write_all(b"\n").unwrap();
            look.notify_one();
            // This thread has not been told of anything: nobody has asked the kernel.
            let read = poll_immediate(pin!(reader.next(100))).await;
            assert_eq!(read.unwrap().unwrap(), whole(line));
        }
        drop(server);
        look.notify_one();
        assert_eq!(reader.next(100).await.unwrap(), Line::End);
    }

    #[tokio::test]
    async fn a_line_of_just_the_limit_is_whole() {
        let (mut reader, mut server) = reader();
        server.write_all(b"1234\n12345\n6\n").unwrap();
        assert_eq!(reader.next(4).await.unwrap(), whole("1234"));
        assert!(matches!(
            reader.next(4).await.unwrap(),
            Line::TooLong { .. }
        ));
        assert_eq!(reader.next(4).await.unwrap(), Line::Skipped { id: None });
        assert_eq!(reader.next(4).await.unwrap(), whole("6"));
    }

    #[tokio::test]
    async fn a_line_that_has_begun_is_shown_while_its_end_is_waited_for() {
        let (mut reader, mut server) = reader();
        server.write_all(b"one\nPassword: ").unwrap();
        let (seen, mut waits) = tokio::sync::mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            let mut watched = |bytes: &[u8]| seen.send(bytes.to_vec()).unwrap();
            let first = reader.next_watched(100, &mut watched).await.unwrap();
            (first, reader.next_watched(100, &mut watched).await.unwrap())
        });
        assert_eq!(waits.recv().await.unwrap(), b"Password: ");
        server.write_all(b"no\n").unwrap();
        assert_eq!(
            reading.await.unwrap(),
            (whole("one"), whole("Password: no"))
        );
    }
}
