//! What servers say on their own: progress, logs, changes, questions. Each reaches the client it concerns.

use serde_json::{Value, json};

use super::support::House;
use super::support::server::{Fake, Offer};

async fn house_with(services: &[&str]) -> (tempfile::TempDir, House, Vec<Fake>) {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(services);
    let mut fakes = Vec::new();
    for service in services {
        let fake = Fake::silent(Offer::tools(&["work"]));
        house.attach(service, &fake).await;
        fakes.push(fake);
    }
    (dir, house, fakes)
}

#[tokio::test]
async fn two_clients_with_the_same_ids_get_their_own_answers_and_progress() {
    let (_dir, house, fakes) = house_with(&["a"]).await;
    let server = &fakes[0];
    let params = |who: &str| json!({"name": "a__work", "arguments": {"who": who}, "_meta": {"progressToken": "t"}});
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    let asked_one = tokio::spawn(async move { one.start(7, "tools/call", params("one")).await });
    let first = server.next("tools/call").await;
    let asked_two = tokio::spawn(async move { two.start(7, "tools/call", params("two")).await });
    let second = server.next("tools/call").await;
    let token = |request: &Value| request["params"]["_meta"]["progressToken"].clone();
    assert_ne!(first["id"], second["id"]);
    assert_ne!(token(&first), token(&second));
    // Answered in the other order.
    for (request, progress) in [(&second, 2), (&first, 1)] {
        server.notify(
            "notifications/progress",
            json!({"progressToken": token(request), "progress": progress}),
        );
        server.answer(
            request,
            json!({"who": request["params"]["arguments"]["who"]}),
        );
    }
    for (asked, who, progress) in [(asked_one, "one", 1), (asked_two, "two", 2)] {
        let mut stream = asked.await.unwrap();
        let note = stream.message().await.unwrap();
        assert_eq!(note["method"], "notifications/progress");
        assert_eq!(
            note["params"],
            json!({"progressToken": "t", "progress": progress})
        );
        let answer = stream.message().await.unwrap();
        assert_eq!(
            (&answer["id"], &answer["result"]["who"]),
            (&json!(7), &json!(who))
        );
        assert!(
            stream.message().await.is_none(),
            "the stream ends with the answer"
        );
    }
}

#[tokio::test]
async fn a_cancelled_call_ends_at_the_server_too_and_gets_no_answer() {
    let (_dir, house, fakes) = house_with(&["a"]).await;
    let client = house.client("/mcp").await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .start("c", "tools/call", json!({"name": "a__work"}))
                .await
                .text()
                .await
        }
    });
    let request = fakes[0].next("tools/call").await;
    client
        .notify(
            "notifications/cancelled",
            json!({"requestId": "c", "reason": "enough"}),
        )
        .await;
    let cancelled = fakes[0].next("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    assert_eq!(cancelled["params"]["reason"], "enough");
    assert!(!asked.await.unwrap().contains("result"));
    // The id is free again.
    let asked = tokio::spawn(async move { client.call("c", "a__work", json!({})).await });
    let request = fakes[0].next("tools/call").await;
    fakes[0].answer(&request, json!({"ok": true}));
    assert_eq!(asked.await.unwrap()["result"]["ok"], true);
}

#[tokio::test]
async fn a_cancellation_that_overtakes_its_call_calls_it_off_all_the_same() {
    let (_dir, house, fakes) = house_with(&["a"]).await;
    let client = house.client("/mcp").await;
    client
        .notify("notifications/cancelled", json!({"requestId": "c"}))
        .await;
    let called_off = client
        .start("c", "tools/call", json!({"name": "a__work"}))
        .await;
    assert!(!called_off.text().await.contains("\"id\""));
    let asked = tokio::spawn(async move { client.call("d", "a__work", json!({"n": 2})).await });
    let request = fakes[0].next("tools/call").await;
    assert_eq!(
        request["params"]["arguments"]["n"], 2,
        "the server never heard of the first"
    );
    fakes[0].answer(&request, json!({}));
    assert_eq!(asked.await.unwrap()["id"], "d");
}

#[tokio::test]
async fn a_question_goes_to_the_client_whose_call_it_is() {
    let (_dir, house, fakes) = house_with(&["a"]).await;
    let server = &fakes[0];
    let bystander = house
        .client_with("/mcp", json!({"sampling": {}, "elicitation": {}}))
        .await;
    let mut elsewhere = bystander.listen(None).await;
    let client = house.client_with("/mcp", json!({"sampling": {}})).await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .start(1, "tools/call", json!({"name": "a__work"}))
                .await
        }
    });
    let request = server.next("tools/call").await;
    server.ask(
        json!(5),
        "sampling/createMessage",
        json!({"messages": [], "maxTokens": 1}),
    );
    let mut stream = asked.await.unwrap();
    let question = stream.message().await.unwrap();
    assert_eq!(question["method"], "sampling/createMessage");
    let reply = client
        .post(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"model": "m"}}))
        .await;
    assert_eq!(reply.status, 202);
    let answered = server.next("").await;
    assert_eq!(
        (&answered["id"], &answered["result"]),
        (&json!(5), &json!({"model": "m"}))
    );
    // What the client did not declare is refused without asking it.
    server.ask(
        json!(6),
        "elicitation/create",
        json!({"message": "?", "requestedSchema": {}}),
    );
    let refused = server.next("").await;
    assert_eq!(refused["id"], 6);
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("elicitation"),
        "{refused}"
    );
    server.answer(&request, json!({}));
    assert_eq!(stream.message().await.unwrap()["id"], 1);
    // The bystander heard nothing of it.
    server.notify(
        "notifications/message",
        json!({"level": "error", "data": "end"}),
    );
    assert_eq!(elsewhere.message().await.unwrap()["params"]["data"], "end");
}

