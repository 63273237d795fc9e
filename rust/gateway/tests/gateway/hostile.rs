//! Malformed, hostile and merely wrong input: refused with the right words, and never passed on.

use backstay_gateway::GatewayConfig;
use http::Method;
use serde_json::{Value, json};

use super::support::House;
use super::support::client::Client;
use super::support::server::{Fake, Offer};

async fn house() -> (tempfile::TempDir, House, Fake, Client) {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with(GatewayConfig {
        state_dir: dir.path().into(),
        settle_ms: 100,
        max_body: 64 << 10,
        ..GatewayConfig::default()
    });
    house.route(&["a"]);
    let fake = Fake::new(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    let client = house.client("/mcp").await;
    (dir, house, fake, client)
}

const POST: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
];

#[tokio::test]
async fn a_message_that_is_none_never_reaches_a_server() {
    let (_dir, _house, fake, client) = house().await;
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("nonsense", -32700),
        ("\u{feff}{}", -32700),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__work"}} {"jsonrpc":"2.0","id":2}"#,
            -32700,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"a__work"}}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"a__work"}}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__work","name":"other"}}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"a__work"}}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"a__work"}}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"a__work"}"#,
            -32600,
        ),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (deep.as_str(), -32600),
    ] {
        let reply = client.post_text(body.to_owned()).await;
        assert_eq!(reply.status, 400, "{body:.80}");
        let answer = reply.json().await;
        assert_eq!(
            (&answer["id"], answer["error"]["code"].as_i64()),
            (&Value::Null, Some(code)),
            "{body:.80}"
        );
    }
    assert!(
        fake.rest()
            .await
            .iter()
            .all(|message| message["method"] != "tools/call")
    );
}

#[tokio::test]
async fn a_smuggled_newline_stays_one_message() {
    let (_dir, _house, fake, client) = house().await;
    let body = "{\"jsonrpc\":\"2.0\",\n\"id\":1,\r\n\"method\":\"tools/call\",\"params\":\n{\"name\":\"a__work\",\"arguments\":{\"x\":\"\\n{\\\"jsonrpc\\\"\"}}}";
    let answer = client.post_text(body).await.json().await;
    assert_eq!(answer["result"]["tool"], "work");
    let received = fake.next("tools/call").await;
    assert_eq!(received["params"]["arguments"]["x"], "\n{\"jsonrpc\"");
    let raw = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a__work\",\"arguments\":{\"x\":\"\n{}\"}}}";
    assert_eq!(
        client.post_text(raw).await.status,
        400,
        "a literal line break inside a string is no JSON"
    );
}

