//! Servers that do it wrong: each gives one clear error, and its neighbours' calls go on.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use std::time::Duration;

use backstay_mcp::upstream::Counts;
use backstay_mcp::{Call, CallError, HandshakeError, Limits, Target, Upstream, UpstreamConfig};
use serde_json::{Value, json};
use support::{config, connected, hello, listener, refused, server};

/// What `initialize` is answered with, as text around its id.
async fn answered(text: impl Fn(&Value) -> String) -> HandshakeError {
    let (mut server, kept) = server();
    refused(config(Target::Stdio(kept.pipes())), async {
        let request = server.expect("initialize").await;
        server.print(text(&request["id"])).await;
    })
    .await
}

#[tokio::test]
async fn one_that_exits_at_once_is_said_to_have_ended() {
    let (server, kept) = server();
    let error = refused(config(Target::Stdio(kept.pipes())), async { drop(server) }).await;
    assert_eq!(
        error.to_string(),
        "`fake.1` ended before it answered `initialize`"
    );
    assert!(error.hint().contains("log"), "{}", error.hint());
}

#[tokio::test]
async fn one_that_prints_text_and_ends_is_shown_with_its_text() {
    let (mut server, kept) = server();
    let error = refused(config(Target::Stdio(kept.pipes())), async {
        server
            .print("Error: Cannot find module 'x'\n\tat y\n{\"level\":\"info\"}\nno end")
            .await;
        drop(server);
    })
    .await;
    assert_eq!(
        error.to_string(),
        "`fake.1` ended before it answered `initialize`; on stdout it printed 4 lines that are no MCP message\n  \
         | Error: Cannot find module 'x'\n  |  at y\n  | {\"level\":\"info\"}\n  | no end"
    );
    assert!(error.hint().contains("stderr"), "{}", error.hint());
}

#[tokio::test]
async fn one_that_prints_a_banner_and_then_behaves_is_forgiven() {
    let (mut server, kept) = server();
    let (inbound, _ear) = listener();
    let (upstream, ()) = tokio::join!(
        Upstream::connect(config(Target::Stdio(kept.pipes())), inbound),
        async {
            server.print("Welcome!\n\n\u{feff}\n").await;
            server.greet().await;
        }
    );
    let upstream = upstream.unwrap();
    assert_eq!(upstream.counts().garbage, 2);
    assert_eq!(upstream.printed().first[0], "Welcome!");
}

