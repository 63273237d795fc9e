//! Clients of 2026-07-28 in front of servers that know sessions.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::House;
use super::support::modern::{Modern, SUBSCRIPTION, VERSION};
use super::support::server::{Fake, Offer};

async fn files(dir: &tempfile::TempDir) -> (House, Fake) {
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::new(Offer::tools(&["read", "write"]));
    house.attach("files", &files).await;
    (house, files)
}

async fn silent(dir: &tempfile::TempDir) -> (House, Fake) {
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::silent(Offer::tools(&["read"]));
    house.attach("files", &files).await;
    (house, files)
}

#[tokio::test]
async fn a_client_without_a_session_lists_and_calls_a_legacy_server() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _files) = files(&dir).await;
    let client = Modern::new(&house, "/mcp", json!({}));
    let listed = client.request(1, "tools/list", json!({})).await;
    let result = &listed["result"];
    assert_eq!(result["tools"][0]["name"], "files__read");
    assert_eq!(
        [
            &result["resultType"],
            &result["ttlMs"],
            &result["cacheScope"]
        ],
        [&json!("complete"), &json!(0), &json!("private")]
    );
    let answer = client.call("x", "files__read", json!({"a": 1.50})).await;
    assert_eq!(answer["id"], "x");
    assert_eq!(answer["result"]["tool"], "read");
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(answer["result"].get("ttlMs"), None);
    let read = client
        .request(2, "resources/read", json!({"uri": "memo://1"}))
        .await;
    assert_eq!(read["result"]["cacheScope"], "private");
}

#[tokio::test]
async fn a_legacy_server_sees_nothing_of_the_modern_era() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = silent(&dir).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    let asked = tokio::spawn(async move {
        let params = json!({"name": "read", "arguments": {}, "_meta": {"own": 1}});
        client.request(7, "tools/call", params).await
    });
    let received = files.next("tools/call").await;
    assert_eq!(received["params"]["_meta"], json!({"own": 1}));
    files.answer(&received, json!({"content": []}));
    assert_eq!(
        asked.await.unwrap(),
        json!({"jsonrpc": "2.0", "id": 7, "result": {"content": [], "resultType": "complete"}})
    );
}

#[tokio::test]
async fn what_is_served_is_discovered_on_each_path() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _files) = files(&dir).await;
    for (path, name) in [("/mcp", "backstay"), ("/mcp/files", "fake")] {
        let client = Modern::new(&house, path, json!({}));
        let found = client.request(1, "server/discover", json!({})).await;
        let result = &found["result"];
        assert_eq!(result["supportedVersions"][0], VERSION);
        assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
        assert_eq!(
            result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            name
        );
        assert_eq!(result["cacheScope"], "private");
        assert_eq!(result.get("protocolVersion"), None);
    }
}

#[tokio::test]
async fn a_request_that_does_not_say_what_it_must_is_refused_with_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _files) = files(&dir).await;
    let client = Modern::new(&house, "/mcp", json!({}));
    let version = ("mcp-protocol-version", VERSION);
    let method = ("mcp-method", "tools/list");
    let good = client.message(1, "tools/list", json!({}));
    let mut bare = good.clone();
    bare["params"] = json!({});
    let mut old = good.clone();
    old["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("1900-01-01");
    let mut level = good.clone();
    level["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!("loud");
    let called = client.message(1, "tools/call", json!({"name": "files__read"}));
    for (headers, message, code) in [
        (vec![version, method], &bare, -32602),
        (vec![version, method], &old, -32020),
        (
            vec![("mcp-protocol-version", "1900-01-01"), method],
            &old,
            -32022,
        ),
        (
            vec![("mcp-protocol-version", "1900-01-01"), method],
            &good,
            -32020,
        ),
        (vec![version, method], &level, -32602),
        (vec![version], &good, -32020),
        (vec![method], &good, -32020),
        (vec![version, ("mcp-method", "tools/call")], &called, -32020),
        (
            vec![version, ("mcp-method", "tools/call"), ("mcp-name", "read")],
            &called,
            -32020,
        ),
    ] {
        let reply = client.send(&headers, message).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{headers:?}");
        let answer = reply.json().await;
        assert_eq!(answer["error"]["code"], code, "{headers:?} {answer}");
        assert_eq!(answer["id"], 1);
        if code == -32022 {
            assert_eq!(answer["error"]["data"]["requested"], "1900-01-01");
            assert_eq!(answer["error"]["data"]["supported"][0], VERSION);
        }
    }
    assert_eq!(client.send(&[version, method], &good).await.status, 200);
}

#[tokio::test]
async fn a_name_no_header_can_hold_is_compared_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::new(Offer::tools(&["größe"]));
    house.attach("files", &files).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    let message = client.message(1, "tools/call", json!({"name": "größe"}));
    let headers = [
        ("mcp-protocol-version", VERSION),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?Z3LDtsOfZQ==?="),
    ];
    let answer = client.send(&headers, &message).await.json().await;
    assert_eq!(answer["result"]["tool"], "größe");
}

