//! Servers of 2026-07-28 behind the gateway, in front of clients of both eras.

use serde_json::{Value, json};

use super::support::House;
use super::support::modern::{Modern, VERSION};
use super::support::server::{Fake, Offer};

async fn house(dir: &tempfile::TempDir) -> (House, Fake) {
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::silent(Offer::modern(&["read"]));
    house.attach("files", &files).await;
    (house, files)
}

fn asks(state: &str) -> Value {
    json!({
        "resultType": "input_required",
        "inputRequests": {
            "name": {"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": {"type": "object"}}},
            "where": {"method": "roots/list"},
        },
        "requestState": state,
    })
}

#[tokio::test]
async fn between_modern_sides_everything_passes_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = house(&dir).await;
    let client = Modern::new(&house, "/mcp", json!({"elicitation": {}}));
    let asked = tokio::spawn({
        let client = client.clone();
        async move {
            let level = json!({"io.modelcontextprotocol/logLevel": "debug", "own": 1});
            let params = json!({"name": "files__read", "arguments": {}, "_meta": level});
            client.request(1, "tools/call", params).await
        }
    });
    let call = files.next("tools/call").await;
    let mut meta = client.meta();
    meta["io.modelcontextprotocol/logLevel"] = json!("debug");
    meta["own"] = json!(1);
    assert_eq!(call["params"]["_meta"], meta);
    assert_eq!(call["params"]["name"], "read");
    files.answer(&call, asks("opaque"));
    let answer = asked.await.unwrap();
    assert_eq!(answer["result"], asks("opaque"));

    let retry = json!({"name": "files__read", "inputResponses": {"name": {"action": "decline"}}, "requestState": "opaque"});
    let asked = tokio::spawn(async move { client.request(2, "tools/call", retry).await });
    let call = files.next("tools/call").await;
    assert_eq!(call["params"]["requestState"], "opaque");
    assert_eq!(
        call["params"]["inputResponses"],
        json!({"name": {"action": "decline"}})
    );
    files.answer(&call, json!({"resultType": "task", "x": 1}));
    assert_eq!(
        asked.await.unwrap(),
        json!({"jsonrpc": "2.0", "id": 2, "result": {"resultType": "task", "x": 1}})
    );
}

#[tokio::test]
async fn a_legacy_client_is_asked_as_its_version_knows_it_and_the_call_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = house(&dir).await;
    let able = json!({"elicitation": {}, "roots": {}});
    let client = house.client_with("/mcp/files", able.clone()).await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move {
            let params = json!({"name": "read", "arguments": {"a": 1}});
            client.start("c", "tools/call", params).await
        }
    });
    let call = files.next("tools/call").await;
    let meta = &call["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], VERSION);
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], able);
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "test");
    files.answer(&call, asks("s"));
    let mut stream = asked.await.unwrap();
    for _ in 0..2 {
        let question = stream.message().await.unwrap();
        let answer = match question["method"].as_str().unwrap() {
            "elicitation/create" => {
                assert_eq!(question["params"]["message"], "who?");
                json!({"action": "accept", "content": {"n": "x"}})
            }
            "roots/list" => json!({"roots": []}),
            other => panic!("{other}"),
        };
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": answer});
        assert_eq!(client.post(&answer).await.status, 202);
    }
    let again = files.next("tools/call").await;
    assert_ne!(again["id"], call["id"]);
    assert_eq!(again["params"]["arguments"], json!({"a": 1}));
    assert_eq!(again["params"]["requestState"], "s");
    assert_eq!(
        again["params"]["inputResponses"],
        json!({"name": {"action": "accept", "content": {"n": "x"}}, "where": {"roots": []}})
    );
    files.answer(&again, json!({"resultType": "complete", "content": []}));
    let answer = stream.message().await.unwrap();
    assert_eq!(
        (&answer["id"], &answer["result"]["content"]),
        (&json!("c"), &json!([]))
    );
}

#[tokio::test]
async fn a_legacy_client_that_cannot_be_asked_gets_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = house(&dir).await;
    let client = house.client("/mcp/files").await;
    let asked = tokio::spawn(async move { client.call(1, "read", json!({})).await });
    let call = files.next("tools/call").await;
    files.answer(&call, asks("s"));
    let answer = asked.await.unwrap();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("elicitation"), "{message}");
}

#[tokio::test]
async fn a_server_that_asks_without_end_is_not_asked_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let again =
        json!({"resultType": "input_required", "inputRequests": {"r": {"method": "roots/list"}}});
    let files = Fake::answering(Offer::modern(&["read"]), move |_| Some(again.clone()));
    house.attach("files", &files).await;
    let client = house.client("/mcp/files").await;
    let answer = client.call(1, "read", json!({})).await;
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("without an end"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_modern_server_is_discovered_through_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _files) = house(&dir).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    let found = client.request(1, "server/discover", json!({})).await;
    let result = &found["result"];
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "fake"
    );
    assert_eq!(result["capabilities"]["logging"], json!({}));
    let legacy = house.client("/mcp/files").await;
    let opened = &legacy.opened["result"];
    assert_eq!(opened["serverInfo"]["name"], "fake");
    assert_eq!(opened.get("supportedVersions"), None);
}