#[tokio::test]
async fn one_that_only_prints_is_given_up_early() {
    let (mut server, kept) = server();
    let error = refused(config(Target::Stdio(kept.pipes())), async {
        for _ in 0..1001 {
            server.print("y\n").await;
        }
    })
    .await;
    let HandshakeError::Garbage { printed, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((printed.lines, printed.first.len()), (1001, 5));
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_runs_out_of_time() {
    let (_server, kept) = server();
    let config = UpstreamConfig {
        start_timeout: Duration::from_secs(60),
        ..config(Target::Stdio(kept.pipes()))
    };
    let error = refused(config, async {}).await;
    assert_eq!(
        error.to_string(),
        "`fake.1` did not answer `initialize` within 60s"
    );
}

#[tokio::test]
async fn one_that_answers_with_a_wrong_id_is_caught_at_once() {
    for wrong in ["0", "1", "256000", "\"other\"", "1e2"] {
        let error =
            answered(|_| format!("{{\"jsonrpc\":\"2.0\",\"id\":{wrong},\"result\":{{}}}}\n{{}}\n"))
                .await;
        assert_eq!(
            error.to_string(),
            format!("`fake.1` answered `initialize` with the id {wrong} instead of 256")
        );
    }
}

#[tokio::test]
async fn one_that_sends_ten_megabytes_without_a_line_break_is_caught_before_it_ends() {
    let (mut server, kept) = server();
    let config = UpstreamConfig {
        limits: Limits::with_max_bytes(1 << 20),
        ..config(Target::Stdio(kept.pipes()))
    };
    let payload = vec![b'x'; 10_000];
    let (inbound, _ear) = listener();
    let error = tokio::select! {
        outcome = Upstream::connect(config, inbound) => outcome.err().unwrap(),
        () = async { loop { server.print(&payload).await; } } => unreachable!(),
    };
    assert_eq!(
        error.to_string(),
        format!(
            "`fake.1` wrote more than 1 MiB to stdout without a line break before it answered `initialize`, \
             starting with\n  | {}…",
            "x".repeat(160)
        )
    );
    assert!(error.hint().contains("stderr"), "{}", error.hint());
}

#[tokio::test]
async fn by_default_a_first_line_of_four_megabytes_is_believed_and_no_longer_one() {
    let (mut server, kept) = server();
    let (inbound, _ear) = listener();
    let payload = vec![b'x'; 10_000];
    let error = tokio::select! {
        outcome = Upstream::connect(config(Target::Stdio(kept.pipes())), inbound) => outcome.err().unwrap(),
        () = async { loop { server.print(&payload).await; } } => unreachable!(),
    };
    let HandshakeError::Endless { limit, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(limit, 4 << 20);
}

#[tokio::test]
async fn one_that_answers_at_length_may_do_so() {
    let (mut server, kept) = server();
    let (upstream, ()) = tokio::join!(
        Upstream::connect(config(Target::Stdio(kept.pipes())), listener().0),
        async {
            let request = server.expect("initialize").await;
            let mut greeting = hello("2025-11-25");
            greeting["instructions"] = json!("x".repeat(3 << 20));
            server.answer(&request, greeting).await;
            server.expect("notifications/initialized").await;
        }
    );
    upstream.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_prompts_and_waits_is_shown_with_its_prompt() {
    let (mut server, kept) = server();
    let error = refused(config(Target::Stdio(kept.pipes())), async {
        server.print("Starting\nPassword: ").await;
    })
    .await;
    assert_eq!(
        error.to_string(),
        "`fake.1` did not answer `initialize` within 20s; on stdout it printed 1 line that is no MCP message\n  \
         | Starting\nand it began a line of 10 bytes that has no end yet\n  | Password:"
    );
}

#[tokio::test]
async fn one_that_wants_another_version_is_told_which_there_are() {
    let error = answered(|id| {
        json!({"jsonrpc": "2.0", "id": id, "result": hello("2099-01-01")}).to_string() + "\n"
    })
    .await;
    assert_eq!(
        error.to_string(),
        "`fake.1`: protocol version `2099-01-01` is not one of 2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25"
    );
}

#[tokio::test]
async fn one_that_answers_initialize_with_nothing_is_refused() {
    for result in ["null", "[]", "\"ok\"", "{}", "{\"protocolVersion\":5}"] {
        let error =
            answered(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n"))
                .await;
        assert!(
            matches!(error, HandshakeError::BadResult { .. }),
            "{result}: {error}"
        );
    }
}

#[tokio::test]
async fn one_that_refuses_initialize_is_quoted() {
    let error = answered(|id| {
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "needs BRAVE_API_KEY"}}).to_string() + "\n"
    })
    .await;
    assert_eq!(
        error.to_string(),
        "`fake.1` refused `initialize`: needs BRAVE_API_KEY (-32602)"
    );
}

#[tokio::test]
async fn one_that_cannot_read_initialize_is_quoted_though_it_names_no_id() {
    let error = answered(|_| {
        json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "Parse error"}})
            .to_string()
            + "\n"
    })
    .await;
    assert_eq!(
        error.to_string(),
        "`fake.1` refused `initialize`: Parse error (-32700)"
    );
}

#[tokio::test]
async fn a_pipe_that_is_no_pipe_is_refused() {
    let (_server, mut kept) = server();
    kept.stdin = tempfile::tempfile().unwrap().into();
    let error = refused(config(Target::Stdio(kept.pipes())), async {}).await;
    assert!(matches!(error, HandshakeError::BadTarget { .. }), "{error}");
}

#[tokio::test]
async fn answers_twice_and_answers_to_nobody_are_counted_and_dropped() {
    let (upstream, mut server, ..) = connected().await;
    for _ in 0..3 {
        let (reply, ()) = tokio::join!(upstream.call(Call::new("x", None)), async {
            let request = server.expect("x").await;
            server
                .answer(&json!({"id": 999_424}), json!({"for": "nobody"}))
                .await;
            server.answer(&request, json!({"first": true})).await;
            server.answer(&request, json!({"first": false})).await;
            server
                .print("not json\n{\"jsonrpc\":\"1.0\",\"method\":\"x\"}\n")
                .await;
        });
        assert_eq!(
            reply.unwrap().outcome().unwrap().as_str(),
            "{\"first\":true}"
        );
    }
    // What came last may not be read yet: a fourth call waits for it.
    let (reply, ()) = tokio::join!(upstream.call(Call::new("x", None)), async {
        let request = server.expect("x").await;
        server.answer(&request, json!({})).await;
    });
    assert!(reply.is_ok());
    assert_eq!(
        upstream.counts(),
        Counts {
            late: 3,
            unknown: 3,
            garbage: 6,
            ..Counts::default()
        }
    );
}