#[tokio::test]
async fn annotated_arguments_are_compared_with_their_headers() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let mut offer = Offer::tools(&["read"]);
    offer.tools[0]["inputSchema"] = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let files = Fake::new(offer);
    house.attach("files", &files).await;
    let client = Modern::new(&house, "/mcp", json!({}));
    let arguments = json!({"name": "files__read", "arguments": {"region": "eu"}});
    let message = client.message(1, "tools/call", arguments);
    let call = [
        ("mcp-protocol-version", VERSION),
        ("mcp-method", "tools/call"),
        ("mcp-name", "files__read"),
    ];
    for (header, code) in [
        (None, Some(-32020)),
        (Some("us"), Some(-32020)),
        (Some("eu"), None),
    ] {
        let mut headers = call.to_vec();
        headers.extend(header.map(|value| ("mcp-param-region", value)));
        let answer = client.send(&headers, &message).await.json().await;
        assert_eq!(answer["error"]["code"].as_i64(), code, "{header:?}");
    }
}

#[tokio::test]
async fn what_the_version_has_no_more_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _files) = files(&dir).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
    ] {
        let reply = client.start(1, method, json!({})).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method}");
        assert_eq!(reply.json().await["error"]["code"], -32601, "{method}");
    }
    for method in [Method::GET, Method::DELETE] {
        let reply = client
            .http(method, &[("mcp-protocol-version", VERSION)])
            .await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(reply.headers["allow"], "POST");
    }
}

#[tokio::test]
async fn progress_comes_on_the_stream_of_its_call_without_event_ids() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = silent(&dir).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    let params = json!({"name": "read", "_meta": {"progressToken": "t"}});
    let asked = tokio::spawn(async move { client.start(1, "tools/call", params).await });
    let call = files.next("tools/call").await;
    let token = &call["params"]["_meta"]["progressToken"];
    let progress = json!({"progressToken": token, "progress": 0.5});
    files.notify("notifications/progress", progress);
    let mut stream = asked.await.unwrap();
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    let (id, data) = stream.event().await.unwrap();
    assert_eq!(id, "");
    let said: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(said["params"]["progressToken"], "t");
    files.answer(&call, json!({"content": []}));
    assert_eq!(
        stream.message().await.unwrap()["result"]["resultType"],
        "complete"
    );
    assert_eq!(stream.message().await, None);
}

#[tokio::test]
async fn log_messages_come_only_where_a_request_asks_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = silent(&dir).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    let quiet = tokio::spawn({
        let client = client.clone();
        async move { client.call(1, "read", json!({})).await }
    });
    let call = files.next("tools/call").await;
    files.notify(
        "notifications/message",
        json!({"level": "error", "data": 1}),
    );
    files.answer(&call, json!({}));
    assert_eq!(quiet.await.unwrap()["result"]["resultType"], "complete");

    let level = json!({"io.modelcontextprotocol/logLevel": "warning"});
    let params = json!({"name": "read", "_meta": level});
    let asked = tokio::spawn(async move { client.start(2, "tools/call", params).await });
    let set = files.next("logging/setLevel").await;
    assert_eq!(set["params"]["level"], "warning");
    files.answer(&set, json!({}));
    let call = files.next("tools/call").await;
    assert_eq!(call["params"].get("_meta"), Some(&json!({})));
    files.notify("notifications/message", json!({"level": "info", "data": 2}));
    files.notify(
        "notifications/message",
        json!({"level": "error", "data": 3}),
    );
    let mut stream = asked.await.unwrap();
    assert_eq!(stream.message().await.unwrap()["params"]["data"], 3);
    files.answer(&call, json!({}));
    assert_eq!(stream.message().await.unwrap()["id"], 2);
}

