//! Calls through the gateway: names, bytes, answers.

use super::support::House;
use super::support::client::Client;
use super::support::server::{Fake, Offer};
use backstay_gateway::{Event, GatewayConfig};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn a_tool_is_called_by_its_fleet_name_and_by_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files", "time"]);
    let files = Fake::new(Offer::tools(&["read", "write"]));
    let time = Fake::new(Offer::tools(&["now"]));
    house.attach("files", &files).await;
    house.attach("time", &time).await;

    let all = house.client("/mcp").await;
    assert_eq!(all.opened["result"]["serverInfo"]["name"], "backstay");
    assert_eq!(
        all.tools().await,
        ["files__read", "files__write", "time__now"]
    );
    let answer = all.call("x-1", "files__read", json!({"path": "a"})).await;
    assert_eq!(answer["id"], "x-1");
    assert_eq!(answer["result"]["tool"], "read");
    assert_eq!(answer["result"]["content"][0]["text"], r#"{"path":"a"}"#);

    let one = house.client("/mcp/time").await;
    assert_eq!(one.opened["result"]["serverInfo"]["name"], "fake");
    assert_eq!(one.tools().await, ["now"]);
    assert_eq!(one.call(1, "now", json!({})).await["result"]["tool"], "now");
    let metrics = house.metrics();
    assert!(
        metrics.contains(r#"backstay_requests_total{service="files",tool="read"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn clients_are_shown_the_name_that_the_fleet_has_now() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    for name in ["assistant", "renamed"] {
        let routes = json!({"servers": [], "fleet": name});
        house
            .gateway
            .set_routes(serde_json::from_value(routes).unwrap());
        let client = house.client("/mcp").await;
        assert_eq!(client.opened["result"]["serverInfo"]["title"], name);
    }
}

#[tokio::test]
async fn a_gateway_without_metrics_counts_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with(GatewayConfig {
        state_dir: dir.path().to_owned(),
        metrics: false,
        ..GatewayConfig::default()
    });
    house.route(&["files"]);
    let files = Fake::new(Offer::tools(&["read"]));
    house.attach("files", &files).await;
    let client = house.client("/mcp").await;
    assert_eq!(
        client.call(1, "files__read", json!({})).await["result"]["tool"],
        "read"
    );
    let counted = r#"backstay_requests_total{service="files",tool="read"} 1"#;
    assert!(!house.metrics().contains(counted));
    let elsewhere = Client {
        path: "/metrics".to_owned(),
        ..client
    };
    assert_eq!(elsewhere.send(Method::GET, &[], "").await.status, 404);
}

#[tokio::test]
async fn arguments_and_results_pass_as_the_bytes_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::silent(Offer::tools(&["read"]));
    house.attach("files", &files).await;
    let client = house.client("/mcp").await;
    let text = r#"{"jsonrpc":"2.0","id":1.0,"x":1,"method":"tools/call","params":{"arguments":{"n":1.0,"big":12345678901234567890,"e":"\u00e9"},"name":"files__read","_meta":{"a":[]}}}"#;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.post_text(text).await.text().await }
    });
    let received = files.next("tools/call").await;
    let id = received["id"].clone();
    assert_eq!(received["params"]["name"], "read");
    assert_eq!(
        received["params"]["arguments"].to_string(),
        r#"{"big":12345678901234567890,"e":"é","n":1.0}"#
    );
    assert_eq!(received["params"]["_meta"], json!({"a": []}));
    files.send(
        &json!({"jsonrpc": "2.0", "id": id, "result": {"unknown": 1.50, "_meta": {"z": null}}}),
    );
    assert_eq!(
        asked.await.unwrap(),
        r#"{"id":1.0,"jsonrpc":"2.0","result":{"_meta":{"z":null},"unknown":1.5}}"#
    );
}

#[tokio::test]
async fn an_unknown_tool_is_refused_with_the_nearest_name() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::new(Offer::tools(&["read_file"]));
    house.attach("files", &files).await;
    let client = house.client("/mcp").await;
    let answer = client.call(1, "files__raed_file", json!({})).await;
    assert_eq!(answer["error"]["code"], -32602);
    assert_eq!(
        answer["error"]["message"],
        "unknown tool `files__raed_file`; did you mean `files__read_file`?"
    );
    assert_eq!(answer["error"]["data"]["didYouMean"], "files__read_file");
}

