//! What a server of 2026-07-28 tells, or lets go stale, and which era a server is taken for.

use std::time::Duration;

use backstay_gateway::Event;
use backstay_mcp::Era;
use bytes::Bytes;
use serde_json::{Value, json};

use super::support::server::{Fake, Offer};
use super::support::{House, SOON, route};

fn tool(name: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}})
}

fn tell(files: &Fake, stream: &Value, method: &str, mut params: Value) {
    params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": stream["id"]});
    files.notify(method, params);
}

/// A route that takes the server for one of that era.
fn remembered(era: &str) -> Value {
    let mut route = route("files");
    route["instances"][0]["era"] = json!(era);
    route
}

#[tokio::test]
async fn the_era_found_is_told_to_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files", "old"]);
    let files = Fake::new(Offer::modern(&["read"]));
    let old = Fake::new(Offer::tools(&["read"]));
    for (service, fake, expected, spoken) in [
        ("files", &files, Era::Modern, "2026-07-28"),
        ("old", &old, Era::Legacy, "2025-11-25"),
    ] {
        let name = format!("{service}.1");
        house.gateway.attach(&name, fake.pipes(), Bytes::new());
        let ready = house
            .wait(|event| matches!(event, Event::ServerReady { .. }))
            .await;
        let Event::ServerReady { era, version, .. } = ready else {
            unreachable!();
        };
        assert_eq!((era, version.as_str()), (expected, spoken));
    }
}

#[tokio::test]
async fn a_server_is_greeted_as_what_it_was_and_anew_when_that_was_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let mut route = remembered("modern");
    route["start_timeout_ms"] = json!(50);
    house.routes(vec![route]);
    // As Python's mcp 1.6: it says nothing to what it does not know.
    let mute = Fake::silent(Offer {
        capabilities: json!({}),
        ..Offer::tools(&[])
    });
    house.gateway.attach("files.1", mute.pipes(), Bytes::new());
    assert_eq!(
        mute.next("server/discover").await["method"],
        "server/discover"
    );
    house
        .wait(|event| matches!(event, Event::ServerFailed { .. }))
        .await;
    assert!(mute.rest().await.is_empty(), "it was asked more");
    // The keeper starts it again.
    let again = Fake::new(Offer::tools(&["read"]));
    house.attach("files", &again).await;
    assert!(
        again
            .rest()
            .await
            .iter()
            .all(|message| message["method"] != "server/discover")
    );
}

#[tokio::test]
async fn a_list_that_changes_is_told_to_clients_with_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::new(Offer::modern(&["read"]));
    house.attach("files", &files).await;
    let stream = files.next("subscriptions/listen").await;
    let client = house.client("/mcp").await;
    let mut told = client.listen(None).await;
    files.offer.lock().unwrap().tools.push(tool("write"));
    tell(
        &files,
        &stream,
        "notifications/tools/list_changed",
        json!({}),
    );
    let message = told.message().await.unwrap();
    assert_eq!(
        message,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    assert_eq!(client.tools().await, ["files__read", "files__write"]);
}

#[tokio::test]
async fn subscriptions_of_all_clients_are_one_stream_and_each_hears_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::new(Offer {
        resources: vec![
            json!({"uri": "a:1", "name": "1"}),
            json!({"uri": "a:2", "name": "2"}),
        ],
        ..Offer::modern(&[])
    });
    house.attach("files", &files).await;
    files.next("subscriptions/listen").await;
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    let (mut one_hears, mut two_hears) = (one.listen(None).await, two.listen(None).await);
    for (client, uri) in [(&one, "a:1"), (&two, "a:2")] {
        let answer = client
            .request(1, "resources/subscribe", json!({"uri": uri}))
            .await;
        assert_eq!(answer["result"], json!({}));
    }
    files.next("subscriptions/listen").await;
    let stream = files.next("subscriptions/listen").await;
    assert_eq!(
        stream["params"]["notifications"]["resourceSubscriptions"],
        json!(["a:1", "a:2"])
    );
    for uri in ["a:1", "a:2"] {
        let params = json!({"uri": uri});
        tell(&files, &stream, "notifications/resources/updated", params);
    }
    for (hears, uri) in [(&mut one_hears, "a:1"), (&mut two_hears, "a:2")] {
        let message = hears.message().await.unwrap();
        assert_eq!(message["method"], "notifications/resources/updated");
        assert_eq!(message["params"]["uri"], uri);
        let meta = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert!(
            meta.is_null(),
            "the server's own stream is nobody else's business"
        );
    }
}

#[tokio::test]
async fn a_list_that_nobody_tells_of_is_read_again_when_it_is_asked_for_after_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::new(Offer {
        capabilities: json!({"tools": {}}),
        ..Offer::modern(&["read"])
    });
    house.attach("files", &files).await;
    let client = house.client("/mcp").await;
    let mut told = client.listen(None).await;
    files.offer.lock().unwrap().tools.push(tool("write"));
    // It is fresh yet, whatever happens behind it.
    assert_eq!(client.tools().await, ["files__read"]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    assert_eq!(
        client.tools().await,
        ["files__read"],
        "who asks does not wait"
    );
    let told = tokio::time::timeout(SOON, told.message()).await.unwrap();
    assert_eq!(told.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(client.tools().await, ["files__read", "files__write"]);
}

#[tokio::test]
async fn the_level_a_client_asked_for_goes_with_each_of_its_calls() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::new(Offer::modern(&["read"]));
    house.attach("files", &files).await;
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    let answer = one
        .request(1, "logging/setLevel", json!({"level": "error"}))
        .await;
    assert_eq!(answer["result"], json!({}));
    for (client, level) in [(&one, "error"), (&two, "info")] {
        client.call(2, "files__read", json!({})).await;
        let call = files.next("tools/call").await;
        let said = &call["params"]["_meta"]["io.modelcontextprotocol/logLevel"];
        assert_eq!(said, level);
    }
    let sent = files.rest().await;
    assert!(
        sent.iter()
            .all(|message| message["method"] != "logging/setLevel")
    );
}
