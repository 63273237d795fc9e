//! Answers that are kept: found again, never for somebody else, and never after they are stale.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use backstay_gateway::Event;
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::support::client::Client;
use super::support::server::{Fake, Offer};
use super::support::{House, SOON};

/// A server of two tools that read, and one that writes, of which answers are kept.
fn kept(cache: Value) -> Value {
    let mut whole = json!({
        "revision": "1", "ttl_ms": 3_600_000, "negative_ms": 0, "tools": null, "resources": ["*"],
        "shared": false, "invalidates": {},
    });
    for (key, value) in cache.as_object().unwrap() {
        whole[key] = value.clone();
    }
    json!({"service": "a", "instances": [{"name": "a.1"}], "cache": whole})
}

fn offer() -> Offer {
    let tool = |name: &str, reads: bool| json!({"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": reads}});
    Offer {
        tools: vec![tool("get", true), tool("list", true), tool("put", false)],
        resources: vec![json!({"uri": "memo://1", "name": "one"})],
        ..Offer::default()
    }
}

/// A server that counts what it is asked, and answers with the count and what `more` adds.
fn counting(more: impl Fn(&Value) -> Value + Send + Sync + 'static) -> (Fake, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let fake = Fake::answering(offer(), move |request| {
        if !matches!(request["method"].as_str()?, "tools/call" | "resources/read") {
            return None;
        }
        let mut answer = json!({"content": [], "count": counted.fetch_add(1, SeqCst) + 1});
        for (key, value) in more(request).as_object()? {
            answer[key] = value.clone();
        }
        Some(answer)
    });
    (fake, asked)
}

async fn house(dir: &tempfile::TempDir, cache: Value, fake: &Fake) -> House {
    let house = House::new(dir.path());
    house.routes(vec![kept(cache)]);
    house.attach("a", fake).await;
    house
}

