//! An upstream over pipes, against servers of 2026-07-28 that take nothing else.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use std::sync::Arc;

use backstay_mcp::modern::meta::ModernMeta;
use backstay_mcp::{
    Call, CallError, Era, HandshakeError, ModernCall, Outgoing, RawJson, Rewrite, Target, Upstream,
    UpstreamConfig, Version,
};
use serde_json::{Value, json};
use support::{
    Ear, FakeServer, Heard, Kept, config, discovered, forward, listener, modern_fault, progress,
    request, server, tag,
};

fn unknown(kept: &Kept) -> UpstreamConfig {
    UpstreamConfig {
        era: None,
        ..config(Target::Stdio(kept.pipes()))
    }
}

/// Connects to a modern server of which nothing was known; its stream is open.
async fn connected() -> (Arc<Upstream>, FakeServer, Kept, Ear, Value) {
    let (mut server, kept) = server();
    let (inbound, ear) = listener();
    let (upstream, stream) = tokio::join!(Upstream::connect(unknown(&kept), inbound), async {
        server.greet_modern().await;
        server.open_stream().await
    });
    (upstream.unwrap(), server, kept, ear, stream)
}

#[tokio::test]
async fn a_server_that_refuses_initialize_is_discovered() {
    let (upstream, _server, _kept, _ear, stream) = connected().await;
    let info = upstream.info();
    assert_eq!((info.era(), info.protocol()), (Era::Modern, "2026-07-28"));
    assert_eq!(
        (info.name.as_str(), info.server_version.as_str()),
        ("fake", "2")
    );
    assert_eq!(
        stream["params"]["notifications"],
        json!({"toolsListChanged": true})
    );
}

#[tokio::test]
async fn a_server_remembered_as_modern_is_discovered_at_once() {
    let (mut server, kept) = server();
    let remembered = UpstreamConfig {
        era: Some(Era::Modern),
        ..unknown(&kept)
    };
    let (upstream, ()) = tokio::join!(Upstream::connect(remembered, listener().0), async {
        let request = server.expect_modern("server/discover").await;
        server.answer(&request, discovered()).await;
        server.open_stream().await;
    });
    assert!(upstream.unwrap().is_modern());
}

#[tokio::test]
async fn a_server_remembered_wrongly_as_modern_is_initialized() {
    for refusal in [
        json!({"error": {"code": -32601, "message": "method not found"}}),
        json!({"error": {"code": -32022, "message": "no", "data": {"supported": ["2025-06-18"]}}}),
        json!({"result": {"supportedVersions": ["2025-11-25"], "capabilities": {}}}),
    ] {
        let (mut server, kept) = server();
        let remembered = UpstreamConfig {
            era: Some(Era::Modern),
            ..unknown(&kept)
        };
        let (upstream, ()) = tokio::join!(Upstream::connect(remembered, listener().0), async {
            let request = server.expect("server/discover").await;
            let mut answer = refusal.clone();
            answer["jsonrpc"] = json!("2.0");
            answer["id"] = request["id"].clone();
            server.say(answer).await;
            server.greet().await;
        });
        assert_eq!(upstream.unwrap().info().era(), Era::Legacy, "{refusal}");
    }
}

#[tokio::test]
async fn of_several_versions_the_newest_that_both_speak_is_offered() {
    let supported = json!(["2024-11-05", "2025-06-18", "2031-01-01"]);
    let refusal = json!({"code": -32022, "message": "no", "data": {"supported": supported}});
    for era in [Era::Modern, Era::Legacy] {
        let (mut server, kept) = server();
        let remembered = UpstreamConfig {
            era: Some(era),
            ..unknown(&kept)
        };
        let (upstream, ()) = tokio::join!(Upstream::connect(remembered, listener().0), async {
            let first = server.next().await;
            server
                .say(json!({"jsonrpc": "2.0", "id": first["id"], "error": refusal}))
                .await;
            let second = server.expect("initialize").await;
            assert_eq!(second["params"]["protocolVersion"], "2025-06-18");
            server.answer(&second, support::hello("2025-06-18")).await;
            server.expect("notifications/initialized").await;
        });
        let info = upstream.unwrap().info();
        assert_eq!(info.version, Some(Version::V2025_06_18));
    }
}