#[tokio::test]
async fn wrong_hosts_and_origins_are_refused() {
    let (_dir, house, _fake, client) = house().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for (name, value, status) in [
        ("host", "evil.example", 403),
        ("host", "localhost.evil.example:80", 403),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost:6274", 200),
    ] {
        let session = client.session.clone().unwrap();
        let headers = [
            POST.as_slice(),
            &[(name, value), ("mcp-session-id", &session)],
        ]
        .concat();
        let reply = client.send(Method::POST, &headers, ping.clone()).await;
        assert_eq!(reply.status, status, "{name}: {value}");
        if status == 200 {
            assert_eq!(reply.headers["access-control-allow-origin"], value);
        }
    }
    assert!(
        house
            .metrics()
            .contains(r#"backstay_gateway_refused_total{reason="host"} 2"#)
    );
}

#[tokio::test]
async fn sessions_are_asked_for_and_known() {
    let (_dir, _house, _fake, client) = house().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let status = async |headers: &[(&str, &str)]| {
        client
            .send(
                Method::POST,
                &[POST.as_slice(), headers].concat(),
                ping.clone(),
            )
            .await
            .status
    };
    assert_eq!(status(&[]).await, 400);
    assert_eq!(status(&[("mcp-session-id", "unknown")]).await, 404);
    let id = client.session.clone().unwrap();
    assert_eq!(
        status(&[("mcp-session-id", &id), ("mcp-session-id", "other")]).await,
        400
    );
    assert_eq!(
        status(&[
            ("mcp-session-id", &id),
            ("mcp-protocol-version", "1999-01-01")
        ])
        .await,
        400
    );
    assert_eq!(
        status(&[
            ("mcp-session-id", &id),
            ("mcp-protocol-version", "2025-11-25")
        ])
        .await,
        200
    );
    let elsewhere = Client {
        path: "/mcp/a".into(),
        ..client.clone()
    };
    assert_eq!(
        elsewhere.request(1, "ping", json!({})).await["error"]["message"],
        "session not found; initialize a new one"
    );
    assert_eq!(
        client
            .send(Method::DELETE, &[("mcp-session-id", &id)], "")
            .await
            .status,
        204
    );
    assert_eq!(status(&[("mcp-session-id", &id)]).await, 404);
    assert_eq!(
        client
            .send(
                Method::GET,
                &[("accept", "text/event-stream"), ("mcp-session-id", &id)],
                ""
            )
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn wrong_methods_types_and_sizes_have_their_status() {
    let (_dir, _house, _fake, client) = house().await;
    let id = client.session.clone().unwrap();
    let session = ("mcp-session-id", id.as_str());
    assert_eq!(client.send(Method::PUT, &[session], "").await.status, 405);
    assert_eq!(
        client
            .send(
                Method::POST,
                &[session, ("content-type", "text/plain")],
                "{}"
            )
            .await
            .status,
        415
    );
    let html = [
        session,
        ("content-type", "application/json"),
        ("accept", "text/html"),
    ];
    assert_eq!(client.send(Method::POST, &html, "{}").await.status, 406);
    assert_eq!(
        client
            .send(Method::GET, &[session, ("accept", "application/json")], "")
            .await
            .status,
        406
    );
    let big =
        json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x".repeat(70 << 10)}});
    assert_eq!(client.post(&big).await.status, 413);
    for (path, status) in [
        ("/nothing", 404),
        ("/mcp/nobody", 404),
        ("/.well-known/oauth-protected-resource", 404),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/", 200),
        ("/metrics", 200),
    ] {
        let other = Client {
            path: path.into(),
            ..client.clone()
        };
        assert_eq!(
            other.send(Method::GET, &[], "").await.status,
            status,
            "{path}"
        );
    }
    let api = Client {
        path: "/api/down".into(),
        ..client.clone()
    };
    assert_eq!(
        api.send(Method::POST, &[], "").await.status,
        403,
        "over TCP the API only reads"
    );
    assert_eq!(
        api.send(Method::GET, &[], "").await.status,
        502,
        "there is no daemon in this test"
    );
}

#[tokio::test]
async fn an_id_that_is_in_flight_cannot_be_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["a"]);
    let fake = Fake::silent(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    let client = house.client("/mcp").await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.call(1, "a__work", json!({})).await }
    });
    let request = fake.next("tools/call").await;
    let again = client
        .start(1, "tools/call", json!({"name": "a__work"}))
        .await;
    assert_eq!(again.status, 400);
    fake.answer(&request, json!({"first": true}));
    assert_eq!(asked.await.unwrap()["result"]["first"], true);
}

#[tokio::test]
async fn a_client_that_goes_away_has_not_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["a"]);
    let fake = Fake::silent(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    let client = house.client("/mcp").await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.call(1, "a__work", json!({})).await }
    });
    let request = fake.next("tools/call").await;
    asked.abort();
    // A later call of somebody else passes the same pipe, so a cancellation would have come before it.
    let later = tokio::spawn(async move { client.call(2, "a__work", json!({"later": 1})).await });
    let mut seen = vec![];
    loop {
        let rest = fake.rest().await;
        seen.extend(rest);
        if seen
            .iter()
            .any(|message| message["params"]["arguments"]["later"] == 1)
        {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(
        seen.iter()
            .all(|message| message["method"] != "notifications/cancelled"),
        "{seen:?}"
    );
    fake.answer(&request, json!({}));
    let second = seen
        .iter()
        .find(|message| message["method"] == "tools/call")
        .unwrap();
    fake.answer(second, json!({"second": true}));
    assert_eq!(later.await.unwrap()["result"]["second"], true);
}

#[tokio::test]
async fn a_batch_is_answered_as_one_where_the_version_has_batches() {
    let (_dir, house, _fake, _client) = house().await;
    let client = Client::open_as(house.address, "/mcp", json!({}), "2025-03-26").await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a__work"}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"},
        {"id": 3, "method": "ping"},
    ]);
    let answers = client.post(&batch).await.json().await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0]["result"]["tool"], "work");
    assert_eq!(answers[1], json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
    assert_eq!(answers[2]["error"]["code"], -32600);
    assert_eq!(
        client
            .post(&json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]))
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with(GatewayConfig {
        state_dir: dir.path().into(),
        token: Some("secret".into()),
        settle_ms: 0,
        ..GatewayConfig::default()
    });
    let client = Client {
        address: house.address,
        path: "/metrics".into(),
        session: None,
        opened: Value::Null,
    };
    let reply = client.send(Method::GET, &[], "").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["www-authenticate"]),
        (401, &"Bearer realm=\"backstay\"".parse().unwrap())
    );
    assert_eq!(
        client
            .send(Method::GET, &[("authorization", "Bearer wrong")], "")
            .await
            .status,
        401
    );
    assert_eq!(
        client
            .send(Method::GET, &[("authorization", "Bearer secret")], "")
            .await
            .status,
        200
    );
    let open = Client {
        path: "/healthz".into(),
        ..client
    };
    assert_eq!(open.send(Method::GET, &[], "").await.status, 200);
}