#[tokio::test]
async fn tools_that_are_not_offered_are_neither_listed_nor_called() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let mut route = super::support::route("files");
    route["tools"] = json!({"allow": ["read_*"], "deny": ["*_secret"]});
    house.routes(vec![route]);
    let files = Fake::new(Offer::tools(&["read_file", "read_secret", "write_file"]));
    house.attach("files", &files).await;
    for path in ["/mcp", "/mcp/files"] {
        let client = house.client(path).await;
        assert_eq!(client.tools().await.len(), 1);
        assert_eq!(
            client.call(1, "write_file", json!({})).await["error"]["code"],
            -32602
        );
        assert_eq!(
            client.call(2, "files__read_secret", json!({})).await["error"]["code"],
            -32602
        );
    }
    assert!(
        files
            .rest()
            .await
            .iter()
            .all(|message| message["method"] != "tools/call")
    );
}

#[tokio::test]
async fn a_name_that_two_servers_want_goes_to_neither() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let bare = |service: &str| {
        let mut route = super::support::route(service);
        route["prefix"] = json!("");
        route
    };
    house.routes(vec![bare("a"), bare("b")]);
    let (a, b) = (
        Fake::new(Offer::tools(&["read", "only"])),
        Fake::new(Offer::tools(&["read"])),
    );
    house.attach("a", &a).await;
    let client = house.client("/mcp").await;
    assert_eq!(client.tools().await, ["read", "only"]);
    let mut stream = client.listen(None).await;
    house.gateway.attach("b.1", b.pipes(), bytes::Bytes::new());
    let clash = house
        .wait(|event| matches!(event, Event::NameClash { .. }))
        .await;
    let Event::NameClash {
        name,
        renamed,
        other,
        ..
    } = clash
    else {
        unreachable!()
    };
    assert_eq!(
        (name.as_str(), renamed.as_str(), other.as_str()),
        ("read", "a__read", "b")
    );
    assert_eq!(
        stream.message().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
    assert_eq!(client.tools().await, ["a__read", "only", "b__read"]);
    assert_eq!(
        client.call(1, "read", json!({})).await["error"]["code"],
        -32602
    );
    assert_eq!(
        client.call(2, "b__read", json!({})).await["result"]["tool"],
        "read"
    );
}

#[tokio::test]
async fn resources_prompts_and_completions_reach_their_server() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["a", "b"]);
    let offer = |own: &str| Offer {
        resources: vec![
            json!({"uri": format!("{own}://1", ), "name": "x"}),
            json!({"uri": "memo://same", "name": "x"}),
        ],
        templates: vec![json!({"uriTemplate": format!("{own}://rows/{{id}}"), "name": "rows"})],
        prompts: vec![json!({"name": "greet"})],
        ..Offer::default()
    };
    let (a, b) = (Fake::new(offer("aa")), Fake::new(offer("bb")));
    house.attach("a", &a).await;
    house.attach("b", &b).await;
    let client = house.client("/mcp").await;
    let uris = client.names("resources/list", "resources", "uri").await;
    assert_eq!(
        uris,
        [
            "aa://1",
            "backstay://a/memo%3A%2F%2Fsame",
            "bb://1",
            "backstay://b/memo%3A%2F%2Fsame"
        ]
    );
    let read = async |uri: &str| {
        client
            .request(1, "resources/read", json!({"uri": uri}))
            .await
    };
    assert_eq!(
        read("bb://rows/7").await["result"]["contents"][0]["uri"],
        "bb://rows/7"
    );
    assert_eq!(
        b.next("resources/read").await["params"]["uri"],
        "bb://rows/7"
    );
    read("backstay://b/memo%3A%2F%2Fsame").await;
    assert_eq!(
        b.next("resources/read").await["params"]["uri"],
        "memo://same"
    );
    read("aa://not/listed").await;
    assert_eq!(
        a.next("resources/read").await["params"]["uri"],
        "aa://not/listed"
    );
    assert_eq!(read("memo://other").await["error"]["code"], -32002);

    assert_eq!(
        client.names("prompts/list", "prompts", "name").await,
        ["a__greet", "b__greet"]
    );
    let got = client
        .request(2, "prompts/get", json!({"name": "b__greet"}))
        .await;
    assert_eq!(got["result"]["prompt"], "greet");
    let params = json!({"ref": {"type": "ref/prompt", "name": "a__greet"}, "argument": {"name": "x", "value": ""}});
    let completed = client.request(3, "completion/complete", params).await;
    assert_eq!(
        completed["result"]["completion"]["values"],
        json!(["greet"])
    );
    let params = json!({"ref": {"type": "ref/resource", "uri": "bb://rows/{id}"}, "argument": {"name": "id", "value": ""}});
    client.request(4, "completion/complete", params).await;
    assert_eq!(
        b.next("completion/complete").await["params"]["ref"]["uri"],
        "bb://rows/{id}"
    );
}
