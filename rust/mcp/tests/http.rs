//! An upstream over streamable HTTP, against a real server.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backstay_mcp::{
    Call, CallError, Endpoint, HandshakeError, Limits, Target, Upstream, UpstreamConfig, Version,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use support::http::{
    Answer, Asked, event, events, json, opened, result, serve, status, stream, with,
};
use support::{Heard, config, forward, listener, progress, refused, request, tag};
use tokio::sync::Notify;

fn target(address: SocketAddr) -> Target {
    Target::Http(Endpoint {
        url: format!("http://{address}/mcp"),
        headers: vec![("x-key".into(), "secret".into())],
    })
}

/// The handshake's part of a server; none for what comes after.
fn greeting(asked: &Asked) -> Option<Answer> {
    match asked.what().as_str() {
        "POST initialize" => Some(opened(asked, "s1", "2025-11-25")),
        "POST notifications/initialized" | "POST notifications/cancelled" => Some(status(202, "")),
        "GET" if asked.header("last-event-id").is_empty() => Some(status(405, "")),
        _ => None,
    }
}

async fn connect(address: SocketAddr) -> (Arc<Upstream>, support::Ear) {
    let (inbound, ear) = listener();
    (
        Upstream::connect(config(target(address)), inbound)
            .await
            .unwrap(),
        ear,
    )
}

#[tokio::test]
async fn a_session_is_opened_used_and_deleted() {
    let (address, log) = serve(|asked| async move {
        assert_eq!(asked.header("x-key"), "secret");
        let fresh = asked.what() == "POST initialize";
        assert_eq!(
            asked.header("mcp-session-id"),
            if fresh { "" } else { "s1" }
        );
        assert_eq!(
            asked.header("mcp-protocol-version"),
            if fresh { "" } else { "2025-11-25" }
        );
        if asked.parts.method == "POST" {
            assert_eq!(asked.header("content-type"), "application/json");
            assert_eq!(
                asked.header("accept"),
                "application/json, text/event-stream"
            );
        }
        greeting(&asked).unwrap_or_else(|| result(&asked, json!({"tools": []})))
    })
    .await;
    let (upstream, mut ear) = connect(address).await;
    assert_eq!(
        (upstream.info().version, upstream.info().session.as_deref()),
        (Some(Version::V2025_11_25), Some("s1"))
    );
    let reply = upstream.call(Call::new("tools/list", None)).await.unwrap();
    assert_eq!(reply.outcome().unwrap().as_str(), r#"{"tools":[]}"#);
    upstream.close().await;
    ear.closed().await;
    let mut log = log.lock().clone();
    log.retain(|what| what != "GET");
    assert_eq!(
        log,
        [
            "POST initialize",
            "POST notifications/initialized",
            "POST tools/list",
            "DELETE"
        ]
    );
}

#[tokio::test]
async fn an_older_version_has_no_version_header_and_may_answer_in_batches() {
    let (address, _log) = serve(|asked| async move {
        assert_eq!(asked.header("mcp-protocol-version"), "");
        match asked.what().as_str() {
            "POST initialize" => opened(&asked, "s1", "2025-03-26"),
            "POST x" => json(&json!([
                {"jsonrpc": "2.0", "method": "notifications/message"},
                {"jsonrpc": "2.0", "id": asked.body["id"], "result": {}},
            ])),
            _ => greeting(&asked).unwrap(),
        }
    })
    .await;
    let (upstream, mut ear) = connect(address).await;
    let envelope = request(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
    upstream.call(forward(&envelope, tag(1, 1))).await.unwrap();
    assert!(matches!(ear.next().await, Heard::Notification(_, related) if related == tag(1, 1)));
}

#[tokio::test]
async fn a_stream_carries_progress_requests_and_the_answer() {
    let answered = Arc::new(Notify::new());
    let told = Arc::clone(&answered);
    let (address, log) = serve(move |asked| {
        let answered = Arc::clone(&told);
        async move {
            if let Some(answer) = greeting(&asked) {
                return answer;
            }
            if asked.what() == "POST" {
                assert_eq!(
                    asked.body,
                    json!({"jsonrpc": "2.0", "id": "q", "result": {"n": 1}})
                );
                answered.notify_one();
                return status(202, "");
            }
            let (answer, tell) = stream();
            let token = &asked.body["params"]["_meta"]["progressToken"];
            let params = json!({"progressToken": token, "progress": 1});
            tell.send(event(
                &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}),
            ))
            .unwrap();
            tell.send(event(
                &json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list", "params": {"n": 1}}),
            ))
            .unwrap();
            let last = event(&json!({"jsonrpc": "2.0", "id": asked.body["id"], "result": {}}));
            tokio::spawn(async move {
                answered.notified().await;
                tell.send(last).unwrap();
            });
            answer
        }
    })
    .await;
    let (upstream, mut ear) = connect(address).await;
    let (sink, mut heard) = progress();
    let envelope = request(
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":"mine"}}}"#,
    );
    upstream
        .call(Call {
            sink,
            ..forward(&envelope, tag(5, 6))
        })
        .await
        .unwrap();
    assert!(
        heard
            .recv()
            .await
            .unwrap()
            .reported_token()
            .unwrap()
            .as_str()
            == "\"mine\""
    );
    assert!(matches!(ear.next().await, Heard::Request(_, related) if related == tag(5, 6)));
    assert!(log.lock().contains(&"POST".to_owned()));
}

