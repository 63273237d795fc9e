//! The daemon's client against keepers that misbehave as no real one should.

use std::path::Path;

use backstay_supervisor::wire::frame::{Frame, RAW_MAX};
use backstay_supervisor::wire::message::Refusal;
use backstay_supervisor::wire::socket::{self, Inbox};
use backstay_supervisor::{KeeperClient, KeeperError, KeeperEvent};
use tokio::net::{UnixListener, UnixStream};

const ATTACHED: &str =
    r#"{"reply": {"id": 0, "outcome": {"attached": {"pid": 1, "version": "x", "live_from": 6}}}}"#;

/// A keeper that says what the test has it say.
struct Fake {
    stream: UnixStream,
    inbox: Inbox,
}

impl Fake {
    async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().await.expect("a client connects");
        let mut fake = Self {
            stream,
            inbox: Inbox::default(),
        };
        fake.heard().await;
        fake
    }

    async fn heard(&mut self) -> serde_json::Value {
        let frame = self.inbox.receive(&self.stream).await.expect("a frame");
        let (frame, _) = frame.expect("the client is there");
        serde_json::from_slice(&frame.json).expect("a request")
    }

    async fn say(&self, json: &str) {
        let frame = Frame {
            json: json.as_bytes().to_vec().into(),
            ..Frame::default()
        };
        socket::send(&self.stream, &frame, &[])
            .await
            .expect("the client reads");
    }
}

fn listen(directory: &Path) -> (UnixListener, std::path::PathBuf) {
    let path = directory.join("keeper.sock");
    (UnixListener::bind(&path).expect("a socket"), path)
}

#[tokio::test]
async fn events_come_in_order_and_history_is_marked_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, path) = listen(directory.path());
    let keeper = async {
        let fake = Fake::accept(&listener).await;
        fake.say(ATTACHED).await;
        for (seq, kind) in [
            (5, r#""kind": "ready", "name": "a.1""#),
            (5, r#""kind": "adopted_all""#),
            (6, r#""kind": "stopped", "name": "a.1""#),
        ] {
            fake.say(&format!(
                r#"{{"event": {{"seq": {seq}, "at": 9, "event": {{{kind}}}}}}}"#
            ))
            .await;
        }
    };
    let (connected, ()) = tokio::join!(KeeperClient::connect(&path), keeper);
    let (client, mut events) = connected.unwrap();
    assert_eq!(client.keeper().pid, 1);
    let mut heard = Vec::new();
    while let Some(reported) = events.recv().await {
        heard.push((reported.seq, reported.replayed, reported.event));
        if matches!(heard.last(), Some((_, _, KeeperEvent::Lost))) {
            break;
        }
    }
    let [first, second, third, fourth] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert!(
        matches!(first, (5, true, KeeperEvent::Ready { .. })),
        "{first:?}"
    );
    assert!(
        matches!(second, (5, false, KeeperEvent::AdoptedAll)),
        "{second:?}"
    );
    assert!(
        matches!(third, (6, false, KeeperEvent::Stopped { .. })),
        "{third:?}"
    );
    assert!(
        matches!(fourth, (6, false, KeeperEvent::Lost)),
        "{fourth:?}"
    );
}

#[tokio::test]
async fn a_keeper_that_dies_with_a_request_in_hand_is_lost_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, path) = listen(directory.path());
    let keeper = async {
        let mut fake = Fake::accept(&listener).await;
        fake.say(ATTACHED).await;
        assert_eq!(fake.heard().await["command"], "list");
    };
    let daemon = async {
        let (client, _events) = KeeperClient::connect(&path).await.unwrap();
        client.list().await
    };
    let ((), outcome) = tokio::join!(keeper, daemon);
    assert!(matches!(outcome, Err(KeeperError::Lost)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_does_not_answer_costs_a_deadline_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, path) = listen(directory.path());
    // Held open and never answered: paused time goes on as soon as everyone waits.
    let outcome = KeeperClient::connect(&path).await.map(drop);
    assert!(matches!(outcome, Err(KeeperError::Deadline)), "{outcome:?}");
    drop(listener);
}

#[tokio::test]
async fn a_refusal_keeps_its_meaning_on_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, path) = listen(directory.path());
    let keeper = async {
        let mut fake = Fake::accept(&listener).await;
        fake.say(ATTACHED).await;
        let id = fake.heard().await["id"].clone();
        fake.say(&format!(r#"{{"reply": {{"id": {id}, "outcome": {{"refused": {{"not_running": {{"name": "a.1"}}}}}}}}}}"#)).await;
        fake
    };
    let daemon = async {
        let (client, _events) = KeeperClient::connect(&path).await.unwrap();
        client.signal("a.1", "HUP").await
    };
    let (_fake, outcome) = tokio::join!(keeper, daemon);
    let Err(KeeperError::Refused(refusal)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        refusal,
        Refusal::NotRunning {
            name: "a.1".to_owned()
        }
    );
    assert_eq!(refusal.to_string(), "`a.1` is not running");
}

#[tokio::test]
async fn a_note_over_its_limit_is_not_sent() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, path) = listen(directory.path());
    let keeper = async {
        let fake = Fake::accept(&listener).await;
        fake.say(ATTACHED).await;
        fake
    };
    let (connected, _fake) = tokio::join!(KeeperClient::connect(&path), keeper);
    let (client, _events) = connected.unwrap();
    let outcome = client
        .set_note("a.1", None, vec![0; RAW_MAX + 1].into())
        .await;
    assert!(
        matches!(outcome, Err(KeeperError::TooLarge(_))),
        "{outcome:?}"
    );
}
