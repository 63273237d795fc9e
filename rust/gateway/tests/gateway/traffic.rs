//! Whether calls go, where, and how often: limits, places, breakers, ejection, balance, retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use backstay_gateway::{Event, Trouble, TroubleKind};
use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::client::Client;
use super::support::server::{Fake, Offer};
use super::support::{House, SOON};

/// One service of so many instances, and these rules.
fn routed(instances: usize, traffic: Value) -> Value {
    let instances: Vec<_> = (1..=instances)
        .map(|number| json!({"name": format!("a.{number}")}))
        .collect();
    json!({"service": "a", "instances": instances, "traffic": traffic})
}

/// Tools that say of themselves what their names do.
fn tools() -> Offer {
    let tool = |name: &str, annotations: Value| json!({"name": name, "inputSchema": {"type": "object"}, "annotations": annotations});
    Offer {
        tools: vec![
            tool("read", json!({"readOnlyHint": true})),
            tool("set", json!({"idempotentHint": true})),
            tool("add", json!({})),
            tool("odd", json!("not an object")),
        ],
        ..Offer::default()
    }
}

/// A house with one service by these rules, and an instance of it for each server; with the folder that it lives in.
async fn arranged(traffic: Value, fakes: &[&Fake]) -> (House, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.routes(vec![routed(fakes.len(), traffic)]);
    for (fake, number) in fakes.iter().zip(1..) {
        attach(&house, number, fake).await;
    }
    (house, dir)
}

async fn attach(house: &House, number: usize, fake: &Fake) {
    let name = format!("a.{number}");
    house.gateway.attach(&name, fake.pipes(), Bytes::new());
    house
        .wait(|event| matches!(event, Event::ServerReady { instance, .. } if *instance == name))
        .await;
}

/// A server that says which one it is.
fn named(number: usize) -> Fake {
    Fake::answering(tools(), move |_| Some(json!({"content": [], "by": number})))
}