#[tokio::test]
async fn a_question_that_could_be_anybodys_is_refused() {
    let (_dir, house, fakes) = house_with(&["a"]).await;
    let server = &fakes[0];
    let capabilities = json!({"sampling": {}, "roots": {}});
    let mut calls = Vec::new();
    for _ in 0..2 {
        let client = house.client_with("/mcp", capabilities.clone()).await;
        calls.push(tokio::spawn(async move {
            client.call(1, "a__work", json!({})).await
        }));
    }
    let requests = [
        server.next("tools/call").await,
        server.next("tools/call").await,
    ];
    server.ask(json!(1), "sampling/createMessage", json!({}));
    assert!(
        server.next("").await["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no telling which client")
    );
    server.ask(json!(2), "roots/list", json!({}));
    assert_eq!(server.next("").await["result"], json!({"roots": []}));
    server.ask(json!(3), "something/else", json!({}));
    assert_eq!(server.next("").await["error"]["code"], -32601);
    for request in &requests {
        server.answer(request, json!({}));
    }
    for call in calls {
        assert_eq!(call.await.unwrap()["result"], json!({}));
    }
}

#[tokio::test]
async fn each_session_hears_the_log_levels_it_asked_for() {
    let (_dir, house, fakes) = house_with(&["a"]).await;
    let server = &fakes[0];
    let (loud, calm) = (house.client("/mcp").await, house.client("/mcp/a").await);
    let (mut to_loud, mut to_calm) = (loud.listen(None).await, calm.listen(None).await);
    let set = |client: super::support::client::Client, level: &'static str| {
        tokio::spawn(async move {
            client
                .request(1, "logging/setLevel", json!({"level": level}))
                .await
        })
    };
    let asked = set(calm.clone(), "warning");
    let request = server.next("logging/setLevel").await;
    assert_eq!(request["params"]["level"], "warning");
    server.answer(&request, json!({}));
    assert_eq!(asked.await.unwrap()["result"], json!({}));
    let asked = set(loud.clone(), "debug");
    let request = server.next("logging/setLevel").await;
    assert_eq!(
        request["params"]["level"], "debug",
        "the most verbose that anybody asked for"
    );
    server.answer(&request, json!({}));
    asked.await.unwrap();
    server.notify(
        "notifications/message",
        json!({"level": "debug", "data": 1}),
    );
    server.notify(
        "notifications/message",
        json!({"level": "warning", "data": 2}),
    );
    assert_eq!(to_loud.message().await.unwrap()["params"]["data"], 1);
    assert_eq!(to_loud.message().await.unwrap()["params"]["data"], 2);
    assert_eq!(to_calm.message().await.unwrap()["params"]["data"], 2);
    let wrong = loud
        .request(2, "logging/setLevel", json!({"level": "shouting"}))
        .await;
    assert_eq!(wrong["error"]["code"], -32602);
}

#[tokio::test]
async fn a_changed_list_is_read_again_and_announced() {
    let (_dir, house, fakes) = house_with(&["a", "b"]).await;
    let client = house.client("/mcp").await;
    let mut stream = client.listen(None).await;
    let other = house.client("/mcp/b").await;
    let mut to_other = other.listen(None).await;
    fakes[0]
        .offer
        .lock()
        .unwrap()
        .tools
        .push(json!({"name": "fresh", "inputSchema": {}}));
    fakes[0].notify("notifications/tools/list_changed", json!({}));
    assert_eq!(
        stream.message().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
    assert_eq!(client.tools().await, ["a__work", "a__fresh", "b__work"]);
    // Whoever sees only the other server hears nothing of it.
    fakes[1].notify(
        "notifications/message",
        json!({"level": "error", "data": "b"}),
    );
    assert_eq!(to_other.message().await.unwrap()["params"]["data"], "b");
}

#[tokio::test]
async fn an_updated_resource_is_told_to_those_who_subscribed() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["a", "b"]);
    let offer = || Offer {
        resources: vec![json!({"uri": "memo://1", "name": "x"})],
        ..Offer::default()
    };
    let (a, b) = (Fake::new(offer()), Fake::new(offer()));
    house.attach("a", &a).await;
    house.attach("b", &b).await;
    let client = house.client("/mcp").await;
    let direct = house.client("/mcp/a").await;
    let (mut stream, mut to_direct) = (client.listen(None).await, direct.listen(None).await);
    let uri = "backstay://a/memo%3A%2F%2F1";
    let subscribed = client
        .request(1, "resources/subscribe", json!({"uri": uri}))
        .await;
    assert_eq!(subscribed["result"], json!({}));
    assert_eq!(
        a.next("resources/subscribe").await["params"]["uri"],
        "memo://1"
    );
    direct
        .request(1, "resources/subscribe", json!({"uri": "memo://1"}))
        .await;
    a.notify(
        "notifications/resources/updated",
        json!({"uri": "memo://1"}),
    );
    b.notify(
        "notifications/resources/updated",
        json!({"uri": "memo://1"}),
    );
    assert_eq!(stream.message().await.unwrap()["params"]["uri"], uri);
    assert_eq!(
        to_direct.message().await.unwrap()["params"]["uri"],
        "memo://1"
    );
    // One of two goes: the server is not told. The last goes: it is.
    direct
        .request(2, "resources/unsubscribe", json!({"uri": "memo://1"}))
        .await;
    assert!(
        a.rest()
            .await
            .iter()
            .all(|message| message["method"] != "resources/unsubscribe")
    );
    client
        .request(2, "resources/unsubscribe", json!({"uri": uri}))
        .await;
    assert_eq!(
        a.next("resources/unsubscribe").await["params"]["uri"],
        "memo://1"
    );
}
