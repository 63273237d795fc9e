//! An upstream over pipes, against a server that behaves.

mod support;

use std::time::Duration;

use backstay_mcp::upstream::Counts;
use backstay_mcp::{
    Call, CallError, CloseReason, RawJson, Rewrite, Target, Upstream, UpstreamConfig, Version,
};
use serde_json::json;
use support::{
    Heard, config, connected, connected_as, forward, listener, progress, request, server, tag,
};

#[tokio::test]
async fn a_handshake_tells_what_the_server_is() {
    let (upstream, ..) = connected().await;
    let info = upstream.info();
    assert_eq!(
        (info.version, info.name.as_str(), info.resumed),
        (Some(Version::V2025_11_25), "fake", false)
    );
    assert!(info.capabilities.tools() && !info.capabilities.prompts());
}

#[tokio::test]
async fn every_supported_version_is_accepted() {
    for version in Version::ALL {
        let (upstream, ..) = connected_as(version.as_str()).await;
        assert_eq!(upstream.info().version, Some(version));
    }
}

#[tokio::test]
async fn a_forwarded_call_keeps_every_byte_but_id_name_and_token() {
    let (upstream, mut server, ..) = connected().await;
    let text = r#"{ "jsonrpc":"2.0","extra":1.0, "id":"abc","method":"tools/call",
        "params":{"name":"fake__echo","arguments":{"n":1.10,"id":7},"_meta":{"progressToken":"t","x":[1e2]}}}"#;
    let envelope = request(text);
    let rewrite = Rewrite {
        name: Some("echo"),
        ..Rewrite::default()
    };
    let call = Call {
        message: backstay_mcp::Outgoing::Forward {
            envelope: &envelope,
            rewrite: &rewrite,
        },
        ..forward(&envelope, tag(1, 1))
    };
    let server = async {
        let line = server.line().await;
        assert_eq!(
            line,
            "{ \"jsonrpc\":\"2.0\",\"extra\":1.0, \"id\":512,\"method\":\"tools/call\",         \
             \"params\":{\"name\":\"echo\",\"arguments\":{\"n\":1.10,\"id\":7},\"_meta\":{\"progressToken\":512,\"x\":[1e2]}}}\n"
        );
        server
            .print("{\"jsonrpc\":\"2.0\", \"id\":512 ,\"result\":{\"x\":1.0}}\n")
            .await;
    };
    let (reply, ()) = tokio::join!(upstream.call(call), server);
    assert_eq!(
        reply.unwrap().with_id(&RawJson::string("abc")),
        "{\"jsonrpc\":\"2.0\", \"id\":\"abc\" ,\"result\":{\"x\":1.0}}"
    );
}

#[tokio::test]
async fn answers_find_their_callers_in_any_order() {
    let (upstream, mut server, ..) = connected().await;
    let server = async {
        let mut requests = Vec::new();
        for _ in 0..100 {
            requests.push(server.next().await);
        }
        for request in requests.iter().rev() {
            let params = request["params"].clone();
            server.answer(request, params).await;
        }
    };
    let calls = futures_util::future::join_all((0..100).map(|number| {
        let params = RawJson::write(&json!({"number": number})).unwrap();
        let upstream = &upstream;
        async move {
            (
                upstream
                    .call(Call::new("echo", Some(params.clone())))
                    .await
                    .unwrap()
                    .outcome(),
                params,
            )
        }
    }));
    for (result, params) in tokio::join!(calls, server).0 {
        assert_eq!(result, Ok(params));
    }
    assert_eq!(upstream.counts(), Counts::default());
}

#[tokio::test]
async fn large_messages_go_both_ways() {
    let (upstream, mut server, ..) = connected().await;
    let params = RawJson::write(&json!({"text": "ü".repeat(1_000_000)})).unwrap();
    let server = async {
        let request = server.next().await;
        let echo = request["params"].clone();
        server.answer(&request, echo).await;
    };
    let (reply, ()) = tokio::join!(
        upstream.call(Call::new("echo", Some(params.clone()))),
        server
    );
    assert_eq!(reply.unwrap().outcome(), Ok(params));
}

#[tokio::test]
async fn an_error_of_the_server_comes_as_it_was_sent() {
    let (upstream, mut server, ..) = connected().await;
    let server = async {
        let id = server.next().await["id"].clone();
        server.print(format!("{{\"id\":\"{id}\",\"jsonrpc\":\"2.0\",\"error\":{{\"code\":-1.0,\"message\":\"no\"}}}}\n")).await;
    };
    let (reply, ()) = tokio::join!(upstream.call(Call::new("x", None)), server);
    assert_eq!(
        reply.unwrap().outcome(),
        Err(RawJson::parse("{\"code\":-1.0,\"message\":\"no\"}").unwrap())
    );
}

