//! An upstream over streamable HTTP, against servers of 2026-07-28 that take nothing else, and against what is there
//! instead of one.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backstay_mcp::list::{self, List, ListLimits};
use backstay_mcp::{
    Call, CallError, CloseReason, Endpoint, Era, HandshakeError, ModernCall, Outgoing, RawJson,
    Rewrite, Target, Upstream, UpstreamConfig,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use support::http::{Answer, Asked, event, json, opened, result, serve, status, stream};
use support::{Ear, Heard, config, discovered, forward, listener, modern_fault, request, tag};
use tokio::sync::{Notify, mpsc};

fn target(address: SocketAddr) -> Target {
    Target::Http(Endpoint {
        url: format!("http://{address}/mcp"),
        headers: Vec::new(),
    })
}

fn unknown(address: SocketAddr) -> UpstreamConfig {
    UpstreamConfig {
        era: None,
        ..config(target(address))
    }
}

async fn connect(address: SocketAddr) -> (Arc<Upstream>, Ear) {
    let (inbound, ear) = listener();
    let upstream = Upstream::connect(unknown(address), inbound).await;
    (upstream.unwrap(), ear)
}

/// An error with the status that goes with it.
fn refusal(asked: &Asked, http: u16, code: i64, message: &str) -> Answer {
    let error = json!({"jsonrpc": "2.0", "id": asked.body["id"], "error": {"code": code, "message": message}});
    let mut answer = json(&error);
    *answer.status_mut() = http.try_into().unwrap();
    answer
}

/// What a server that is modern and strict refuses, and its answers to what greets it; none for the rest.
fn strict(asked: &Asked) -> Option<Answer> {
    let method = asked.body["method"].as_str().unwrap_or_default();
    if asked.parts.method != "POST" {
        return Some(status(405, ""));
    }
    if !asked.header("mcp-session-id").is_empty() || !asked.header("last-event-id").is_empty() {
        return Some(refusal(asked, 400, -32600, "there are no sessions"));
    }
    let named = match method {
        "tools/call" | "prompts/get" => asked.body["params"]["name"].as_str(),
        "resources/read" => asked.body["params"]["uri"].as_str(),
        _ => None,
    };
    let headers = asked.header("mcp-protocol-version") == "2026-07-28"
        && asked.header("mcp-method") == method
        && asked.header("mcp-name") == named.unwrap_or_default();
    if !headers {
        return Some(refusal(asked, 400, -32020, "header mismatch"));
    }
    if let Some(mut fault) = modern_fault(&asked.body) {
        fault["id"] = asked.body["id"].clone();
        let mut answer = json(&fault);
        *answer.status_mut() = 400.try_into().unwrap();
        return Some(answer);
    }
    (method == "server/discover").then(|| result(asked, discovered()))
}

/// The answer to `subscriptions/listen`: acknowledged, and open for more.
fn listening(asked: &Asked) -> (Answer, mpsc::UnboundedSender<String>) {
    let (answer, tell) = stream();
    let mut params = json!({"notifications": asked.body["params"]["notifications"]});
    params["_meta"]["io.modelcontextprotocol/subscriptionId"] = asked.body["id"].clone();
    let acknowledged = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params});
    tell.send(event(&acknowledged)).unwrap();
    (answer, tell)
}

/// Streams that stay open as long as the test.
type Open = Arc<Mutex<Vec<(Value, mpsc::UnboundedSender<String>)>>>;

/// A strict server that keeps its streams in `open`.
async fn modern(
    open: Open,
    rest: impl Fn(Asked) -> Answer + Send + Sync + Clone + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    serve(move |asked| {
        let (open, rest) = (Arc::clone(&open), rest.clone());
        async move {
            if let Some(answer) = strict(&asked) {
                return answer;
            }
            if asked.body["method"] == "subscriptions/listen" {
                let (answer, tell) = listening(&asked);
                open.lock().push((asked.body["id"].clone(), tell));
                return answer;
            }
            rest(asked)
        }
    })
    .await
}

