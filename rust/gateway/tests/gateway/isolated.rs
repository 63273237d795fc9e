//! `session: isolated`: nothing of one session reaches another.

use backstay_gateway::Event;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::support::House;
use super::support::server::{Fake, Offer};

fn isolated() -> Value {
    json!({"service": "a", "session": "isolated", "instances": [{"name": "a.1"}, {"name": "a.2"}]})
}

async fn ready(house: &House, instance: &str, fake: &Fake, note: Bytes) {
    house.gateway.attach(instance, fake.pipes(), note);
    house.wait(|event| matches!(event, Event::ServerReady { instance: ready, .. } if ready == instance)).await;
}

#[tokio::test]
async fn each_session_has_a_process_of_its_own_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.routes(vec![isolated()]);
    let fakes = [
        Fake::new(Offer::tools(&["work"])),
        Fake::new(Offer::tools(&["work"])),
    ];
    ready(&house, "a.1", &fakes[0], Bytes::new()).await;
    ready(&house, "a.2", &fakes[1], Bytes::new()).await;
    let (one, two, three) = (
        house.client("/mcp").await,
        house.client("/mcp/a").await,
        house.client("/mcp").await,
    );
    for n in 0..3 {
        one.call(n, "a__work", json!({"who": 1})).await;
        two.call(n, "work", json!({"who": 2})).await;
    }
    for (fake, who) in [(&fakes[0], 1), (&fakes[1], 2)] {
        let calls: Vec<_> = fake
            .rest()
            .await
            .into_iter()
            .filter(|message| message["method"] == "tools/call")
            .collect();
        assert_eq!(calls.len(), 3);
        assert!(
            calls
                .iter()
                .all(|call| call["params"]["arguments"]["who"] == who)
        );
    }
    // There is none left for a third.
    let refused = three.call(1, "a__work", json!({})).await;
    assert_eq!(refused["error"]["data"]["state"], "taken", "{refused}");
    // The first goes; what it had is given to nobody before it has begun anew.
    let id = one.session.clone().unwrap();
    one.send(Method::DELETE, &[("mcp-session-id", &id)], "")
        .await;
    let ended = house
        .wait(|event| matches!(event, Event::SessionEnded { .. }))
        .await;
    assert!(matches!(ended, Event::SessionEnded { instance, .. } if instance == "a.1"));
    assert_eq!(
        three.call(2, "a__work", json!({})).await["error"]["data"]["state"],
        "taken"
    );
    let fresh = Fake::new(Offer::tools(&["work"]));
    ready(&house, "a.1", &fresh, Bytes::new()).await;
    assert_eq!(
        three.call(3, "a__work", json!({})).await["result"]["tool"],
        "work"
    );
    fresh.next("tools/call").await;
}

#[tokio::test]
async fn what_a_process_says_outside_calls_is_its_owner_s() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.routes(vec![isolated()]);
    let fake = Fake::new(Offer::tools(&["work"]));
    ready(&house, "a.1", &fake, Bytes::new()).await;
    let client = house
        .client_with("/mcp", json!({"roots": {"listChanged": true}}))
        .await;
    let other = house.client_with("/mcp", json!({"roots": {}})).await;
    let (mut stream, mut to_other) = (client.listen(None).await, other.listen(None).await);
    fake.ask(json!(1), "roots/list", json!({}));
    assert_eq!(
        fake.next("").await["result"],
        json!({"roots": []}),
        "nobody has it yet"
    );
    client.call(1, "a__work", json!({})).await;
    client
        .notify("notifications/roots/list_changed", json!({}))
        .await;
    fake.next("notifications/roots/list_changed").await;
    fake.ask(json!(2), "roots/list", json!({}));
    let question = stream.message().await.unwrap();
    let roots = json!({"roots": [{"uri": "file:///x"}]});
    client
        .post(&json!({"jsonrpc": "2.0", "id": question["id"], "result": roots}))
        .await;
    assert_eq!(fake.next("").await["result"], roots);
    fake.notify(
        "notifications/message",
        json!({"level": "error", "data": "private"}),
    );
    assert_eq!(stream.message().await.unwrap()["params"]["data"], "private");
    fake.offer
        .lock()
        .unwrap()
        .tools
        .push(json!({"name": "more", "inputSchema": {}}));
    fake.notify("notifications/tools/list_changed", json!({}));
    let heard = to_other.message().await.unwrap();
    assert_eq!(
        heard["method"], "notifications/tools/list_changed",
        "the list is everybody's, the message was not"
    );
}

#[tokio::test]
async fn a_claim_outlives_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Offer::tools(&["work"]));
    let kept = fake.kept();
    let (client, note) = {
        let house = House::new(dir.path());
        house.routes(vec![isolated()]);
        ready(&house, "a.1", &fake, Bytes::new()).await;
        let client = house.client("/mcp").await;
        client.call(1, "a__work", json!({})).await;
        let note = house.notes.lock().unwrap().last().unwrap().1.clone();
        (client, note)
    };
    let house = House::new(dir.path());
    house.routes(vec![isolated()]);
    house.gateway.attach("a.1", kept, note);
    house
        .wait(|event| matches!(event, Event::ServerReady { resumed: true, .. }))
        .await;
    let stranger = house.client("/mcp").await;
    assert_eq!(
        stranger.call(1, "a__work", json!({})).await["error"]["data"]["state"],
        "taken"
    );
    let client = super::support::client::Client {
        address: house.address,
        ..client
    };
    assert_eq!(
        client.call(2, "a__work", json!({})).await["result"]["tool"],
        "work"
    );
}