async fn count(client: &Client, tool: &str, arguments: Value) -> u64 {
    let answer = client.call(7, tool, arguments).await;
    assert_eq!(answer["id"], 7);
    answer["result"]["count"]
        .as_u64()
        .unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn the_same_question_is_asked_once_however_it_is_spelled_and_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (fake, asked) = counting(|_| json!({}));
    let house = house(&dir, json!({}), &fake).await;
    let (one, fleet) = (house.client("/mcp/a").await, house.client("/mcp").await);
    assert_eq!(count(&one, "get", json!({"a": 1, "b": [2]})).await, 1);
    assert_eq!(count(&fleet, "a__get", json!({"b": [2], "a": 1})).await, 1);
    let spelled = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"arguments":{ "b":[ 2 ],"\u0061":1},"name":"get"}}"#;
    let answer = one.post_text(spelled).await.json().await;
    assert_eq!(answer["result"]["count"], 1);
    assert_eq!(count(&one, "get", json!({"a": 2, "b": [2]})).await, 2);
    assert_eq!(count(&one, "list", json!({"a": 1, "b": [2]})).await, 3);
    assert_eq!(asked.load(SeqCst), 3);
    let metrics = house.metrics();
    assert!(metrics.contains(r#"backstay_cache_lookups_total{service="a",result="hit"} 2"#));
    assert!(metrics.contains(r#"backstay_cache_lookups_total{service="a",result="miss"} 3"#));
    assert!(metrics.contains("backstay_cache_entries 3"));
}

#[tokio::test]
async fn what_writes_is_never_kept_and_makes_all_stale_or_what_is_declared() {
    let dir = tempfile::tempdir().unwrap();
    let (fake, _asked) = counting(|_| json!({}));
    let house = house(&dir, json!({}), &fake).await;
    let client = house.client("/mcp/a").await;
    assert_eq!(count(&client, "get", json!({})).await, 1);
    assert_eq!(count(&client, "put", json!({})).await, 2);
    assert_eq!(count(&client, "put", json!({})).await, 3);
    assert_eq!(count(&client, "get", json!({})).await, 4);
    assert_eq!(count(&client, "list", json!({})).await, 5);
    house.routes(vec![kept(
        json!({"invalidates": {"put": ["li*", "memo://1"]}}),
    )]);
    assert_eq!(count(&client, "put", json!({})).await, 6);
    assert_eq!(count(&client, "get", json!({})).await, 4, "not declared");
    assert_eq!(count(&client, "list", json!({})).await, 7);
}

#[tokio::test]
async fn what_the_server_says_has_changed_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let (fake, asked) = counting(|_| json!({"contents": []}));
    let house = house(&dir, json!({}), &fake).await;
    let client = house.client("/mcp/a").await;
    let read = async |uri: &str| {
        let answer = client
            .request(1, "resources/read", json!({"uri": uri}))
            .await;
        answer["result"]["count"].as_u64().unwrap()
    };
    assert_eq!([read("memo://1").await, read("memo://1").await], [1, 1]);
    assert_eq!(read("memo://2").await, 2);
    assert_eq!(count(&client, "get", json!({})).await, 3);
    fake.notify(
        "notifications/resources/updated",
        json!({"uri": "memo://1"}),
    );
    let again = async { while read("memo://1").await == 1 {} };
    tokio::time::timeout(SOON, again)
        .await
        .expect("it stays as it was");
    assert_eq!(
        [
            read("memo://2").await,
            count(&client, "get", json!({})).await
        ],
        [2, 3]
    );
    let before = asked.load(SeqCst);
    fake.notify("notifications/tools/list_changed", json!({}));
    let again = async { while count(&client, "get", json!({})).await == 3 {} };
    tokio::time::timeout(SOON, again)
        .await
        .expect("it stays as it was");
    assert!(asked.load(SeqCst) > before);
}

#[tokio::test]
async fn however_many_ask_at_once_one_call_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::silent(offer());
    let house = house(&dir, json!({}), &fake).await;
    let calls = (0..20).map(|_| {
        let house = &house;
        async move { house.client("/mcp/a").await.call(1, "get", json!({})).await }
    });
    let served = async {
        let request = fake.next("tools/call").await;
        let joined = r#"backstay_cache_lookups_total{service="a",result="joined"} 19"#;
        while !house.metrics().contains(joined) {
            tokio::task::yield_now().await;
        }
        assert!(
            fake.rest()
                .await
                .iter()
                .all(|message| message["method"] != "tools/call")
        );
        fake.answer(&request, json!({"content": [], "from": "one"}));
    };
    let (answers, ()) = tokio::join!(join_all(calls), served);
    assert!(
        answers
            .iter()
            .all(|answer| answer["result"]["from"] == "one")
    );
}

#[tokio::test]
async fn who_waits_for_an_answer_that_cannot_be_shared_asks_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::silent(offer());
    let house = house(&dir, json!({}), &fake).await;
    let client = house.client("/mcp/a").await;
    let call = |id: u64| {
        let client = client.clone();
        tokio::spawn(async move { client.call(id, "get", json!({})).await })
    };
    let first = call(1);
    let request = fake.next("tools/call").await;
    let second = call(2);
    while !house.metrics().contains(r#"result="joined"} 1"#) {
        tokio::task::yield_now().await;
    }
    fake.send(
        &json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -1, "message": "no"}}),
    );
    assert_eq!(first.await.unwrap()["error"]["message"], "no");
    let request = fake.next("tools/call").await;
    fake.answer(&request, json!({"content": [], "from": "two"}));
    assert_eq!(second.await.unwrap()["result"]["from"], "two");
}

#[tokio::test]
async fn an_answer_says_itself_how_long_it_is_fresh_and_for_whom() {
    let dir = tempfile::tempdir().unwrap();
    let (fake, _asked) = counting(|request| request["params"]["arguments"].clone());
    let house = house(&dir, json!({"ttl_ms": 0}), &fake).await;
    let client = house.client("/mcp/a").await;
    let twice = async |arguments: Value| {
        let first = count(&client, "get", arguments.clone()).await;
        count(&client, "get", arguments).await == first
    };
    assert!(!twice(json!({})).await);
    assert!(twice(json!({"ttlMs": 3_600_000})).await);
    assert!(!twice(json!({"ttlMs": 0})).await);
    assert!(!twice(json!({"ttlMs": -5})).await);
    assert!(!twice(json!({"ttlMs": 3_600_000, "resultType": "input_required"})).await);
    assert!(!twice(json!({"ttlMs": 3_600_000, "isError": true})).await);
}