#[tokio::test]
async fn progress_goes_to_its_call_with_the_clients_own_token() {
    let (upstream, mut server, _kept, mut ear) = connected().await;
    let (sink, mut told) = progress();
    let envelope = request(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":"mine"}}}"#,
    );
    let call = Call {
        sink,
        ..forward(&envelope, tag(1, 1))
    };
    let server = async {
        let request = server.next().await;
        let token = &request["params"]["_meta"]["progressToken"];
        server.print(format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":1.0,\"more\":[]}}}}\n"
        )).await;
        server.answer(&request, json!({})).await;
    };
    tokio::join!(upstream.call(call), server).0.unwrap();
    let told = told.recv().await.unwrap();
    assert_eq!(
        told.bytes(),
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"mine\",\"progress\":1.0,\"more\":[]}}"
    );
    assert!(
        ear.heard.try_recv().is_err(),
        "progress was also told as a notification"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_call_and_the_server_is_told() {
    let (upstream, mut server, ..) = connected().await;
    let call = Call {
        timeout: Some(Duration::from_secs(5)),
        ..Call::new("slow", None)
    };
    let error = upstream.call(call).await.unwrap_err();
    assert_eq!(
        error,
        CallError::TimedOut {
            instance: "fake.1".into(),
            after: Duration::from_secs(5)
        }
    );
    let id = server.expect("slow").await["id"].clone();
    assert_eq!(
        server.expect("notifications/cancelled").await["params"]["requestId"],
        id
    );
    // Its answer comes after all, twice, and harms nobody.
    let late = json!({"jsonrpc": "2.0", "id": id, "result": {}});
    server.say(late.clone()).await;
    server.say(late).await;
    let (reply, ()) = tokio::join!(upstream.call(Call::new("next", None)), async {
        let request = server.expect("next").await;
        server.answer(&request, json!({})).await;
    });
    assert!(reply.is_ok());
    assert_eq!(
        upstream.counts(),
        Counts {
            late: 2,
            ..Counts::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn progress_extends_a_call_but_not_for_ever() {
    let (mut server, kept) = server();
    let config = UpstreamConfig {
        max_call_time: Duration::from_secs(20),
        ..config(Target::Stdio(kept.pipes()))
    };
    let (upstream, ()) = tokio::join!(Upstream::connect(config, listener().0), server.greet());
    let upstream = upstream.unwrap();
    let envelope =
        request(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1}}}"#);
    let begun = tokio::time::Instant::now();
    let server = async {
        let token = server.next().await["params"]["_meta"]["progressToken"].clone();
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            server
                .say(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}))
                .await;
        }
    };
    let call = Call {
        timeout: Some(Duration::from_secs(5)),
        ..forward(&envelope, tag(1, 1))
    };
    let error = tokio::select! { error = upstream.call(call) => error.unwrap_err(), () = server => unreachable!() };
    assert_eq!(
        error,
        CallError::TimedOut {
            instance: "fake.1".into(),
            after: Duration::from_secs(20)
        }
    );
    assert_eq!(begun.elapsed().as_secs(), 20);
}

