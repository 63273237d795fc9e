//! `backstay connect`: MCP over stdin and stdout, for clients that start a program, passed to a path of
//! the gateway's trusted socket.
//!
//! When the daemon restarts, the socket stays (the keeper holds it) and so does the session; what was in
//! flight is asked again where that changes nothing, or answered with an error. Should the session be
//! unknown all the same, it is opened again with the client's own `initialize`, and the client need not
//! know. Requests of 2026-07-28, which has no sessions, pass each for itself (`modern.rs`); both eras may be spoken on
//! one pair of streams.

mod ask;
mod lines;
mod link;
mod modern;
mod session;
mod under_way;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::envelope::Batch;
use backstay_mcp::{Envelope, Kind, Limits, RpcError, jsonrpc};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use lines::{Line, next_line};
use session::Session;
use under_way::UnderWay;

/// Messages that may wait for a slow reader of stdout.
const WAITING: usize = 256;
/// Requests that may be under way; further ones are refused.
const AT_ONCE: usize = 4096;
/// How long answers that are on their way are waited for when stdin has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Passes messages until stdin ends or nobody reads stdout.
pub async fn bridge(socket: &Path, path: &str) -> io::Result<()> {
    bridge_over(socket, path, tokio::io::stdin(), tokio::io::stdout()).await
}

/// Passes messages of any pair of streams, until the input ends or nobody reads the output.
pub async fn bridge_over<R, W>(socket: &Path, path: &str, input: R, output: W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (out, messages) = mpsc::channel(WAITING);
    let mut writer = tokio::spawn(write(output, messages));
    let session = Session::new(socket, path, out.clone());
    let mut input = BufReader::new(input);
    let mut calls = JoinSet::new();
    let under_way = UnderWay::default();
    loop {
        let line = tokio::select! {
            line = next_line(&mut input, Limits::default().max_bytes) => line?,
            written = &mut writer => return written.unwrap_or(Ok(())),
        };
        while calls.try_join_next().is_some() {}
        match line {
            Line::End => break,
            Line::TooLong => {
                refuse(
                    &out,
                    &RpcError::new(jsonrpc::INVALID_REQUEST, "the message is too long"),
                )
                .await;
            }
            Line::Whole(bytes) => take(&session, &under_way, &out, &mut calls, bytes).await,
        }
    }
    under_way.stop_listening();
    let all = async { while calls.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_ANSWERS, all).await;
    calls.shutdown().await;
    session.end().await;
    drop((session, out));
    let _ = tokio::time::timeout(LAST_ANSWERS, writer).await;
    Ok(())
}

/// Passes what one line holds.
async fn take(
    session: &Arc<Session>,
    under_way: &UnderWay,
    out: &mpsc::Sender<Bytes>,
    calls: &mut JoinSet<()>,
    bytes: Bytes,
) {
    let messages = match Envelope::parse_batch(bytes, Limits::default()) {
        Ok(Batch::One(message)) => vec![Ok(message)],
        Ok(Batch::Many(messages)) => messages,
        Err(error) => vec![Err(error)],
    };
    for message in messages {
        match message {
            // Nothing else can be said before it is answered.
            Ok(message)
                if message.kind() == Kind::Request
                    && message.method() == "initialize"
                    && !modern::is_modern(&message) =>
            {
                Arc::clone(session).open(message).await;
            }
            Ok(message) if message.kind() == Kind::Request && calls.len() >= AT_ONCE => {
                let error = RpcError::new(
                    jsonrpc::CONNECTION_CLOSED,
                    "too many requests are under way",
                );
                let error = jsonrpc::error(message.id().as_ref(), &error);
                let _ = out.send(error.into()).await;
            }
            Ok(message) if message.kind() == Kind::Request => {
                under_way.ask(session, calls, message);
            }
            Ok(message)
                if message.method() == "notifications/cancelled"
                    && under_way.call_off(&message) => {}
            // In order with each other: an `initialized` before anything else, progress as it comes.
            Ok(message) => session.tell(&message).await,
            Err(error) => refuse(out, &RpcError::new(error.code(), error.to_string())).await,
        }
    }
}

async fn refuse(out: &mpsc::Sender<Bytes>, error: &RpcError) {
    let _ = out.send(jsonrpc::error(None, error).into()).await;
}

/// Writes messages as lines, and what waits in one go.
async fn write<W: AsyncWrite + Unpin>(
    mut output: W,
    mut messages: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Some(message) = messages.recv().await {
        lines::append(&message, &mut batch);
        while let Ok(message) = messages.try_recv() {
            lines::append(&message, &mut batch);
        }
        output.write_all(&batch).await?;
        output.flush().await?;
        batch.clear();
    }
    Ok(())
}
