//! Servers that die and come back, and gateways that do.

use std::time::Duration;

use backstay_gateway::{Event, GatewayConfig};
use bytes::Bytes;
use serde_json::json;

use super::support::House;
use super::support::client::Client;
use super::support::server::{Fake, Offer};

#[tokio::test]
async fn a_call_to_a_server_that_dies_fails_clearly_and_the_next_finds_it_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with(GatewayConfig {
        state_dir: dir.path().into(),
        settle_ms: 0,
        ..GatewayConfig::default()
    });
    house.route(&["files"]);
    let first = Fake::silent(Offer::tools(&["read"]));
    house.attach("files", &first).await;
    let client = house.client("/mcp").await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.call(1, "files__read", json!({})).await }
    });
    first.next("tools/call").await;
    first.kill();
    let lost = asked.await.unwrap();
    assert_eq!(lost["error"]["code"], -32000);
    assert!(
        lost["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("server `files` ended during the call"),
        "{lost}"
    );
    house
        .wait(|event| matches!(event, Event::ServerClosed { .. }))
        .await;
    house
        .gateway
        .instance_down("files.1", "it exited with code 1", Some(1500));
    let down = client.call(2, "files__read", json!({})).await;
    assert_eq!(
        down["error"]["message"],
        "server `files` is restarting: it exited with code 1"
    );
    assert_eq!(
        down["error"]["data"],
        json!({"service": "files", "state": "restarting", "reason": "it exited with code 1", "retryAfter": 2})
    );
    assert_eq!(client.tools().await, ["files__read"], "lists do not flap");
    let second = Fake::new(Offer::tools(&["read"]));
    house.attach("files", &second).await;
    assert_eq!(
        client.call(3, "files__read", json!({})).await["result"]["tool"],
        "read"
    );
}

#[tokio::test]
async fn a_new_revision_that_fails_leaves_the_old_one_serving() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let old = Fake::new(Offer::tools(&["read"]));
    house.attach("files", &old).await;
    let client = house.client("/mcp").await;
    let broken = Fake::silent(Offer::default());
    let pipes = broken.pipes();
    broken.kill();
    house.gateway.attach("files.1", pipes, Bytes::new());
    let failed = house
        .wait(|event| matches!(event, Event::ServerFailed { .. }))
        .await;
    let Event::ServerFailed { reason, hint, .. } = failed else {
        unreachable!()
    };
    assert!(
        reason.contains("files.1") && !hint.is_empty(),
        "{reason} / {hint}"
    );
    assert_eq!(
        client.call(1, "files__read", json!({})).await["result"]["tool"],
        "read"
    );
}

