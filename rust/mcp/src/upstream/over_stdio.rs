//! A connection over the pipes of a process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::closing::{CloseReason, HandshakeError};
use super::config::Pipes;
use super::core::{Core, Shared};
use super::inbound::Inbound;
use super::link::Link;
use crate::transport::stdio::{Claim, Line, Outbox, Reader, Writer};

/// So much may wait for a server that does not read; one more message of any size may top it.
const WAITING: usize = 16 << 20;

/// The longest first line of a server, which is its answer to `initialize` with icons and instructions, or nearly so.
const FIRST_LINE: usize = 4 << 20;

/// How long a process whose stdin is gone has to be gone itself, before the connection ends for that.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Takes the pipes, once nobody else has them, and starts reading and writing.
pub(super) async fn open(
    shared: Shared,
    pipes: Pipes,
    within: Duration,
    inbound: Arc<dyn Inbound>,
    taken_over: bool,
) -> Result<(Arc<Core>, Vec<JoinHandle<()>>), HandshakeError> {
    let bad = |error: io::Error| HandshakeError::BadTarget {
        instance: shared.instance.clone(),
        reason: error.to_string(),
    };
    let claim = timeout(within, Claim::wait(&pipes.journal)).await;
    let claim = claim
        .unwrap_or_else(|_| Err(io::Error::other("another connection uses its pipes")))
        .map_err(bad)?;
    let writer = Writer::open(pipes.stdin, pipes.journal).map_err(bad)?;
    let reader = Reader::open(pipes.stdout).map_err(bad)?;
    let outbox = Arc::new(Outbox::new(WAITING, reader.look()));
    let core = Core::new(shared, Link::Stdio(Arc::clone(&outbox)), inbound);
    let claim = Arc::new(claim);
    let writing = tokio::spawn(write(Arc::clone(&core), outbox, writer, Arc::clone(&claim)));
    let reading = tokio::spawn(read(Arc::clone(&core), reader, taken_over, claim));
    Ok((core, vec![writing, reading]))
}

async fn write(core: Arc<Core>, outbox: Arc<Outbox>, writer: Writer, _claim: Arc<Claim>) {
    let Err(error) = outbox.write_to(writer).await else {
        return;
    };
    if error.kind() == io::ErrorKind::BrokenPipe {
        // It has most likely ended, and what it printed last says more than a broken pipe does.
        tokio::time::sleep(LAST_WORDS).await;
        core.close(&CloseReason::StdinClosed);
    } else {
        core.close(&CloseReason::Io(format!("its stdin: {error}")));
    }
}

async fn read(core: Arc<Core>, mut reader: Reader, taken_over: bool, _claim: Arc<Claim>) {
    // A former daemon may have taken the beginning of the first line with it. No proper end of a JSON object is a
    // JSON object itself (from inside a string its quotes are the wrong way round, from outside its braces don't
    // match), so a half line cannot pass for a message, and a whole one is not lost.
    let mut half = taken_over;
    // Until its first message it may be any program at all, and is believed no endless line.
    let mut speaks = taken_over;
    let first_limit = FIRST_LINE.min(core.limits.max_bytes);
    loop {
        let next = if speaks {
            reader.next(core.limits.max_bytes).await
        } else {
            let watch = |line: &[u8]| core.unended(line);
            reader.next_watched(first_limit, watch).await
        };
        match next {
            Ok(Line::Whole(line)) => {
                let blank = line.iter().all(u8::is_ascii_whitespace);
                if core.receive(line.clone(), None).is_ok() {
                    speaks = true;
                } else if !blank && !half {
                    core.garbage(&line);
                }
                half = false;
            }
            Ok(Line::TooLong { shown }) if speaks => core.oversize(shown),
            Ok(Line::TooLong { shown }) => core.endless(first_limit, shown),
            Ok(Line::Skipped { id }) => core.skipped(id.as_ref()),
            Ok(Line::End) => return core.close(&CloseReason::StdoutClosed),
            Err(error) => return core.close(&CloseReason::Io(format!("its stdout: {error}"))),
        }
    }
}
