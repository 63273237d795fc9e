//! A legacy server asks in the middle of a modern client's call.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::support::House;
use super::support::modern::Modern;
use super::support::server::{Fake, Offer};

/// A modern client and the legacy server that it calls; what stands between lives as long as the last.
async fn arranged(capabilities: Value) -> (Modern, Fake, (House, TempDir)) {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files"]);
    let files = Fake::silent(Offer::tools(&["read", "other"]));
    house.attach("files", &files).await;
    let client = Modern::new(&house, "/mcp/files", capabilities);
    (client, files, (house, dir))
}

/// The name of the first question in a result.
fn first_question(result: &Value) -> &String {
    let requests = result["inputRequests"].as_object().unwrap();
    requests.keys().next().unwrap()
}

fn able() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {}})
}

fn begin(client: &Modern, id: u64, params: Value) -> JoinHandle<Value> {
    let client = client.clone();
    tokio::spawn(async move { client.request(id, "tools/call", params).await })
}

#[tokio::test]
async fn what_a_server_asks_is_the_result_and_the_retry_answers_it() {
    let (client, files, _house) = arranged(able()).await;
    let first = begin(&client, 1, json!({"name": "read"}));
    let call = files.next("tools/call").await;
    let question =
        json!({"message": "who?", "requestedSchema": {"type": "object"}, "elicitationId": "x"});
    files.ask(json!("q"), "elicitation/create", question);
    let asked = first.await.unwrap();
    assert_eq!(asked["id"], 1);
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required");
    let (key, request) = result["inputRequests"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    assert_eq!(
        *request,
        json!({"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": {"type": "object"}}})
    );
    let answers = json!({key: {"action": "accept", "content": {"n": 1.0}}, "more": {}});
    let retry =
        json!({"name": "read", "inputResponses": answers, "requestState": result["requestState"]});
    let second = begin(&client, 2, retry.clone());
    let answer = files.next("").await;
    assert_eq!(answer["id"], "q");
    assert_eq!(
        answer["result"],
        json!({"action": "accept", "content": {"n": 1.0}})
    );
    files.answer(&call, json!({"content": []}));
    assert_eq!(
        second.await.unwrap(),
        json!({"jsonrpc": "2.0", "id": 2, "result": {"content": [], "resultType": "complete"}})
    );
    assert!(files.rest().await.is_empty(), "it was one call");
    let again = client.request(3, "tools/call", retry).await;
    assert_eq!(again["error"]["code"], -32602, "a state is good once");
}

#[tokio::test]
async fn what_a_retry_leaves_unanswered_is_asked_again() {
    let (client, files, _house) = arranged(able()).await;
    let first = begin(&client, 1, json!({"name": "read"}));
    let call = files.next("tools/call").await;
    files.ask(json!(1), "roots/list", json!({}));
    let asked = first.await.unwrap();
    let state = &asked["result"]["requestState"];
    let empty = json!({"name": "read", "inputResponses": {}, "requestState": state});
    let again = client.request(2, "tools/call", empty).await;
    assert_eq!(
        again["result"]["inputRequests"],
        asked["result"]["inputRequests"]
    );
    let key = first_question(&again["result"]);
    let state = &again["result"]["requestState"];
    let retry =
        json!({"name": "read", "inputResponses": {key: {"roots": []}}, "requestState": state});
    let third = begin(&client, 3, retry);
    assert_eq!(files.next("").await["result"], json!({"roots": []}));
    files.answer(&call, json!({}));
    assert_eq!(third.await.unwrap()["id"], 3);
}

#[tokio::test]
async fn an_answer_that_came_while_nobody_waited_is_there_for_the_retry() {
    let (client, files, _house) = arranged(able()).await;
    let first = begin(&client, 1, json!({"name": "read"}));
    let call = files.next("tools/call").await;
    files.ask(json!(1), "roots/list", json!({}));
    let asked = first.await.unwrap();
    files.answer(&call, json!({"early": true}));
    let state = &asked["result"]["requestState"];
    let retry = json!({"name": "read", "requestState": state});
    // The server may not have been heard yet; then what it asked is asked again, which it has not taken back.
    let mut answer = client.request("later", "tools/call", retry).await;
    while answer["result"]["resultType"] == "input_required" {
        let state = &answer["result"]["requestState"];
        let key = first_question(&answer["result"]);
        let retry =
            json!({"name": "read", "inputResponses": {key: {"roots": []}}, "requestState": state});
        answer = client.request("later", "tools/call", retry).await;
    }
    assert_eq!(answer["result"]["early"], true);
    assert_eq!(answer["id"], "later");
}