#[tokio::test]
async fn closing_the_answer_calls_the_call_off() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = silent(&dir).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    // Before the answer has begun.
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.call(1, "read", json!({})).await }
    });
    let call = files.next("tools/call").await;
    asked.abort();
    let cancelled = files.next("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], call["id"]);
    // On its stream.
    let params = json!({"name": "read", "_meta": {"progressToken": 1}});
    let asked = tokio::spawn(async move { client.start(2, "tools/call", params).await });
    let call = files.next("tools/call").await;
    let token = &call["params"]["_meta"]["progressToken"];
    files.notify(
        "notifications/progress",
        json!({"progressToken": token, "progress": 1}),
    );
    let mut stream = asked.await.unwrap();
    assert!(stream.message().await.is_some());
    drop(stream);
    let cancelled = files.next("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], call["id"]);
}

#[tokio::test]
async fn an_error_of_a_legacy_server_is_said_in_modern_words() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = silent(&dir).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    for (method, code, said, status) in [
        ("resources/read", -32002, -32602, 200),
        ("x/own", -32601, -32601, 404),
        ("x/own", -5, -5, 200),
    ] {
        let client = client.clone();
        let asked =
            tokio::spawn(async move { client.start(1, method, json!({"uri": "a://b"})).await });
        let call = files.next(method).await;
        files.send(
            &json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": "m"}}),
        );
        let reply = asked.await.unwrap();
        assert_eq!(reply.status, status, "{code}");
        assert_eq!(reply.json().await["error"]["code"], said);
    }
}

#[tokio::test]
async fn changes_are_heard_on_a_subscription_and_only_those_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (house, files) = files(&dir).await;
    let client = Modern::new(&house, "/mcp/files", json!({}));
    let wants =
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["memo://1"]}});
    let mut stream = client.start("s", "subscriptions/listen", wants).await;
    let acknowledged = stream.message().await.unwrap();
    assert_eq!(
        acknowledged,
        json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
            "notifications": {"toolsListChanged": true, "resourceSubscriptions": ["memo://1"]},
            "_meta": {SUBSCRIPTION: "s"},
        }})
    );
    assert_eq!(
        files.next("resources/subscribe").await["params"]["uri"],
        "memo://1"
    );
    files.offer.lock().unwrap().prompts = vec![json!({"name": "p"})];
    files.notify("notifications/prompts/list_changed", json!({}));
    files.notify(
        "notifications/resources/updated",
        json!({"uri": "memo://2"}),
    );
    files.notify(
        "notifications/resources/updated",
        json!({"uri": "memo://1", "title": 1.0}),
    );
    let updated = stream.message().await.unwrap();
    assert_eq!(updated["params"]["uri"], "memo://1");
    assert_eq!(updated["params"]["_meta"][SUBSCRIPTION], "s");
    files.offer.lock().unwrap().tools = Offer::tools(&["other"]).tools;
    files.notify("notifications/tools/list_changed", json!({}));
    let changed = stream.message().await.unwrap();
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    assert_eq!(changed["params"]["_meta"][SUBSCRIPTION], "s");
    drop(stream);
    assert_eq!(
        files.next("resources/unsubscribe").await["params"]["uri"],
        "memo://1"
    );
}

#[tokio::test]
async fn a_subscription_ends_in_good_order_with_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _files) = files(&dir).await;
    let client = Modern::new(&house, "/mcp", json!({}));
    let wants = json!({"notifications": {"promptsListChanged": true}});
    let mut stream = client.start(4, "subscriptions/listen", wants).await;
    assert!(stream.message().await.is_some());
    house.gateway.drain(std::time::Duration::from_secs(5)).await;
    assert_eq!(
        stream.message().await.unwrap(),
        json!({"jsonrpc": "2.0", "id": 4, "result": {"_meta": {SUBSCRIPTION: 4}, "resultType": "complete"}})
    );
    assert_eq!(stream.message().await, None);
}

#[tokio::test]
async fn eras_live_side_by_side_on_one_path() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _files) = files(&dir).await;
    let legacy = house.client("/mcp").await;
    let modern = Modern::new(&house, "/mcp", json!({}));
    let old = legacy.call(1, "files__read", json!({})).await;
    let new = modern.call(1, "files__read", json!({})).await;
    assert_eq!(old["result"].get("resultType"), None);
    assert_eq!(new["result"]["resultType"], "complete");
}