#[tokio::test]
async fn sessions_and_handshakes_outlive_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Offer {
        resources: vec![json!({"uri": "memo://1", "name": "x"})],
        ..Offer::tools(&["read"])
    });
    let kept = fake.kept();
    let (client, note) = {
        let house = House::new(dir.path());
        house.route(&["files"]);
        house.attach("files", &fake).await;
        let client = house.client_with("/mcp", json!({"roots": {}})).await;
        client
            .request(1, "resources/subscribe", json!({"uri": "memo://1"}))
            .await;
        let asked = tokio::spawn({
            let client = client.clone();
            async move {
                client
                    .request(2, "logging/setLevel", json!({"level": "error"}))
                    .await
            }
        });
        fake.next("logging/setLevel").await;
        asked.await.unwrap();
        let (instance, note) = house.notes.lock().unwrap().last().cloned().unwrap();
        assert_eq!(instance, "files.1");
        (client, note)
    };
    fake.rest().await;
    let house = House::with(GatewayConfig {
        state_dir: dir.path().into(),
        generation: 2,
        settle_ms: 3000,
        ..GatewayConfig::default()
    });
    let client = Client {
        address: house.address,
        ..client
    };
    // A client that calls while the new daemon still looks around waits instead of being refused.
    let early = tokio::spawn({
        let client = client.clone();
        async move {
            (
                client.tools().await,
                client.call(3, "files__read", json!({})).await,
            )
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.gateway.attach("files.1", kept, note);
    house.route(&["files"]);
    let ready = house
        .wait(|event| matches!(event, Event::ServerReady { .. }))
        .await;
    assert!(
        matches!(ready, Event::ServerReady { resumed: true, .. }),
        "{ready:?}"
    );
    let (tools, answer) = early.await.unwrap();
    assert_eq!(tools, ["files__read"]);
    assert_eq!(answer["result"]["tool"], "read");
    // What it had asked for still holds.
    let mut stream = client.listen(None).await;
    fake.notify(
        "notifications/message",
        json!({"level": "warning", "data": "not heard"}),
    );
    fake.notify(
        "notifications/resources/updated",
        json!({"uri": "memo://1"}),
    );
    loop {
        let message = stream.message().await.unwrap();
        assert_ne!(message["method"], "notifications/message");
        if message["method"] == "notifications/resources/updated" {
            break;
        }
    }
}

#[tokio::test]
async fn a_broken_stream_is_resumed_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["a"]);
    let fake = Fake::silent(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    let client = house.client("/mcp").await;
    let params = json!({"name": "a__work", "_meta": {"progressToken": 1}});
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.start(1, "tools/call", params).await }
    });
    let request = fake.next("tools/call").await;
    let progress = |n: u32| {
        let token = request["params"]["_meta"]["progressToken"].clone();
        fake.notify(
            "notifications/progress",
            json!({"progressToken": token, "progress": n}),
        );
    };
    progress(1);
    let mut stream = asked.await.unwrap();
    let (primed, data) = stream.event().await.unwrap();
    assert!(
        data.is_empty(),
        "2025-11-25: an id to come back with, first of all"
    );
    let (first, _) = stream.event().await.unwrap();
    assert_ne!(primed, first);
    drop(stream);
    progress(2);
    fake.answer(&request, json!({"done": true}));
    let mut again = client.listen(Some(&first)).await;
    assert_eq!(again.message().await.unwrap()["params"]["progress"], 2);
    assert_eq!(again.message().await.unwrap()["result"]["done"], true);
    assert!(again.message().await.is_none());
}

#[tokio::test]
async fn who_comes_back_for_an_answer_that_is_lost_is_told_so_with_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["a"]);
    let fake = Fake::silent(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    let client = house.client("/mcp").await;
    let params = json!({"name": "a__work", "_meta": {"progressToken": 1}});
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.start(7, "tools/call", params).await }
    });
    let request = fake.next("tools/call").await;
    let token = request["params"]["_meta"]["progressToken"].clone();
    fake.notify(
        "notifications/progress",
        json!({"progressToken": token, "progress": 1}),
    );
    let (id, _) = asked.await.unwrap().event().await.unwrap();
    let [generation, stream, rest] = id.splitn(3, '-').collect::<Vec<_>>()[..] else {
        panic!("{id}")
    };
    for (gone, why) in [
        (format!("4000000000-{stream}-{rest}"), "restarted"),
        (format!("{generation}-99-{rest}"), "not kept"),
    ] {
        let mut again = client.listen(Some(&gone)).await;
        let lost = again.message().await.unwrap();
        assert_eq!(
            (&lost["id"], &lost["error"]["code"]),
            (&json!(7), &json!(-32000))
        );
        let message = lost["error"]["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        assert!(again.message().await.is_none(), "it has ended");
    }
}

#[tokio::test]
async fn calls_go_to_the_replica_with_the_fewest_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.routes(vec![
        json!({"service": "a", "instances": [{"name": "a.1"}, {"name": "a.2"}]}),
    ]);
    let (one, two) = (
        Fake::silent(Offer::tools(&["work"])),
        Fake::silent(Offer::tools(&["work"])),
    );
    house.attach("a", &one).await;
    house.gateway.attach("a.2", two.pipes(), Bytes::new());
    house
        .wait(|event| matches!(event, Event::ServerReady { instance, .. } if instance == "a.2"))
        .await;
    let client = house.client("/mcp").await;
    for id in 0..2 {
        let client = client.clone();
        tokio::spawn(async move { client.call(id, "a__work", json!({})).await });
    }
    one.next("tools/call").await;
    two.next("tools/call").await;
}