/// A server that counts calls and answers while it is well.
struct Moody {
    fake: Fake,
    well: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

fn moody() -> Moody {
    let (well, calls) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (is_well, counted) = (Arc::clone(&well), Arc::clone(&calls));
    let fake = Fake::answering(tools(), move |request| {
        if request["method"] != "tools/call" {
            return None;
        }
        counted.fetch_add(1, SeqCst);
        is_well.load(SeqCst).then(|| json!({"content": []}))
    });
    Moody { fake, well, calls }
}

async fn by(client: &Client, tool: &str) -> u64 {
    let answer = client.call(1, tool, json!({})).await;
    answer["result"]["by"]
        .as_u64()
        .unwrap_or_else(|| panic!("{answer}"))
}

/// Calls until what comes is what is waited for.
async fn until(client: &Client, tool: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let calls = async {
        loop {
            let answer = client
                .start(1, "tools/call", json!({"name": tool}))
                .await
                .json()
                .await;
            if wanted(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, calls)
        .await
        .expect("it never came to that")
}

fn is_result(answer: &Value) -> bool {
    answer.get("result").is_some()
}

fn state(answer: &Value) -> &str {
    answer["error"]["data"]["state"]
        .as_str()
        .unwrap_or_default()
}

#[tokio::test]
async fn a_limit_lets_exactly_its_burst_through_and_says_when_to_come_back() {
    let limit = |calls, per| json!({"calls": calls, "period_ms": 3_600_000, "burst": calls, "per": per, "shown": format!("{calls}/h")});
    let limits = [limit(2, "tool"), limit(3, "client"), limit(5, "service")];
    let fake = Fake::new(tools());
    let (house, _dir) = arranged(json!({"limits": limits}), &[&fake]).await;
    let (one, two) = (house.client("/mcp/a").await, house.client("/mcp/a").await);
    let mut told = Vec::new();
    for (client, tool) in [
        (&one, "read"),
        (&one, "read"),
        (&one, "read"),
        (&one, "set"),
        (&one, "add"),
        (&two, "set"),
        (&two, "add"),
        (&two, "odd"),
    ] {
        let reply = client.start(1, "tools/call", json!({"name": tool})).await;
        let after = reply.headers.get("retry-after").cloned();
        let status = reply.status;
        let answer = reply.json().await;
        if is_result(&answer) {
            told.push("goes".to_owned());
            continue;
        }
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        let (error, data) = (&answer["error"], &answer["error"]["data"]);
        assert_eq!((&error["code"], &answer["id"]), (&json!(-32005), &json!(1)));
        assert_eq!(data["service"], "a");
        assert!(data["retryAfter"].as_u64().unwrap() > 60);
        assert_eq!(
            after.unwrap().to_str().unwrap(),
            data["retryAfter"].to_string()
        );
        told.push(format!(
            "{} {}",
            data["per"].as_str().unwrap(),
            data["limit"].as_str().unwrap()
        ));
    }
    // Two of a tool, three of a client, five in all; who is refused takes nothing from the others.
    assert_eq!(
        told,
        [
            "goes",
            "goes",
            "tool 2/h",
            "goes",
            "client 3/h",
            "goes",
            "goes",
            "service 5/h"
        ]
    );
    assert!(
        house
            .metrics()
            .contains(r#"backstay_calls_refused_total{service="a",reason="limit"} 3"#)
    );
}

#[tokio::test]
async fn other_rules_apply_at_once_and_what_was_counted_stays_counted() {
    let limit =
        json!({"calls": 1, "period_ms": 3_600_000, "burst": 1, "per": "service", "shown": "1/h"});
    let fake = Fake::new(tools());
    let (house, _dir) = arranged(json!({"limits": [limit]}), &[&fake]).await;
    let client = house.client("/mcp/a").await;
    let goes = async || is_result(&client.call(1, "read", json!({})).await);
    assert!(goes().await);
    house.routes(vec![routed(
        1,
        json!({"limits": [limit], "balance": "round-robin"}),
    )]);
    assert!(!goes().await, "the limit is the one it was");
    house.routes(vec![routed(1, Value::Null)]);
    assert!(goes().await);
}

#[tokio::test]
async fn so_many_calls_go_at_a_time_so_many_wait_and_the_rest_is_refused() {
    let concurrency = json!({"most": 1, "queue": 1, "wait_ms": 60_000});
    let fake = Fake::silent(tools());
    let (house, _dir) = arranged(json!({"concurrency": concurrency}), &[&fake]).await;
    let client = house.client("/mcp/a").await;
    let mut calls: Vec<_> = (1..=3)
        .map(|id| {
            let client = client.clone();
            tokio::spawn(
                async move { client.start(id, "tools/call", json!({"name": "add"})).await },
            )
        })
        .collect();
    // Whichever came last, and only it, is refused.
    let (refused, _, rest) = futures_util::future::select_all(calls.drain(..)).await;
    let refused = refused.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let answer = refused.json().await;
    assert_eq!(
        (state(&answer), &answer["error"]["data"]["reason"]),
        ("overloaded", &json!("full"))
    );
    assert!(
        house
            .metrics()
            .contains(r#"backstay_calls_waiting{service="a"} 1"#)
    );
    for _ in 0..2 {
        let request = fake.next("tools/call").await;
        assert!(fake.rest().await.is_empty(), "one at a time");
        fake.answer(&request, json!({"content": []}));
    }
    for reply in join_all(rest).await {
        assert!(is_result(&reply.unwrap().json().await));
    }
    assert!(
        house
            .metrics()
            .contains(r#"backstay_call_wait_seconds_count{service="a"} 1"#)
    );
}

#[tokio::test]
async fn a_call_that_waits_too_long_for_its_place_is_refused() {
    let concurrency = json!({"most": 1, "queue": 9, "wait_ms": 20});
    let fake = Fake::silent(tools());
    let (house, _dir) = arranged(json!({"concurrency": concurrency}), &[&fake]).await;
    let client = house.client("/mcp/a").await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.call(1, "add", json!({})).await }
    });
    let request = fake.next("tools/call").await;
    let late = client.call(2, "add", json!({})).await;
    assert_eq!(late["error"]["data"]["reason"], "late");
    fake.answer(&request, json!({"content": []}));
    assert!(is_result(&first.await.unwrap()));
}

#[tokio::test]
async fn a_tool_that_does_not_answer_is_left_alone_until_it_does_and_its_neighbour_never_is() {
    let breaker = json!({"failures": 0.5, "least": 3, "window_ms": 60_000, "open_ms": 20, "open_at_most_ms": 20});
    let traffic = json!({"breaker": breaker, "attempt_ms": 20});
    let stalls = Arc::new(AtomicBool::new(true));
    let stalled = Arc::clone(&stalls);
    let fake = Fake::answering(tools(), move |request| {
        let answers = request["params"]["name"] == "set" || !stalled.load(SeqCst);
        answers.then(|| json!({"content": []}))
    });
    let (house, _dir) = arranged(traffic, &[&fake]).await;
    let client = house.client("/mcp/a").await;
    for _ in 0..3 {
        assert_eq!(
            client.call(1, "add", json!({})).await["error"]["code"],
            -32001
        );
    }
    let opened = house
        .wait(|event| matches!(event, Event::BreakerOpened { .. }))
        .await;
    let Event::BreakerOpened { tool, instance, .. } = opened else {
        panic!("{opened:?}")
    };
    assert_eq!((tool.as_deref(), instance.as_str()), (Some("add"), "a.1"));
    let troubles = house.gateway.troubles();
    let [trouble] = troubles.as_slice() else {
        panic!("{troubles:?}")
    };
    assert_eq!(
        (trouble.instance.as_str(), trouble.tool.as_deref()),
        ("a.1", Some("add"))
    );
    assert_ne!(trouble.kind, TroubleKind::Ejected);
    let refused = until(&client, "add", |answer| state(answer) == "failing").await;
    assert_eq!(refused["error"]["data"]["retryAfter"], 1);
    assert!(is_result(&client.call(1, "set", json!({})).await));
    // It tries now and then, and nothing changes; then it works, and one trial says so.
    let trial = until(&client, "add", |answer| answer["error"]["code"] == -32001).await;
    assert!(!is_result(&trial));
    stalls.store(false, SeqCst);
    until(&client, "add", is_result).await;
    house
        .wait(|event| matches!(event, Event::BreakerClosed { .. }))
        .await;
    assert!(is_result(&client.call(1, "add", json!({})).await));
    assert!(house.gateway.troubles().is_empty());
    let metrics = house.metrics();
    assert!(metrics.contains(r#"backstay_breakers{service="a",state="open"} 0"#));
    assert!(metrics.contains(r#"backstay_calls_refused_total{service="a",reason="breaker"}"#));
}

#[tokio::test]
async fn an_error_that_a_server_answers_with_is_an_answer() {
    let breaker = json!({"failures": 0.1, "least": 1, "window_ms": 60_000, "open_ms": 60_000, "open_at_most_ms": 60_000});
    let fake = Fake::silent(tools());
    let (house, _dir) = arranged(json!({"breaker": breaker}), &[&fake]).await;
    let client = house.client("/mcp/a").await;
    for _ in 0..3 {
        let called = tokio::spawn({
            let client = client.clone();
            async move { client.call(1, "add", json!({})).await }
        });
        let request = fake.next("tools/call").await;
        fake.send(&json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32603, "message": "no"}}));
        assert_eq!(called.await.unwrap()["error"]["message"], "no");
    }
}

#[tokio::test]
async fn an_instance_that_fails_again_and_again_rests_while_the_other_works() {
    let traffic = json!({
        "balance": "round-robin", "breaker": null, "attempt_ms": 20,
        "ejection": {"failures": 2, "rest_ms": 2000, "rest_at_most_ms": 2000},
        "retries": {"attempts": 1, "budget": 0.0, "pause_ms": 1, "pause_at_most_ms": 1},
    });
    let (good, bad) = (moody(), moody());
    let (house, _dir) = arranged(traffic, &[&good.fake, &bad.fake]).await;
    bad.well.store(false, SeqCst);
    let client = house.client("/mcp/a").await;
    let failed = async || client.call(1, "add", json!({})).await["error"]["code"] == -32001;
    let mut failures = 0;
    for _ in 0..4 {
        failures += usize::from(failed().await);
    }
    assert_eq!(failures, 2);
    let ejected = house
        .wait(|event| matches!(event, Event::InstanceEjected { .. }))
        .await;
    assert!(matches!(ejected, Event::InstanceEjected { instance, .. } if instance == "a.2"));
    let troubles = house.gateway.troubles();
    let rests = |trouble: &Trouble| {
        trouble.instance == "a.2"
            && trouble.kind == TroubleKind::Ejected
            && trouble.retry_in_ms <= 2000
    };
    assert!(
        troubles.iter().all(rests) && troubles.len() == 1,
        "{troubles:?}"
    );
    assert!(
        house
            .metrics()
            .contains(r#"backstay_ejections_total{service="a"} 1"#)
    );
    // Only the good one is asked while it rests, and then both are again.
    bad.well.store(true, SeqCst);
    let asked = bad.calls.load(SeqCst);
    let back = async {
        while bad.calls.load(SeqCst) == asked {
            assert!(!failed().await);
        }
    };
    tokio::time::timeout(SOON, back)
        .await
        .expect("it never came back");
    house
        .wait(|event| matches!(event, Event::InstanceReturned { .. }))
        .await;
}

#[tokio::test]
async fn the_only_instance_is_never_ejected() {
    let traffic = json!({
        "breaker": null, "attempt_ms": 10, "ejection": {"failures": 1, "rest_ms": 60_000, "rest_at_most_ms": 60_000},
    });
    let only = moody();
    let (house, _dir) = arranged(traffic, &[&only.fake]).await;
    only.well.store(false, SeqCst);
    let client = house.client("/mcp/a").await;
    for _ in 0..3 {
        client.call(1, "add", json!({})).await;
    }
    only.well.store(true, SeqCst);
    assert!(is_result(&client.call(1, "add", json!({})).await));
}

#[tokio::test]
async fn each_instance_gets_its_turn_and_one_without_weight_gets_none() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let mut route = routed(3, json!({"balance": "round-robin"}));
    house.routes(vec![route.clone()]);
    let fakes: Vec<_> = (1..=3).map(named).collect();
    for (fake, number) in fakes.iter().zip(1..) {
        attach(&house, number, fake).await;
    }
    let client = house.client("/mcp/a").await;
    let mut turns = Vec::new();
    for _ in 0..6 {
        turns.push(by(&client, "read").await);
    }
    assert_eq!(turns, [1, 2, 3, 1, 2, 3]);
    route["instances"][1]["weight"] = json!(0);
    house.routes(vec![route]);
    for _ in 0..6 {
        assert_ne!(by(&client, "read").await, 2);
    }
}

#[tokio::test]
async fn a_session_hashes_to_one_instance_and_stays_when_another_goes() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.routes(vec![routed(3, json!({"balance": "hash"}))]);
    let fakes: Vec<_> = (1..=3).map(named).collect();
    for (fake, number) in fakes.iter().zip(1..) {
        attach(&house, number, fake).await;
    }
    let mut homes = Vec::new();
    for _ in 0..24 {
        let client = house.client("/mcp/a").await;
        let home = by(&client, "read").await;
        assert_eq!(by(&client, "set").await, home);
        homes.push((client, home));
    }
    assert!((1..=3).all(|number| homes.iter().any(|(_, home)| *home == number)));
    house.routes(vec![routed(2, json!({"balance": "hash"}))]);
    for (client, home) in &homes {
        let now = by(client, "read").await;
        assert!(*home == 3 || now == *home, "{home} became {now}");
    }
}

#[tokio::test]
async fn a_session_with_affinity_stays_where_it_began() {
    let (one, two) = (named(1), named(2));
    let (house, _dir) = arranged(
        json!({"balance": "round-robin", "affinity": "session"}),
        &[&one, &two],
    )
    .await;
    let (first, second) = (house.client("/mcp/a").await, house.client("/mcp/a").await);
    let homes = [by(&first, "read").await, by(&second, "read").await];
    assert_eq!(homes, [1, 2]);
    for _ in 0..4 {
        assert_eq!([by(&first, "read").await, by(&second, "read").await], homes);
    }
    two.kill();
    house
        .wait(|event| matches!(event, Event::ServerClosed { .. }))
        .await;
    assert_eq!(by(&second, "read").await, 1);
}

#[tokio::test]
async fn a_new_instance_gets_little_at_first() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let warm = Duration::from_secs(1);
    let traffic = json!({"slow_start_ms": 1000});
    house.routes(vec![routed(2, traffic)]);
    let (old, new) = (Fake::silent(tools()), Fake::silent(tools()));
    attach(&house, 1, &old).await;
    let (client, began) = (house.client("/mcp/a").await, Instant::now());
    while began.elapsed() < warm {
        client.tools().await;
    }
    attach(&house, 2, &new).await;
    // What is in flight is what they are compared by, so none of these is answered.
    let calls: Vec<_> = (1..=20)
        .map(|id| {
            let client = client.clone();
            tokio::spawn(async move {
                let call = json!({"name": "add"});
                client.start(id, "tools/call", call).await
            })
        })
        .collect();
    let mut got = [0, 0];
    while got.iter().sum::<usize>() < 20 {
        tokio::select! {
            _ = old.next("tools/call") => got[0] += 1,
            _ = new.next("tools/call") => got[1] += 1,
        }
    }
    assert!(got[0] > 12, "[old, new] got {got:?}");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn what_changes_nothing_is_tried_again_elsewhere_and_what_may_change_something_never() {
    let traffic = json!({
        "balance": "round-robin", "attempt_ms": 30, "breaker": null, "ejection": null,
        "retries": {"attempts": 2, "budget": 1.0, "pause_ms": 1, "pause_at_most_ms": 1},
    });
    let (good, bad) = (moody(), moody());
    let (house, _dir) = arranged(traffic, &[&good.fake, &bad.fake]).await;
    bad.well.store(false, SeqCst);
    let client = house.client("/mcp/a").await;
    for tool in ["read", "set"] {
        for _ in 0..4 {
            assert!(is_result(&client.call(1, tool, json!({})).await), "{tool}");
        }
    }
    assert!(bad.calls.load(SeqCst) > 0);
    for tool in ["add", "odd"] {
        let before = good.calls.load(SeqCst) + bad.calls.load(SeqCst);
        let mut failures = 0;
        for _ in 0..4 {
            failures += usize::from(!is_result(&client.call(1, tool, json!({})).await));
        }
        let sent = good.calls.load(SeqCst) + bad.calls.load(SeqCst) - before;
        assert_eq!((sent, failures), (4, 2), "{tool}");
    }
    assert!(
        house
            .metrics()
            .contains(r#"backstay_call_retries_total{service="a"}"#)
    );
}

#[tokio::test]
async fn without_a_budget_nothing_is_tried_again() {
    let traffic = json!({
        "attempt_ms": 10, "breaker": null,
        "retries": {"attempts": 3, "budget": 0.0, "pause_ms": 1, "pause_at_most_ms": 1},
    });
    let bad = moody();
    let (house, _dir) = arranged(traffic, &[&bad.fake]).await;
    bad.well.store(false, SeqCst);
    let client = house.client("/mcp/a").await;
    // What is saved up at first is spent by the first calls: ten retries in all.
    for _ in 0..12 {
        client.call(1, "read", json!({})).await;
    }
    assert_eq!(bad.calls.load(SeqCst), 22);
}

#[tokio::test]
async fn a_call_that_has_shown_progress_is_not_tried_again() {
    let traffic = json!({"attempt_ms": 50, "breaker": null});
    let fake = Fake::silent(tools());
    let (house, _dir) = arranged(traffic, &[&fake]).await;
    let client = house.client("/mcp/a").await;
    let called = tokio::spawn({
        let client = client.clone();
        async move {
            let params = json!({"name": "read", "_meta": {"progressToken": "p"}});
            let mut reply = client.start(1, "tools/call", params).await;
            let progress = reply.message().await.unwrap();
            assert_eq!(progress["method"], "notifications/progress");
            reply.message().await.unwrap()
        }
    });
    let request = fake.next("tools/call").await;
    let token = &request["params"]["_meta"]["progressToken"];
    fake.notify(
        "notifications/progress",
        json!({"progressToken": token, "progress": 1}),
    );
    assert_eq!(called.await.unwrap()["error"]["code"], -32001);
    let methods: Vec<_> = fake.rest().await;
    assert!(
        methods
            .iter()
            .all(|message| message["method"] != "tools/call")
    );
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over_whatever_it_does() {
    let traffic = json!({"overall_ms": 100, "breaker": null, "retries": {"attempts": 9, "budget": 1.0, "pause_ms": 1, "pause_at_most_ms": 1}});
    let fake = Fake::silent(tools());
    let (house, _dir) = arranged(traffic, &[&fake]).await;
    let client = house.client("/mcp/a").await;
    let called = tokio::spawn({
        let client = client.clone();
        async move { client.call(1, "read", json!({})).await }
    });
    fake.next("tools/call").await;
    fake.next("notifications/cancelled").await;
    assert_eq!(called.await.unwrap()["error"]["code"], -32001);
}

#[tokio::test]
async fn a_new_process_may_be_tried_at_once_whatever_the_old_one_did() {
    let breaker = json!({"failures": 0.5, "least": 1, "window_ms": 60_000, "open_ms": 3_600_000, "open_at_most_ms": 3_600_000});
    let bad = moody();
    let (house, _dir) = arranged(json!({"breaker": breaker, "attempt_ms": 10}), &[&bad.fake]).await;
    bad.well.store(false, SeqCst);
    let client = house.client("/mcp/a").await;
    client.call(1, "add", json!({})).await;
    assert_eq!(state(&client.call(1, "add", json!({})).await), "failing");
    bad.fake.kill();
    let good = named(1);
    attach(&house, 1, &good).await;
    assert_eq!(by(&client, "add").await, 1);
}