#[tokio::test]
async fn a_state_of_another_request_or_of_nobody_is_refused() {
    let (client, files, _house) = arranged(able()).await;
    let first = begin(&client, 1, json!({"name": "read"}));
    files.next("tools/call").await;
    files.ask(json!(1), "roots/list", json!({}));
    let asked = first.await.unwrap();
    let state = asked["result"]["requestState"].as_str().unwrap();
    let elsewhere = json!({"name": "other", "requestState": state});
    let changed = json!({"name": "read", "requestState": format!("{state}A")});
    let former = json!({"name": "read", "requestState": "backstay-77-AAAA"});
    for (params, part) in [
        (elsewhere, "another request"),
        (changed, "not known"),
        (former, "restarted"),
    ] {
        let answer = client.request(2, "tools/call", params).await;
        assert_eq!(answer["error"]["code"], -32602);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_client_that_cannot_do_what_the_server_needs_is_told_what() {
    let (client, files, _house) = arranged(json!({})).await;
    let asked =
        tokio::spawn(async move { client.start(1, "tools/call", json!({"name": "read"})).await });
    let call = files.next("tools/call").await;
    files.ask(json!(1), "sampling/createMessage", json!({}));
    assert!(files.next("").await["error"].is_object());
    files.send(&json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32603, "message": "no model"}}));
    let reply = asked.await.unwrap();
    assert_eq!(reply.status, 400);
    let answer = reply.json().await;
    assert_eq!(answer["error"]["code"], -32021);
    assert_eq!(
        answer["error"]["data"]["requiredCapabilities"],
        json!({"sampling": {}})
    );
}

#[tokio::test]
async fn pages_that_a_server_wants_visited_first_are_asked_for() {
    let (client, files, _house) = arranged(json!({"elicitation": {"url": {}}})).await;
    let first = begin(&client, 1, json!({"name": "read"}));
    let call = files.next("tools/call").await;
    let page =
        json!({"mode": "url", "url": "https://x.example/a", "message": "m", "elicitationId": "e"});
    files.send(&json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32042, "message": "m", "data": {"elicitations": [page]}}}));
    let asked = first.await.unwrap();
    let request = &asked["result"]["inputRequests"]["page-1"];
    assert_eq!(request["params"]["url"], "https://x.example/a");
    assert_eq!(request["params"].get("elicitationId"), None);
    let retry = json!({"name": "read", "inputResponses": {"page-1": {"action": "accept"}}});
    let second = begin(&client, 2, retry);
    let call = files.next("tools/call").await;
    assert_eq!(call["params"].get("inputResponses"), None);
    files.answer(&call, json!({}));
    assert_eq!(second.await.unwrap()["result"]["resultType"], "complete");
}

#[tokio::test]
async fn progress_goes_on_under_the_token_of_the_retry() {
    let (client, files, _house) = arranged(able()).await;
    let params = json!({"name": "read", "_meta": {"progressToken": "one"}});
    let first = begin(&client, 1, params);
    let call = files.next("tools/call").await;
    files.ask(json!(1), "roots/list", json!({}));
    let asked = first.await.unwrap();
    let result = &asked["result"];
    let key = first_question(result);
    let retry = json!({"name": "read", "inputResponses": {key: {"roots": []}},
        "requestState": result["requestState"], "_meta": {"progressToken": "two"}});
    let second = tokio::spawn(async move { client.start(2, "tools/call", retry).await });
    files.next("").await;
    let token = &call["params"]["_meta"]["progressToken"];
    files.notify(
        "notifications/progress",
        json!({"progressToken": token, "progress": 2}),
    );
    let mut stream = second.await.unwrap();
    assert_eq!(
        stream.message().await.unwrap()["params"]["progressToken"],
        "two"
    );
    files.answer(&call, json!({}));
    assert_eq!(stream.message().await.unwrap()["id"], 2);
}