#[tokio::test]
async fn an_initialize_that_offers_a_session_is_answered_with_one_and_nobody_is_asked_more() {
    // As Python's mcp 2.3, which serves both eras and, once it is asked for discovery, only one.
    let (mut server, kept) = server();
    let (upstream, asked) = tokio::join!(Upstream::connect(unknown(&kept), listener().0), async {
        let asked = server.expect("initialize").await;
        server.answer(&asked, support::hello("2025-11-25")).await;
        server.expect("notifications/initialized").await;
        asked
    });
    assert_eq!(asked["params"]["protocolVersion"], "2025-11-25");
    assert_eq!(upstream.unwrap().info().era(), Era::Legacy);
}

#[tokio::test]
async fn a_refusal_that_no_modern_server_gives_is_the_end_and_is_told() {
    let (mut server, kept) = server();
    let (outcome, ()) = tokio::join!(Upstream::connect(unknown(&kept), listener().0), async {
        let request = server.expect("initialize").await;
        let error = json!({"code": -32000, "message": "no licence"});
        server
            .say(json!({"jsonrpc": "2.0", "id": request["id"], "error": error}))
            .await;
    });
    let error = outcome.err().unwrap();
    assert!(
        error
            .to_string()
            .contains("refused `initialize`: no licence"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_takes_neither_is_told_of_by_its_first_refusal() {
    let (mut server, kept) = server();
    let (outcome, ()) = tokio::join!(Upstream::connect(unknown(&kept), listener().0), async {
        for method in ["initialize", "server/discover"] {
            let request = server.expect(method).await;
            let error = json!({"code": -32601, "message": format!("no {method}")});
            server
                .say(json!({"jsonrpc": "2.0", "id": request["id"], "error": error}))
                .await;
        }
    });
    let error = outcome.err().unwrap();
    assert!(
        matches!(&error, HandshakeError::Refused { error, .. } if error.message == "no initialize"),
        "{error}"
    );
}

#[tokio::test]
async fn versions_nobody_here_speaks_are_named() {
    let (mut server, kept) = server();
    let remembered = UpstreamConfig {
        era: Some(Era::Modern),
        ..unknown(&kept)
    };
    let (outcome, ()) = tokio::join!(Upstream::connect(remembered, listener().0), async {
        let request = server.expect("server/discover").await;
        let error = json!({"code": -32022, "message": "no", "data": {"supported": ["2031-01-01"]}});
        server
            .say(json!({"jsonrpc": "2.0", "id": request["id"], "error": error}))
            .await;
    });
    let error = outcome.err().unwrap();
    assert!(error.to_string().contains("2031-01-01"), "{error}");
}

#[tokio::test]
async fn a_client_s_call_says_whose_it_is_and_keeps_every_other_byte() {
    let (upstream, mut server, ..) = connected().await;
    let envelope = request(
        r#"{"jsonrpc":"2.0","id":"abc","method":"tools/call","params":{"name":"x__echo","arguments":{"n":1.10},"_meta":{"progressToken":"t","x":[1e2]}}}"#,
    );
    let meta = ModernMeta::new(
        RawJson::parse(r#"{"name":"c","version":"1"}"#).unwrap(),
        RawJson::parse(r#"{"roots":{}}"#).unwrap(),
        Some("debug"),
    );
    let (sink, mut told) = progress();
    let call = Call {
        message: Outgoing::Forward {
            envelope: &envelope,
            rewrite: &Rewrite {
                name: Some("echo"),
                ..Rewrite::default()
            },
        },
        sink,
        modern: Some(Box::new(ModernCall {
            meta: Some(meta),
            headers: Vec::new(),
        })),
        ..forward(&envelope, tag(1, 1))
    };
    let server = async {
        let line = server.line().await;
        let message: Value = serde_json::from_str(&line).unwrap();
        let id = &message["id"];
        assert_eq!(
            line,
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"n\":1.10}},\
                 \"_meta\":{{\"progressToken\":{id},\"x\":[1e2],\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\
                 \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"c\",\"version\":\"1\"}},\
                 \"io.modelcontextprotocol/clientCapabilities\":{{\"roots\":{{}}}},\
                 \"io.modelcontextprotocol/logLevel\":\"debug\"}}}}}}\n"
            )
        );
        let params = json!({"progressToken": id, "progress": 1});
        server
            .say(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
            .await;
        server
            .answer(&message, json!({"resultType": "complete", "content": []}))
            .await;
    };
    let (reply, ()) = tokio::join!(upstream.call(call), server);
    assert!(!reply.unwrap().is_error());
    let progress = told.recv().await.unwrap();
    assert_eq!(progress.reported_token(), Some(RawJson::string("t")));
}

#[tokio::test]
async fn a_modern_client_s_call_keeps_what_it_says_of_itself() {
    let (upstream, mut server, ..) = connected().await;
    let envelope = request(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"extensions":{"a/b":{}}}}}}"#,
    );
    let (reply, ()) = tokio::join!(upstream.call(forward(&envelope, tag(1, 1))), async {
        let request = server.expect_modern("tools/call").await;
        let said = &request["params"]["_meta"];
        assert_eq!(said.as_object().unwrap().len(), 2, "{said}");
        server.answer(&request, json!({"resultType": "task"})).await;
    });
    // Such a client may know kinds of results that nobody here does.
    assert!(!reply.unwrap().is_error());
}

#[tokio::test]
async fn a_result_of_an_unknown_kind_is_no_result() {
    let (upstream, mut server, ..) = connected().await;
    for (method, kind, taken) in [
        ("tools/call", "task", false),
        ("tools/call", "input_required", true),
        ("tools/list", "input_required", false),
        ("tools/list", "complete", true),
    ] {
        let (reply, ()) = tokio::join!(upstream.call(Call::new(method, None)), async {
            let request = server.expect_modern(method).await;
            server
                .answer(&request, json!({"resultType": kind, "requestState": "s"}))
                .await;
        });
        match reply {
            Ok(_) => assert!(taken, "{method} {kind}"),
            Err(CallError::UnknownResult { kind: named, .. }) => {
                assert!(!taken && named == kind, "{method} {kind}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn ping_asks_for_discovery_and_levels_go_nowhere() {
    let (upstream, mut server, ..) = connected().await;
    let (reply, ()) = tokio::join!(upstream.call(Call::new("ping", None)), async {
        let request = server.expect_modern("server/discover").await;
        server.answer(&request, discovered()).await;
    });
    assert_eq!(reply.unwrap().outcome(), Ok(RawJson::EMPTY_OBJECT));
    let level = RawJson::parse(r#"{"level":"debug"}"#).unwrap();
    let reply = upstream
        .call(Call::new("logging/setLevel", Some(level)))
        .await;
    assert_eq!(reply.unwrap().outcome(), Ok(RawJson::EMPTY_OBJECT));
    upstream.notify("notifications/roots/list_changed", None);
    let (_, ()) = tokio::join!(upstream.call(Call::new("tools/list", None)), async {
        // Nothing else was sent before it.
        let request = server.expect_modern("tools/list").await;
        server.answer(&request, json!({"tools": []})).await;
    });
}

#[tokio::test]
async fn a_changed_list_is_told_without_the_stream_s_id() {
    let (_upstream, mut server, _kept, mut ear, stream) = connected().await;
    server
        .tell(
            &stream,
            "notifications/tools/list_changed",
            json!({"_meta": {"x": 1}}),
        )
        .await;
    let Heard::Notification(message, None) = ear.next().await else {
        panic!("something else");
    };
    assert_eq!(
        message.bytes(),
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"x":1}}}"#
    );
}

fn uri(uri: &str) -> RawJson {
    RawJson::write(&json!({ "uri": uri })).unwrap()
}

#[tokio::test]
async fn a_subscription_opens_another_stream_before_the_former_one_ends() {
    let (upstream, mut server, _kept, mut ear, first) = connected().await;
    let (reply, second) = tokio::join!(
        upstream.call(Call::new("resources/subscribe", Some(uri("a:1")))),
        server.open_stream()
    );
    assert_eq!(reply.unwrap().outcome(), Ok(RawJson::EMPTY_OBJECT));
    assert_eq!(
        second["params"]["notifications"],
        json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1"]})
    );
    let ended = server.expect("notifications/cancelled").await;
    assert_eq!(ended["params"]["requestId"], first["id"]);
    // What the former one still says does not count.
    server
        .tell(
            &first,
            "notifications/resources/updated",
            json!({"uri": "a:0"}),
        )
        .await;
    server
        .tell(
            &second,
            "notifications/resources/updated",
            json!({"uri": "a:1"}),
        )
        .await;
    let Heard::Notification(message, _) = ear.next().await else {
        panic!("something else");
    };
    assert_eq!(message.uri().as_deref(), Some("a:1"));
    let (reply, third) = tokio::join!(
        upstream.call(Call::new("resources/unsubscribe", Some(uri("a:1")))),
        server.open_stream()
    );
    assert!(reply.is_ok());
    assert_eq!(
        third["params"]["notifications"],
        json!({"toolsListChanged": true})
    );
}

#[tokio::test]
async fn a_subscription_that_the_server_does_not_agree_to_is_refused() {
    let (upstream, mut server, ..) = connected().await;
    let (reply, ()) = tokio::join!(
        upstream.call(Call::new("resources/subscribe", Some(uri("a:1")))),
        async {
            let mut asked = server.expect_modern("subscriptions/listen").await;
            asked["params"]["notifications"] = json!({"toolsListChanged": true});
            server.acknowledge(&asked).await;
        }
    );
    assert!(reply.unwrap().is_error());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_is_opened_again_and_everything_counts_as_changed() {
    let (_upstream, mut server, _kept, mut ear, mut stream) = connected().await;
    for graceful in [true, false] {
        if graceful {
            server
                .answer(&stream, json!({"resultType": "complete"}))
                .await;
        } else {
            let params = json!({"requestId": stream["id"]});
            server
                .say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
                .await;
        }
        stream = server.open_stream().await;
        let Heard::Notification(message, _) = ear.next().await else {
            panic!("something else");
        };
        assert_eq!(message.method(), "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn a_call_called_off_is_told_to_the_server() {
    let (upstream, mut server, ..) = connected().await;
    let envelope =
        request(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#);
    let (reply, ()) = tokio::join!(upstream.call(forward(&envelope, tag(1, 1))), async {
        let request = server.expect("tools/call").await;
        upstream.cancel(tag(1, 1).unwrap(), Some("enough"));
        let cancelled = server.expect("notifications/cancelled").await;
        assert_eq!(cancelled["params"]["requestId"], request["id"]);
    });
    assert_eq!(reply.err(), Some(CallError::Cancelled));
}

#[tokio::test]
async fn a_connection_that_is_closed_ends_its_stream() {
    let (upstream, mut server, _kept, _ear, stream) = connected().await;
    upstream.close().await;
    let ended = server.expect("notifications/cancelled").await;
    assert_eq!(ended["params"]["requestId"], stream["id"]);
}

#[tokio::test]
async fn a_request_of_a_modern_server_is_never_answered() {
    let (upstream, mut server, _kept, _ear, _) = connected().await;
    server
        .say(json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}))
        .await;
    let (_, ()) = tokio::join!(upstream.call(Call::new("tools/list", None)), async {
        let request = server.expect_modern("tools/list").await;
        server.answer(&request, json!({"tools": []})).await;
    });
    assert_eq!(upstream.counts().garbage, 1);
}

#[tokio::test]
async fn a_successor_goes_on_without_greeting_and_ends_the_stream_it_finds() {
    let (upstream, mut server, kept, _ear, former) = connected().await;
    let note = upstream.info().note().unwrap();
    drop(upstream);
    let (inbound, mut ear) = listener();
    let config = UpstreamConfig {
        resume: Some(note),
        generation: 2,
        ..unknown(&kept)
    };
    let (upstream, stream) = tokio::join!(Upstream::connect(config, inbound), server.open_stream());
    let upstream = upstream.unwrap();
    assert!(upstream.info().resumed && upstream.is_modern());
    server
        .tell(&former, "notifications/tools/list_changed", json!({}))
        .await;
    let ended = server.expect("notifications/cancelled").await;
    assert_eq!(ended["params"]["requestId"], former["id"]);
    server
        .tell(&stream, "notifications/tools/list_changed", json!({}))
        .await;
    assert!(matches!(ear.next().await, Heard::Notification(..)));
    assert_eq!(modern_fault(&stream), None);
}