#[tokio::test]
async fn a_session_that_has_a_server_to_itself_has_its_answers_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let mut route = kept(json!({}));
    route["session"] = json!("isolated");
    route["instances"] = json!([{"name": "a.1"}, {"name": "a.2"}]);
    house.routes(vec![route]);
    let public = |request: &Value| match request["params"]["name"].as_str() {
        Some("list") => json!({"cacheScope": "public"}),
        _ => json!({}),
    };
    let ((one, first), (two, second)) = (counting(public), counting(public));
    for (number, fake) in [(1, &one), (2, &two)] {
        let name = format!("a.{number}");
        house.gateway.attach(&name, fake.pipes(), Bytes::new());
        house
            .wait(|event| matches!(event, Event::ServerReady { instance, .. } if *instance == name))
            .await;
    }
    let (me, you) = (house.client("/mcp/a").await, house.client("/mcp/a").await);
    for client in [&me, &you, &me, &you] {
        count(client, "get", json!({})).await;
    }
    assert_eq!([first.load(SeqCst), second.load(SeqCst)], [1, 1]);
    for client in [&me, &you] {
        count(client, "list", json!({})).await;
    }
    assert_eq!(first.load(SeqCst) + second.load(SeqCst), 3, "one for both");
}

#[tokio::test]
async fn refusals_are_kept_for_their_own_time_and_tools_by_the_operators_word() {
    let dir = tempfile::tempdir().unwrap();
    let (fake, asked) = counting(|_| json!({"isError": true}));
    let house = house(
        &dir,
        json!({"negative_ms": 3_600_000, "tools": ["p*"]}),
        &fake,
    )
    .await;
    let client = house.client("/mcp/a").await;
    assert_eq!(
        [
            count(&client, "put", json!({})).await,
            count(&client, "put", json!({})).await
        ],
        [1, 1]
    );
    assert_eq!(
        [
            count(&client, "get", json!({})).await,
            count(&client, "get", json!({})).await
        ],
        [2, 3]
    );
    assert_eq!(asked.load(SeqCst), 3);
}

#[tokio::test]
async fn another_process_or_revision_is_asked_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (fake, _asked) = counting(|_| json!({"from": "one"}));
    let house = house(&dir, json!({}), &fake).await;
    let client = house.client("/mcp/a").await;
    assert_eq!(
        [
            count(&client, "get", json!({})).await,
            count(&client, "get", json!({})).await
        ],
        [1, 1]
    );
    house.routes(vec![kept(json!({"revision": "2"}))]);
    assert_eq!(count(&client, "get", json!({})).await, 2);
    fake.kill();
    let (other, _asked) = counting(|_| json!({"from": "two"}));
    house.attach("a", &other).await;
    let answer = client.call(1, "get", json!({})).await;
    assert_eq!(answer["result"]["from"], "two");
}

#[tokio::test]
async fn calls_of_a_list_are_made_before_anybody_asks() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("calls.jsonl");
    let mut file = std::fs::File::create(&list).unwrap();
    writeln!(file, r#"{{"tool": "get", "arguments": {{"a": 1}}}}"#).unwrap();
    writeln!(file, "no call at all").unwrap();
    writeln!(file, r#"{{"resource": "memo://1"}}"#).unwrap();
    let (fake, asked) = counting(|_| json!({"contents": []}));
    let house = house(&dir, json!({"warm": list}), &fake).await;
    while !house.metrics().contains("backstay_cache_entries 2") {
        tokio::task::yield_now().await;
    }
    let client = house.client("/mcp/a").await;
    count(&client, "get", json!({"a": 1})).await;
    client
        .request(1, "resources/read", json!({"uri": "memo://1"}))
        .await;
    assert_eq!(asked.load(SeqCst), 2);
}

#[tokio::test]
async fn limits_come_before_answers_that_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let mut route = kept(json!({}));
    let limit =
        json!({"calls": 2, "period_ms": 3_600_000, "burst": 2, "per": "client", "shown": "2/h"});
    route["traffic"] = json!({"limits": [limit]});
    house.routes(vec![route]);
    let (fake, asked) = counting(|_| json!({}));
    house.attach("a", &fake).await;
    let client = house.client("/mcp/a").await;
    assert_eq!(
        [
            count(&client, "get", json!({})).await,
            count(&client, "get", json!({})).await
        ],
        [1, 1]
    );
    assert_eq!(
        client.call(1, "get", json!({})).await["error"]["code"],
        -32005
    );
    assert_eq!(asked.load(SeqCst), 1);
}