#[tokio::test]
async fn a_modern_server_is_asked_for_nothing_that_it_does_not_know() {
    let open = Open::default();
    let (address, log) = modern(Arc::clone(&open), |asked| {
        result(&asked, json!({"resultType": "complete", "tools": []}))
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    assert_eq!(upstream.info().era(), Era::Modern);
    assert_eq!(upstream.info().session, None);
    upstream
        .call(Call::new("tools/list", None))
        .await
        .unwrap()
        .outcome()
        .unwrap();
    upstream.close().await;
    assert_eq!(
        *log.lock(),
        [
            "POST server/discover",
            "POST subscriptions/listen",
            "POST tools/list"
        ]
    );
}

#[tokio::test]
async fn headers_say_what_the_message_says_after_names_are_replaced() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let (address, _) = modern(Open::default(), move |asked| {
        if asked.body["method"] == "tools/list" {
            let schema = json!({"type": "object", "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "Depth"}}},
                "on": {"type": "boolean", "x-mcp-header": "On"}}});
            let bad = json!({"type": "object", "properties": {"x": {"type": "number", "x-mcp-header": "X"}}});
            let tools = json!([{"name": "run", "inputSchema": schema}, {"name": "bad", "inputSchema": bad}]);
            return result(&asked, json!({"tools": tools}));
        }
        let headers: Vec<_> = ["region", "depth", "on", "own"]
            .iter()
            .map(|name| asked.header(&format!("mcp-param-{name}")).to_owned())
            .collect();
        log.lock().push(headers);
        result(&asked, json!({"content": []}))
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    let tools = list::all(&upstream, List::Tools, ListLimits::default())
        .await
        .unwrap();
    assert_eq!(tools.len(), 1, "a tool with a wrong annotation is shown");
    let envelope = request(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x__run","arguments":{"region":" größe","deep":{"n":4.2e1},"on":null},
            "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#,
    );
    let headers = vec![
        ("mcp-param-own".parse().unwrap(), "passes".parse().unwrap()),
        (
            "mcp-param-region".parse().unwrap(),
            "ignored".parse().unwrap(),
        ),
        ("x-other".parse().unwrap(), "not".parse().unwrap()),
    ];
    let call = Call {
        message: Outgoing::Forward {
            envelope: &envelope,
            rewrite: &Rewrite {
                name: Some("run"),
                ..Rewrite::default()
            },
        },
        modern: Some(Box::new(ModernCall {
            meta: None,
            headers,
        })),
        ..forward(&envelope, tag(1, 1))
    };
    upstream.call(call).await.unwrap().outcome().unwrap();
    assert_eq!(
        *seen.lock(),
        [["=?base64?IGdyw7bDn2U=?=", "42", "", "passes"]]
    );
}

#[tokio::test]
async fn names_and_uris_of_our_own_requests_are_mirrored_too() {
    let (address, _) = modern(Open::default(), |asked| {
        result(
            &asked,
            json!({"contents": [], "content": [], "messages": []}),
        )
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    for (method, params) in [
        ("tools/call", json!({"name": "a"})),
        ("prompts/get", json!({"name": "b"})),
        ("resources/read", json!({"uri": "file:///c"})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "b"}}),
        ),
    ] {
        let call = Call::new(method, Some(RawJson::write(&params).unwrap()));
        let answer = upstream.call(call).await.unwrap().outcome();
        assert!(answer.is_ok(), "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn a_tool_whose_annotations_changed_is_called_again_with_the_new_headers() {
    let renamed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&renamed);
    let (address, log) = modern(Open::default(), move |asked| {
        let header = if now.load(Ordering::SeqCst) {
            "New"
        } else {
            "Old"
        };
        if asked.body["method"] == "tools/list" {
            let schema = json!({"properties": {"a": {"type": "string", "x-mcp-header": header}}});
            return result(
                &asked,
                json!({"tools": [{"name": "t", "inputSchema": schema}]}),
            );
        }
        if asked.header(&format!("mcp-param-{header}")) == "v" {
            result(&asked, json!({"content": []}))
        } else {
            refusal(&asked, 400, -32020, "where is my header?")
        }
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    list::all(&upstream, List::Tools, ListLimits::default())
        .await
        .unwrap();
    renamed.store(true, Ordering::SeqCst);
    let params = RawJson::parse(r#"{"name":"t","arguments":{"a":"v"}}"#).unwrap();
    let reply = upstream.call(Call::new("tools/call", Some(params))).await;
    assert!(!reply.unwrap().is_error());
    let log = log.lock();
    assert_eq!(
        log[log.len() - 3..],
        ["POST tools/call", "POST tools/list", "POST tools/call"]
    );
}

#[tokio::test]
async fn changes_are_told_on_the_stream_that_was_asked_for() {
    let open = Open::default();
    let (address, _) = modern(Arc::clone(&open), |asked| result(&asked, json!({}))).await;
    let (upstream, mut ear) = connect(address).await;
    let uri = RawJson::parse(r#"{"uri":"a:1"}"#).unwrap();
    let reply = upstream
        .call(Call::new("resources/subscribe", Some(uri)))
        .await;
    assert_eq!(reply.unwrap().outcome(), Ok(RawJson::EMPTY_OBJECT));
    let (id, tell) = open.lock().last().unwrap().clone();
    let mut params = json!({"uri": "a:1"});
    params["_meta"]["io.modelcontextprotocol/subscriptionId"] = id;
    tell.send(event(
        &json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params}),
    ))
    .unwrap();
    let Heard::Notification(message, None) = ear.next().await else {
        panic!("something else");
    };
    assert_eq!(message.uri().as_deref(), Some("a:1"));
    assert!(!String::from_utf8_lossy(message.bytes()).contains("subscriptionId"));
}

#[tokio::test]
async fn a_call_called_off_closes_its_response_and_says_nothing() {
    let closed = Arc::new(Notify::new());
    let begun = Arc::new(Notify::new());
    let (tell_closed, tell_begun) = (Arc::clone(&closed), Arc::clone(&begun));
    let (address, log) = modern(Open::default(), move |_| {
        let (answer, tell) = stream();
        tell.send(": here\n\n".to_owned()).unwrap();
        tell_begun.notify_one();
        let closed = Arc::clone(&tell_closed);
        tokio::spawn(async move {
            tell.closed().await;
            closed.notify_one();
        });
        answer
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    let envelope = request(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#,
    );
    let (reply, ()) = tokio::join!(upstream.call(forward(&envelope, tag(1, 1))), async {
        begun.notified().await;
        upstream.cancel(tag(1, 1).unwrap(), Some("enough"));
    });
    assert_eq!(reply.err(), Some(CallError::Cancelled));
    tokio::time::timeout(support::SOON, closed.notified())
        .await
        .unwrap();
    assert!(!log.lock().iter().any(|what| what.contains("cancelled")));
}

#[tokio::test]
async fn a_stream_that_breaks_loses_its_call_and_is_not_taken_up_again() {
    let (address, log) = modern(Open::default(), |_| {
        support::http::events("id: 7\ndata:\n\n")
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    let params = RawJson::parse(r#"{"name":"a"}"#).unwrap();
    let reply = upstream.call(Call::new("tools/call", Some(params))).await;
    assert!(matches!(reply, Err(CallError::NoAnswer { .. })));
    assert!(!log.lock().iter().any(|what| what.starts_with("GET")));
}

#[tokio::test]
async fn a_refusal_without_an_id_is_the_answer_to_what_it_came_in_response_to() {
    let (address, _) = modern(Open::default(), |asked| {
        let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32021, "message": "cannot", "data": {"requiredCapabilities": {"sampling": {}}}}});
        let mut answer = json(&error);
        *answer.status_mut() = 400.try_into().unwrap();
        drop(asked);
        answer
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    let params = RawJson::parse(r#"{"name":"a"}"#).unwrap();
    let reply = upstream
        .call(Call::new("tools/call", Some(params)))
        .await
        .unwrap();
    let error = reply.outcome().unwrap_err();
    assert!(error.as_str().contains("requiredCapabilities"), "{error:?}");
}

/// A legacy server; what it says to a request outside of a session is `strange`.
async fn legacy(strange: fn(&Asked) -> Answer) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    serve(move |asked| async move {
        match asked.what().as_str() {
            "POST initialize" => opened(&asked, "s1", "2025-11-25"),
            "POST notifications/initialized" => status(202, ""),
            "GET" => status(405, ""),
            _ if asked.header("mcp-session-id").is_empty() => strange(&asked),
            _ => result(&asked, json!({"tools": []})),
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_does_not_know_discovery_is_initialized_whatever_it_says_to_it() {
    let answers: [fn(&Asked) -> Answer; 6] = [
        |_| status(400, "Bad Request: no valid session ID provided"),
        |asked| {
            refusal(
                asked,
                400,
                -32000,
                "Bad Request: Unsupported protocol version",
            )
        },
        |asked| refusal(asked, 200, -32601, "Method not found"),
        |asked| refusal(asked, 404, -32601, "Method not found"),
        |asked| result(asked, json!({"tools": []})),
        |_| status(500, "oops"),
    ];
    for strange in answers {
        let (address, log) = legacy(strange).await;
        let (upstream, _ear) = connect(address).await;
        assert_eq!(upstream.info().session.as_deref(), Some("s1"));
        upstream.call(Call::new("tools/list", None)).await.unwrap();
        let log = log.lock();
        assert_eq!(log[..2], ["POST server/discover", "POST initialize"]);
    }
}

#[tokio::test]
async fn a_server_remembered_as_legacy_is_initialized_at_once() {
    let (address, log) = legacy(|_| status(400, "")).await;
    let config = UpstreamConfig {
        era: Some(Era::Legacy),
        ..unknown(address)
    };
    Upstream::connect(config, listener().0).await.unwrap();
    assert_eq!(log.lock()[0], "POST initialize");
}

#[tokio::test]
async fn a_server_remembered_wrongly_as_legacy_is_discovered() {
    let (address, _) = modern(Open::default(), |asked| result(&asked, json!({}))).await;
    let config = UpstreamConfig {
        era: Some(Era::Legacy),
        ..unknown(address)
    };
    let upstream = Upstream::connect(config, listener().0).await.unwrap();
    assert_eq!(upstream.info().era(), Era::Modern);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_discovery_is_initialized_in_time() {
    let (address, _) = serve(|asked| async move {
        match asked.what().as_str() {
            "POST initialize" => opened(&asked, "s1", "2025-11-25"),
            "POST server/discover" => std::future::pending().await,
            "GET" => status(405, ""),
            _ => status(202, ""),
        }
    })
    .await;
    let (upstream, _ear) = connect(address).await;
    assert_eq!(upstream.info().era(), Era::Legacy);
}

#[tokio::test]
async fn a_modern_server_that_refuses_us_is_not_taken_for_a_legacy_one() {
    let (address, log) =
        serve(|asked| async move { refusal(&asked, 400, -32021, "it needs sampling") }).await;
    let error = Upstream::connect(unknown(address), listener().0)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(
            &error,
            HandshakeError::Refused {
                asked: "server/discover",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(*log.lock(), ["POST server/discover"]);
}

#[tokio::test]
async fn a_server_replaced_by_one_of_the_other_era_ends_the_connection() {
    for begins_modern in [true, false] {
        let replaced = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&replaced);
        let (address, _) = serve(move |asked| {
            let is_modern = begins_modern != now.load(Ordering::SeqCst);
            async move {
                if is_modern {
                    return strict(&asked).unwrap_or_else(|| {
                        if asked.body["method"] == "subscriptions/listen" {
                            return refusal(&asked, 404, -32601, "no such method");
                        }
                        result(&asked, json!({"tools": []}))
                    });
                }
                match asked.what().as_str() {
                    "POST initialize" => result(&asked, support::hello("2025-11-25")),
                    "POST notifications/initialized" => status(202, ""),
                    "GET" => status(405, ""),
                    _ if asked.header("mcp-protocol-version") == "2026-07-28" => refusal(
                        &asked,
                        400,
                        -32000,
                        "Bad Request: Unsupported protocol version",
                    ),
                    _ => result(&asked, json!({"tools": []})),
                }
            }
        })
        .await;
        let (upstream, mut ear) = connect(address).await;
        assert_eq!(upstream.is_modern(), begins_modern);
        replaced.store(true, Ordering::SeqCst);
        let reply = upstream.call(Call::new("tools/list", None)).await;
        assert!(reply.unwrap().is_error());
        assert_eq!(ear.closed().await, CloseReason::OtherEra);
        let (upstream, _ear) = connect(address).await;
        assert_ne!(upstream.is_modern(), begins_modern);
    }
}

#[tokio::test]
async fn a_successor_needs_no_greeting() {
    let (address, log) = modern(Open::default(), |asked| result(&asked, json!({}))).await;
    let (upstream, _ear) = connect(address).await;
    let config = UpstreamConfig {
        resume: upstream.info().note(),
        call_timeout: Duration::from_secs(5),
        ..unknown(address)
    };
    drop(upstream);
    let upstream = Upstream::connect(config, listener().0).await.unwrap();
    assert!(upstream.is_modern() && upstream.info().resumed);
    upstream.call(Call::new("x/y", None)).await.unwrap();
    let log = log.lock();
    assert_eq!(
        log.iter().filter(|what| what.contains("discover")).count(),
        1
    );
}