#[tokio::test]
async fn a_result_that_is_no_object_is_an_error_of_that_call() {
    let (upstream, mut server, ..) = connected().await;
    let (reply, ()) = tokio::join!(upstream.call(Call::new("x", None)), async {
        let request = server.expect("x").await;
        server.answer(&request, Value::Null).await;
    });
    assert_eq!(
        reply.unwrap_err(),
        CallError::BadResult {
            instance: "fake.1".into(),
            shown: "null".into()
        }
    );
}

#[tokio::test]
async fn an_answer_over_the_limit_fails_its_own_call_only() {
    let (mut server, kept) = server();
    let config = UpstreamConfig {
        limits: Limits::with_max_bytes(100_000),
        ..config(Target::Stdio(kept.pipes()))
    };
    let (upstream, ()) = tokio::join!(Upstream::connect(config, listener().0), server.greet());
    let upstream = upstream.unwrap();
    let (large, small, ()) = tokio::join!(
        upstream.call(Call::new("large", None)),
        upstream.call(Call::new("small", None)),
        async {
            let (large, small) = (server.expect("large").await, server.expect("small").await);
            server
                .answer(&large, json!({"text": "x".repeat(10 << 20)}))
                .await;
            server.answer(&small, json!({})).await;
        }
    );
    assert_eq!(
        large.unwrap_err(),
        CallError::AnswerTooLarge {
            instance: "fake.1".into(),
            limit: 100_000
        }
    );
    assert!(small.is_ok());
    assert_eq!(upstream.counts().oversize, 1);
}

#[tokio::test]
async fn a_call_over_the_limit_is_not_sent() {
    let (mut server, kept) = server();
    let config = UpstreamConfig {
        limits: Limits::with_max_bytes(1000),
        ..config(Target::Stdio(kept.pipes()))
    };
    let (upstream, ()) = tokio::join!(Upstream::connect(config, listener().0), server.greet());
    let upstream = upstream.unwrap();
    let params = backstay_mcp::RawJson::string(&"x".repeat(2000));
    let error = upstream
        .call(Call::new("x", Some(params)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::TooLarge { limit: 1000, .. }) && error.never_sent(),
        "{error}"
    );
    assert_eq!(upstream.counts().in_flight, 0);
}

#[tokio::test]
async fn line_separators_of_unicode_end_no_line() {
    let (upstream, mut server, ..) = connected().await;
    let text = "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f";
    let (reply, ()) = tokio::join!(upstream.call(Call::new("x", None)), async {
        let request = server.expect("x").await;
        server
            .print(format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"text\":\"a\u{2028}b\u{2029}c\u{85}d\\u000be\\u000cf\"}}}}\n", request["id"]))
            .await;
    });
    assert_eq!(
        reply.unwrap().outcome().unwrap().read::<Value>().unwrap()["text"],
        text
    );
}

#[tokio::test]
async fn one_that_does_not_read_is_not_written_to_without_end() {
    let (upstream, _server, ..) = connected().await;
    let params = backstay_mcp::RawJson::string(&"x".repeat(1 << 20));
    let calls = (0..40).map(|_| upstream.call(Call::new("x", Some(params.clone()))));
    let mut calls = futures_util::future::select_all(calls.map(Box::pin));
    let (outcome, ..) = (&mut calls).await;
    let error = outcome.unwrap_err();
    assert!(
        matches!(error, CallError::Overloaded { .. }) && error.never_sent(),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_closes_only_its_stdin_is_closed_soon() {
    let (upstream, server, _kept, mut ear) = connected().await;
    let stdout = server.close_stdin();
    let error = upstream.call(Call::new("x", None)).await.unwrap_err();
    assert_eq!(error.to_string(), "`fake.1` is gone: it closed its stdin");
    ear.closed().await;
    drop(stdout);
}
