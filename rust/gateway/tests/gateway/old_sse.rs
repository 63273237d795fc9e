//! Clients of 2024-11-05: a stream to hear from, an address to speak to.

use http::Method;
use serde_json::{Value, json};

use super::support::House;
use super::support::client::{Client, Reply};
use super::support::server::{Fake, Offer};

/// A client, and the stream that everything comes on.
struct Old {
    plain: Client,
    stream: Reply,
}

impl Old {
    async fn connect(house: &House, path: &str) -> Self {
        let mut plain = Client {
            address: house.address,
            path: path.into(),
            session: None,
            opened: Value::Null,
        };
        let accept = [("accept", "text/event-stream")];
        let mut stream = plain.send(Method::GET, &accept, "").await;
        let (_, endpoint) = stream.event().await.unwrap();
        assert!(endpoint.starts_with("/messages?session_id="), "{endpoint}");
        plain.path = endpoint;
        Self { plain, stream }
    }

    async fn open(house: &House, path: &str, capabilities: Value) -> Self {
        let mut old = Self::connect(house, path).await;
        let params = json!({"protocolVersion": "2024-11-05", "capabilities": capabilities, "clientInfo": {"name": "old", "version": "1"}});
        let opened = old.ask(0, "initialize", params).await;
        assert_eq!(opened["result"]["protocolVersion"], "2024-11-05");
        old.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        old
    }

    async fn say(&self, message: &Value) {
        let kind = [("content-type", "application/json")];
        let reply = self
            .plain
            .send(Method::POST, &kind, message.to_string())
            .await;
        assert_eq!(reply.status, 202);
    }

    async fn hear(&mut self) -> Value {
        self.stream.message().await.unwrap()
    }

    async fn start(&self, id: u32, method: &str, params: Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
    }

    async fn ask(&mut self, id: u32, method: &str, params: Value) -> Value {
        self.start(id, method, params).await;
        let answer = self.hear().await;
        assert_eq!(answer["id"], id);
        answer
    }
}

#[tokio::test]
async fn an_old_client_calls_and_is_told_and_asked_on_its_one_stream() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::silent(Offer::tools(&["read"]));
    house.attach("files", &files).await;
    let mut client = Old::open(&house, "/sse", json!({"roots": {}})).await;
    let listed = client.ask(1, "tools/list", json!({})).await;
    assert_eq!(listed["result"]["tools"][0]["name"], "files__read");
    let call = json!({"name": "files__read", "_meta": {"progressToken": "t"}});
    client.start(2, "tools/call", call).await;
    let call = files.next("tools/call").await;
    let token = &call["params"]["_meta"]["progressToken"];
    files.notify(
        "notifications/progress",
        json!({"progressToken": token, "progress": 1}),
    );
    assert_eq!(client.hear().await["params"]["progressToken"], "t");
    files.ask(json!("q"), "roots/list", json!({}));
    let question = client.hear().await;
    client
        .say(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}))
        .await;
    assert_eq!(files.next("").await["id"], "q");
    files.answer(&call, json!({"content": []}));
    let answer = client.hear().await;
    assert_eq!(
        (&answer["id"], &answer["result"]["content"]),
        (&json!(2), &json!([]))
    );
    // What belongs to no call comes there, too.
    files.offer.lock().unwrap().tools = Offer::tools(&["other"]).tools;
    files.notify("notifications/tools/list_changed", json!({}));
    assert_eq!(
        client.hear().await["method"],
        "notifications/tools/list_changed"
    );
}

#[tokio::test]
async fn each_path_has_its_stream_and_each_stream_its_session() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::new(Offer::tools(&["read"]));
    house.attach("files", &files).await;
    let mut one = Old::open(&house, "/sse/files", json!({})).await;
    let mut two = Old::open(&house, "/sse", json!({})).await;
    let own = one.ask(1, "tools/call", json!({"name": "read"})).await;
    assert_eq!(own["result"]["tool"], "read");
    let all = two
        .ask(1, "tools/call", json!({"name": "files__read"}))
        .await;
    assert_eq!(all["result"]["tool"], "read");
    let again = one.ask(2, "initialize", json!({})).await;
    assert_eq!(again["error"]["code"], -32600);
}

#[tokio::test]
async fn the_end_of_the_stream_is_the_end_of_its_session_and_calls() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::silent(Offer::tools(&["read"]));
    house.attach("files", &files).await;
    let mut early = Old::connect(&house, "/sse").await;
    let refused = early.ask(1, "tools/list", json!({})).await;
    assert_eq!(refused["error"]["code"], -32600);
    let client = Old::open(&house, "/sse", json!({})).await;
    assert!(house.metrics().contains("backstay_gateway_sessions 1"));
    client
        .start(1, "tools/call", json!({"name": "files__read"}))
        .await;
    let call = files.next("tools/call").await;
    let Old { plain, stream } = client;
    drop(stream);
    let cancelled = files.next("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], call["id"]);
    let kind = [("content-type", "application/json")];
    let late = plain.send(Method::POST, &kind, "{}").await;
    assert_eq!(late.status, 404);
    let saved = std::fs::read_to_string(dir.path().join("run/sessions.jsonl"));
    assert!(!saved.unwrap_or_default().contains("2024-11-05"));
}
