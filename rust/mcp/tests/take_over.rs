//! A daemon is gone, its successor takes over the pipes of a server that never noticed.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use std::sync::Arc;

use backstay_mcp::upstream::Counts;
use backstay_mcp::{Call, Target, Upstream, UpstreamConfig};
use rustix::fd::AsFd;
use serde_json::json;
use support::{FakeServer, Heard, Kept, config, listener, server};

/// A server that a daemon of the first generation has greeted; that daemon is gone, its note is left.
async fn left_behind() -> (FakeServer, Kept, bytes::Bytes) {
    let (mut server, kept) = server();
    let config = UpstreamConfig {
        generation: 1,
        ..config(Target::Stdio(kept.pipes()))
    };
    let (upstream, ()) = tokio::join!(Upstream::connect(config, listener().0), server.greet());
    let note = upstream.unwrap().info().note().unwrap();
    (server, kept, note)
}

async fn successor(kept: &Kept, note: &bytes::Bytes) -> (Arc<Upstream>, support::Ear) {
    let (inbound, ear) = listener();
    let config = UpstreamConfig {
        generation: 2,
        resume: Some(note.clone()),
        ..config(Target::Stdio(kept.pipes()))
    };
    (Upstream::connect(config, inbound).await.unwrap(), ear)
}

async fn works(upstream: &Upstream, server: &mut FakeServer) {
    let (reply, ()) = tokio::join!(upstream.call(Call::new("tools/list", None)), async {
        let request = server.expect("tools/list").await;
        server.answer(&request, json!({})).await;
    });
    reply.unwrap();
}

#[tokio::test]
async fn a_successor_does_not_initialize_again() {
    let (mut server, kept, note) = left_behind().await;
    let (upstream, _ear) = successor(&kept, &note).await;
    assert!(upstream.info().resumed);
    assert_eq!(upstream.info().name, "fake");
    works(&upstream, &mut server).await;
}

#[tokio::test]
async fn a_late_answer_to_the_dead_daemon_is_recognised() {
    let (mut server, kept, note) = left_behind().await;
    // 513 is the second id of the first generation.
    server
        .say(json!({"jsonrpc": "2.0", "id": 513, "result": {}}))
        .await;
    let (upstream, _ear) = successor(&kept, &note).await;
    works(&upstream, &mut server).await;
    assert_eq!(
        upstream.counts(),
        Counts {
            former_generation: 1,
            ..Counts::default()
        }
    );
}

#[tokio::test]
async fn a_half_read_line_is_skipped_and_a_whole_one_is_not_lost() {
    let line = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "\"}{\"jsonrpc\":\"2.0\"}"}}).to_string() + "\n";
    for read in 0..line.len() {
        let (mut server, kept, note) = left_behind().await;
        server.print(&line).await;
        let mut taken = vec![0; read];
        if read > 0 {
            assert_eq!(
                rustix::io::read(kept.stdout.as_fd(), &mut taken[..]).unwrap(),
                read
            );
        }
        let (upstream, mut ear) = successor(&kept, &note).await;
        works(&upstream, &mut server).await;
        assert_eq!(
            upstream.counts(),
            Counts::default(),
            "a half line was counted as garbage"
        );
        let heard = ear.heard.try_recv();
        if read == 0 {
            assert!(matches!(heard, Ok(Heard::Notification(..))));
        } else {
            assert!(
                heard.is_err(),
                "{read} bytes were missing, and it was heard: {heard:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_half_written_message_is_finished_first() {
    let (mut server, kept, note) = left_behind().await;
    let large = json!({"jsonrpc": "2.0", "method": "notifications/large", "params": {"text": "x".repeat(500_000)}}).to_string() + "\n";
    let mut journal =
        backstay_mcp::transport::stdio::Journal::open(kept.journal.try_clone().unwrap()).unwrap();
    journal.commit(large.as_bytes()).unwrap();
    journal.send(kept.stdin.as_fd()).unwrap_err(); // the pipe is full, and now the daemon dies
    drop(journal);
    let (upstream, _ear) = successor(&kept, &note).await;
    assert_eq!(server.line().await, large);
    works(&upstream, &mut server).await;
}

#[tokio::test]
async fn two_connections_never_share_a_process() {
    let (_server, kept, note) = left_behind().await;
    let (first, _ear) = successor(&kept, &note).await;
    let short = std::time::Duration::from_millis(20);
    let config = || UpstreamConfig {
        resume: Some(note.clone()),
        start_timeout: short,
        ..config(Target::Stdio(kept.pipes()))
    };
    let error = Upstream::connect(config(), listener().0)
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "`fake.1`: another connection uses its pipes"
    );
    let ((), second) = tokio::join!(
        first.close(),
        Upstream::connect(
            UpstreamConfig {
                start_timeout: support::SOON,
                ..config()
            },
            listener().0
        )
    );
    assert!(second.is_ok());
}

#[tokio::test]
async fn a_note_that_cannot_be_read_means_another_handshake() {
    let (mut server, kept, _note) = left_behind().await;
    let config = UpstreamConfig {
        generation: 2,
        resume: Some("rubbish".into()),
        ..config(Target::Stdio(kept.pipes()))
    };
    let (upstream, ()) = tokio::join!(Upstream::connect(config, listener().0), server.greet());
    assert!(!upstream.unwrap().info().resumed);
}