#[tokio::test]
async fn a_cancelled_call_ends_at_once_and_the_server_hears_why() {
    let (upstream, mut server, ..) = connected().await;
    let envelope = request(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
    let (outcome, ()) = tokio::join!(upstream.call(forward(&envelope, tag(7, 3))), async {
        let id = server.expect("x").await["id"].clone();
        upstream.cancel(tag(7, 3).unwrap(), Some("changed \"my\" mind"));
        let params = server.expect("notifications/cancelled").await["params"].clone();
        assert_eq!(
            params,
            json!({"requestId": id, "reason": "changed \"my\" mind"})
        );
    });
    assert_eq!(outcome.unwrap_err(), CallError::Cancelled);
    upstream.cancel(tag(7, 3).unwrap(), None);
    assert_eq!(upstream.counts().in_flight, 0);
}

#[tokio::test]
async fn a_dropped_call_is_called_off() {
    let (upstream, mut server, ..) = connected().await;
    let id = tokio::select! {
        _ = upstream.call(Call::new("x", None)) => unreachable!(),
        request = server.expect("x") => request["id"].clone(),
    };
    assert_eq!(
        server.expect("notifications/cancelled").await["params"]["requestId"],
        id
    );
    assert_eq!(upstream.counts().in_flight, 0);
}

#[tokio::test]
async fn what_the_server_asks_goes_to_the_only_session_there_is() {
    let (upstream, mut server, _kept, mut ear) = connected().await;
    let envelope = request(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
    let (first, second) = (
        upstream.call(forward(&envelope, tag(1, 1))),
        upstream.call(forward(&envelope, tag(2, 1))),
    );
    let ask =
        |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "roots/list", "params": {"n": 1}});
    let server = async {
        server.say(ask(1)).await;
        assert!(
            matches!(ear.next().await, Heard::Request(_, None)),
            "nobody has a call in flight"
        );
        assert_eq!(
            server.next().await,
            json!({"jsonrpc": "2.0", "id": 1, "result": {"n": 1}})
        );
        let mut first = Box::pin(first);
        let one =
            tokio::select! { _ = &mut first => unreachable!(), one = server.expect("x") => one };
        server.say(ask(2)).await;
        assert!(matches!(ear.next().await, Heard::Request(_, related) if related == tag(1, 1)));
        assert_eq!(server.next().await["id"], 2);
        let mut second = Box::pin(second);
        let _two =
            tokio::select! { _ = &mut second => unreachable!(), two = server.expect("x") => two };
        server.say(ask(3)).await;
        assert!(
            matches!(ear.next().await, Heard::Request(_, None)),
            "two sessions have calls in flight"
        );
        assert_eq!(server.next().await["id"], 3);
        server.answer(&one, json!({})).await;
        assert!(first.await.is_ok());
        server
            .say(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}))
            .await;
        assert!(
            matches!(ear.next().await, Heard::Notification(_, related) if related == tag(2, 1))
        );
    };
    server.await;
}

#[tokio::test]
async fn a_ping_of_the_server_is_answered_and_told_nobody() {
    let (_upstream, mut server, _kept, mut ear) = connected().await;
    server
        .say(json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}))
        .await;
    assert_eq!(
        server.next().await,
        json!({"jsonrpc": "2.0", "id": "p", "result": {}})
    );
    assert!(ear.heard.try_recv().is_err());
}

#[tokio::test]
async fn a_request_the_server_calls_off_is_dropped_and_not_answered() {
    let (_upstream, mut server, _kept, mut ear) = connected().await;
    server
        .say(json!({"jsonrpc": "2.0", "id": 1, "method": "hang"}))
        .await;
    assert!(matches!(ear.next().await, Heard::Request(..)));
    server.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    ear.dropped().await;
    server
        .say(json!({"jsonrpc": "2.0", "id": 2, "method": "fail"}))
        .await;
    let answer = server.next().await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!(2), &json!(-32601))
    );
}

#[tokio::test]
async fn a_process_that_ends_ends_its_calls() {
    let (upstream, mut server, _kept, mut ear) = connected().await;
    let (outcome, ()) = tokio::join!(upstream.call(Call::new("x", None)), async {
        server.expect("x").await;
        drop(server);
    });
    let gone = |sent| CallError::Closed {
        instance: "fake.1".into(),
        reason: CloseReason::StdoutClosed,
        sent,
    };
    assert_eq!(outcome.unwrap_err(), gone(true));
    assert_eq!(ear.closed().await, CloseReason::StdoutClosed);
    let after = upstream.call(Call::new("y", None)).await.unwrap_err();
    assert_eq!(after, gone(false));
    assert!(after.never_sent());
}

#[tokio::test]
async fn closing_sends_what_was_accepted_and_leaves_the_process_its_stdin() {
    let (upstream, mut server, kept, mut ear) = connected().await;
    upstream.notify("notifications/bye", None);
    upstream.close().await;
    server.expect("notifications/bye").await;
    assert_eq!(ear.closed().await, CloseReason::Closed);
    drop(upstream);
    drop(kept.stdin);
    server.end_of_input().await;
}

#[tokio::test]
async fn batches_are_read_where_the_version_has_them() {
    let (upstream, mut server, ..) = connected_as("2025-03-26").await;
    let (outcome, ()) = tokio::join!(upstream.call(Call::new("x", None)), async {
        let id = server.expect("x").await["id"].clone();
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": {}});
        server
            .say(json!([{"jsonrpc": "2.0", "method": "notifications/message"}, 5, answer]))
            .await;
    });
    assert!(outcome.is_ok());
    assert_eq!(upstream.counts().garbage, 1);
}