#[tokio::test]
async fn a_stream_that_ends_early_is_taken_up_where_it_ended() {
    let (address, log) = serve(|asked| async move {
        if let Some(answer) = greeting(&asked) {
            return answer;
        }
        match (asked.what().as_str(), asked.header("last-event-id")) {
            ("POST x", _) => events(&format!("id: {}-1\nretry: 10\ndata:\n\n", asked.body["id"])),
            ("GET", last) => {
                let (id, step) = last.split_once('-').unwrap();
                if step == "1" {
                    return events(&format!("id: {id}-2\ndata: {{\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/message\"}}\n\ndata: {{\"half"));
                }
                events(&event(&json!({"jsonrpc": "2.0", "id": id.parse::<u64>().unwrap(), "result": {"at": step}})))
            }
            _ => unreachable!(),
        }
    })
    .await;
    let (upstream, mut ear) = connect(address).await;
    let reply = upstream.call(Call::new("x", None)).await.unwrap();
    assert_eq!(reply.outcome().unwrap().as_str(), r#"{"at":"2"}"#);
    assert!(matches!(ear.next().await, Heard::Notification(..)));
    assert_eq!(upstream.counts().garbage, 0);
    assert!(log.lock().iter().filter(|what| *what == "GET").count() >= 2);
}

#[tokio::test]
async fn a_stream_that_cannot_be_taken_up_is_an_error_of_its_call() {
    let (address, _log) = serve(|asked| async move {
        greeting(&asked).unwrap_or_else(|| match asked.what().as_str() {
            "POST x" => {
                events("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n")
            }
            _ => events("not a stream"),
        })
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    let error = upstream.call(Call::new("x", None)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`fake.1` ended its response without an answer: its event stream ended"
    );
}

/// A server that forgets its session once it is told to, and says so in its own way.
async fn forgetful(
    status_code: u16,
    text: &'static str,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>) {
    let session = Arc::new(AtomicUsize::new(1));
    let current = Arc::clone(&session);
    let (address, log) = serve(move |asked| {
        let current = format!("s{}", current.load(Ordering::SeqCst));
        async move {
            if asked.what() == "POST initialize" {
                return opened(&asked, &current, "2025-11-25");
            }
            if asked.header("mcp-session-id") != current {
                return status(status_code, text);
            }
            greeting(&asked).unwrap_or_else(|| result(&asked, json!({})))
        }
    })
    .await;
    (address, log, session)
}

#[tokio::test]
async fn a_forgotten_session_is_renewed_once_for_all_calls() {
    for (code, text) in [
        (404, "gone"),
        (400, "Bad Request: No valid session ID provided"),
    ] {
        let (address, log, session) = forgetful(code, text).await;
        let (upstream, mut ear) = connect(address).await;
        upstream.call(Call::new("before", None)).await.unwrap();
        session.store(2, Ordering::SeqCst);
        let calls = (0..10).map(|_| upstream.call(Call::new("after", None)));
        for reply in futures_util::future::join_all(calls).await {
            reply.unwrap();
        }
        assert!(matches!(ear.next().await, Heard::Renewed));
        assert_eq!(upstream.info().session.as_deref(), Some("s2"));
        assert_eq!(
            log.lock()
                .iter()
                .filter(|what| *what == "POST initialize")
                .count(),
            2,
            "for {code}"
        );
    }
}

#[tokio::test]
async fn a_successor_goes_on_in_the_same_session() {
    let (address, log, _session) = forgetful(404, "").await;
    let (upstream, _ear) = connect(address).await;
    let note = upstream.info().note();
    drop(upstream);
    let config = UpstreamConfig {
        resume: note,
        generation: 2,
        ..config(target(address))
    };
    let upstream = Upstream::connect(config, listener().0).await.unwrap();
    upstream.call(Call::new("x", None)).await.unwrap();
    assert!(upstream.info().resumed);
    assert_eq!(
        log.lock()
            .iter()
            .filter(|what| *what == "POST initialize")
            .count(),
        1
    );
}

#[tokio::test]
async fn what_the_server_sends_on_its_own_is_heard_and_taken_up_again() {
    let (address, _log) = serve(|asked| async move {
        if asked.what() != "GET" {
            return greeting(&asked).unwrap();
        }
        match asked.header("last-event-id") {
            "" => events("id: 1\nretry: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n"),
            "1" => {
                let (answer, tell) = stream();
                tell.send(event(&json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}))).unwrap();
                std::mem::forget(tell);
                answer
            }
            other => unreachable!("{other}"),
        }
    })
    .await;
    let (_upstream, mut ear) = connect(address).await;
    assert!(matches!(ear.next().await, Heard::Notification(_, None)));
    assert!(matches!(ear.next().await, Heard::Request(_, None)));
}

/// What a call is answered with, and what becomes of it.
async fn call_gives(
    answer: impl Fn(&Asked) -> Answer + Send + Sync + Clone + 'static,
) -> CallError {
    let (address, _log) = serve(move |asked| {
        let answer = greeting(&asked).unwrap_or_else(|| answer(&asked));
        async move { answer }
    })
    .await;
    let (inbound, _ear) = listener();
    let config = UpstreamConfig {
        limits: Limits::with_max_bytes(10_000),
        ..config(target(address))
    };
    let upstream = Upstream::connect(config, inbound).await.unwrap();
    let error = upstream.call(Call::new("x", None)).await.unwrap_err();
    assert_eq!(upstream.counts().in_flight, 0);
    error
}

#[tokio::test]
async fn every_bad_answer_to_a_call_gives_one_clear_error() {
    let text = |error: CallError| error.to_string();
    let no_answer = "`fake.1` ended its response without an answer:";
    assert_eq!(
        text(call_gives(|_| status(500, "oops\n")).await),
        "`fake.1` answered 500: it failed, and said: oops"
    );
    assert_eq!(
        text(call_gives(|_| status(202, "")).await),
        format!("{no_answer} 202 Accepted with content of the type ``")
    );
    assert_eq!(
        text(call_gives(|_| with(status(200, "<html>"), "content-type", "text/html")).await),
        format!("{no_answer} 200 OK with content of the type `text/html`")
    );
    assert_eq!(
        text(call_gives(|_| json(&json!({"jsonrpc": "2.0", "id": 5, "result": {}}))).await),
        format!("{no_answer} the JSON it sent is no answer to the request")
    );
    assert_eq!(
        text(
            call_gives(|_| with(status(200, "{\"json"), "content-type", "application/json")).await
        ),
        format!("{no_answer} not JSON: expected a character of a string at byte 6")
    );
    assert!(matches!(
        call_gives(|asked| result(asked, Value::Null)).await,
        CallError::BadResult { .. }
    ));
    let large = |asked: &Asked| result(asked, json!({"text": "x".repeat(20_000)}));
    assert!(matches!(
        call_gives(large).await,
        CallError::AnswerTooLarge { limit: 10_000, .. }
    ));
    let endless = |_: &Asked| events(&"data: xxxxxxxxxxxxxxxxxxxxxxx\n".repeat(1000));
    assert!(matches!(
        call_gives(endless).await,
        CallError::AnswerTooLarge { limit: 10_000, .. }
    ));
    let redirect = call_gives(|_| with(status(308, ""), "location", "https://elsewhere/")).await;
    assert!(text(redirect).contains("https://elsewhere/"));
}

#[tokio::test]
async fn an_error_with_a_status_of_its_own_is_still_the_servers_error() {
    let (address, _log) = serve(|asked| async move {
        greeting(&asked).unwrap_or_else(|| {
            let mut answer = json(&json!({"jsonrpc": "2.0", "id": asked.body["id"], "error": {"code": -32602, "message": "no"}}));
            *answer.status_mut() = http::StatusCode::BAD_REQUEST;
            with(answer, "x", "y")
        })
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    let reply = upstream.call(Call::new("x", None)).await;
    assert!(reply.unwrap().is_error());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = refused(config(target(address)), async {}).await;
    let HandshakeError::Unreachable { reason, .. } = error else {
        panic!("{error}")
    };
    assert!(
        reason.contains("refused") && reason.contains(&address.to_string()),
        "{reason}"
    );
}

#[tokio::test]
async fn a_server_that_wants_credentials_says_how() {
    let (address, _log) = serve(|_| async {
        with(
            status(401, ""),
            "www-authenticate",
            "Bearer resource_metadata=\"https://x\"",
        )
    })
    .await;
    let error = refused(config(target(address)), async {}).await;
    assert_eq!(
        error.to_string(),
        "`fake.1` answered `initialize` with 401: it wants credentials (Bearer resource_metadata=\"https://x\")"
    );
}

#[tokio::test]
async fn silence_and_cancellation_end_calls_over_http_too() {
    let cancelled = Arc::new(Notify::new());
    let told = Arc::clone(&cancelled);
    let (address, _log) = serve(move |asked| {
        let told = Arc::clone(&told);
        async move {
            if asked.what() == "POST notifications/cancelled" {
                told.notify_one();
            }
            match greeting(&asked) {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    let call = Call {
        timeout: Some(Duration::from_millis(20)),
        ..Call::new("x", None)
    };
    assert!(matches!(
        upstream.call(call).await,
        Err(CallError::TimedOut { .. })
    ));
    cancelled.notified().await;
    let envelope = request(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
    let (outcome, ()) = tokio::join!(upstream.call(forward(&envelope, tag(1, 1))), async {
        tokio::task::yield_now().await;
        upstream.cancel(tag(1, 1).unwrap(), None);
    });
    assert_eq!(outcome.unwrap_err(), CallError::Cancelled);
    cancelled.notified().await;
}

#[tokio::test]
async fn a_request_on_the_stream_of_no_call_is_for_the_only_session_that_calls() {
    let (ears, mut opened) = tokio::sync::mpsc::unbounded_channel();
    let opening = ears.clone();
    let (listening, heard) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (stands, reaches) = (Arc::clone(&listening), Arc::clone(&heard));
    let (address, _log) = serve(move |asked| {
        let (ears, stands, reaches) = (opening.clone(), Arc::clone(&stands), Arc::clone(&reaches));
        async move {
            if asked.what() == "GET" {
                let (answer, tell) = stream();
                ears.send(tell).unwrap();
                stands.notify_one();
                return answer;
            }
            if let Some(answer) = greeting(&asked) {
                return answer;
            }
            if asked.what() == "POST" {
                reaches.notify_one();
                return status(202, "");
            }
            reaches.notified().await;
            json(&json!({"jsonrpc": "2.0", "id": asked.body["id"], "result": {}}))
        }
    })
    .await;
    let (upstream, mut ear) = connect(address).await;
    listening.notified().await;
    let tell = opened.recv().await.unwrap();
    let envelope = request(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
    let call = upstream.call(forward(&envelope, tag(5, 6)));
    let asking = async {
        tokio::task::yield_now().await;
        tell.send(event(
            &json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list", "params": {"n": 1}}),
        ))
        .unwrap();
        ear.next().await
    };
    let (answer, heard) = tokio::join!(call, asking);
    answer.unwrap();
    assert!(matches!(heard, Heard::Request(_, related) if related == tag(5, 6)));
}
