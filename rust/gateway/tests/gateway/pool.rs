//! `session: isolated` with a pool: as many instances as sessions want, up to a cap.

use backstay_gateway::Event;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::support::client::Client;
use super::support::server::{Fake, Offer};
use super::support::{House, SOON};

fn pooled(instances: &[&str], pool: &Value) -> Value {
    let instances: Vec<_> = instances.iter().map(|name| json!({"name": name})).collect();
    json!({"service": "a", "session": "isolated", "pool": pool, "instances": instances})
}

fn pool(spare: usize, most: usize) -> Value {
    json!({"spare": spare, "most": most, "steady": true})
}

async fn attach(house: &House, instance: &str) -> Fake {
    let fake = Fake::new(Offer::tools(&["work"]));
    house.gateway.attach(instance, fake.pipes(), Bytes::new());
    house
        .wait(|event| matches!(event, Event::ServerReady { instance: ready, .. } if ready == instance))
        .await;
    fake
}

async fn wanted(house: &House) -> usize {
    match house
        .wait(|event| matches!(event, Event::SessionWanted { .. }))
        .await
    {
        Event::SessionWanted { instances, .. } => instances,
        other => panic!("{other:?}"),
    }
}

async fn spare(house: &House) -> String {
    match house
        .wait(|event| matches!(event, Event::SessionSpare { .. }))
        .await
    {
        Event::SessionSpare { instance, .. } => instance,
        other => panic!("{other:?}"),
    }
}

async fn end(client: &Client) {
    let id = client.session.clone().unwrap();
    client
        .send(Method::DELETE, &[("mcp-session-id", &id)], "")
        .await;
}

#[tokio::test]
async fn a_call_waits_for_the_instance_that_its_session_wants() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.routes(vec![pooled(&["a.1"], &pool(1, 3))]);
    let first = attach(&house, "a.1").await;
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    one.call(1, "a__work", json!({"who": 1})).await;
    assert_eq!(wanted(&house).await, 2, "one has it, one is to be spare");
    let calling = tokio::spawn({
        let two = two.clone();
        async move { two.call(1, "a__work", json!({"who": 2})).await }
    });
    assert_eq!(
        wanted(&house).await,
        3,
        "one has it, one waits, one is to be spare"
    );
    house.routes(vec![pooled(&["a.1", "a.2", "a.3"], &pool(1, 3))]);
    let second = attach(&house, "a.2").await;
    let answer = calling.await.unwrap();
    assert_eq!(answer["result"]["tool"], "work", "{answer}");
    assert_eq!(
        second.next("tools/call").await["params"]["arguments"]["who"],
        2
    );
    assert_eq!(
        first.next("tools/call").await["params"]["arguments"]["who"],
        1
    );
}

#[tokio::test]
async fn beyond_the_cap_a_session_is_refused_and_told_when_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.routes(vec![pooled(&["a.1"], &pool(1, 1))]);
    let _fake = attach(&house, "a.1").await;
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    one.call(1, "a__work", json!({})).await;
    let refused = two.call(1, "a__work", json!({})).await;
    assert_eq!(refused["error"]["data"]["state"], "taken", "{refused}");
    assert_eq!(refused["error"]["data"]["retryAfter"], 5);
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`max_sessions`")
    );
}

#[tokio::test]
async fn a_machine_that_has_no_room_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let cramped = json!({"spare": 1, "most": 9, "steady": true, "cramped": "2 cpus are held"});
    house.routes(vec![pooled(&["a.1"], &cramped)]);
    let _fake = attach(&house, "a.1").await;
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    one.call(1, "a__work", json!({})).await;
    let refused = two.call(1, "a__work", json!({})).await;
    assert_eq!(refused["error"]["data"]["state"], "taken", "{refused}");
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("2 cpus are held")
    );
}

#[tokio::test]
async fn nobody_waits_longer_than_a_call_may_take() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let mut route = pooled(&["a.1"], &pool(1, 9));
    route["call_timeout_ms"] = json!(200);
    house.routes(vec![route]);
    let _fake = attach(&house, "a.1").await;
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    one.call(1, "a__work", json!({})).await;
    let late = tokio::time::timeout(SOON, two.call(1, "a__work", json!({})))
        .await
        .unwrap();
    assert_eq!(late["error"]["data"]["state"], "taken", "{late}");
}

#[tokio::test]
async fn what_an_ended_session_leaves_is_given_up_where_enough_are_free() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.routes(vec![pooled(&["a.1", "a.2"], &pool(1, 2))]);
    let (first, second) = (attach(&house, "a.1").await, attach(&house, "a.2").await);
    let (one, two) = (house.client("/mcp").await, house.client("/mcp").await);
    one.call(1, "a__work", json!({})).await;
    first.next("tools/call").await;
    end(&one).await;
    assert_eq!(
        spare(&house).await,
        "a.1",
        "the other one is free, and one is to be"
    );
    two.call(1, "a__work", json!({})).await;
    second.next("tools/call").await;
    end(&two).await;
    let ended = house
        .wait(|event| {
            matches!(
                event,
                Event::SessionEnded { .. } | Event::SessionSpare { .. }
            )
        })
        .await;
    assert!(
        matches!(ended, Event::SessionEnded { instance, .. } if instance == "a.2"),
        "the last one begins anew"
    );
}

#[tokio::test]
async fn free_instances_beyond_the_spare_ones_are_given_up_only_while_nothing_else_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let busy = json!({"spare": 1, "most": 3, "steady": false});
    house.routes(vec![pooled(&["a.1", "a.2"], &busy)]);
    let _fakes = (attach(&house, "a.1").await, attach(&house, "a.2").await);
    house.routes(vec![pooled(&["a.1", "a.2"], &pool(1, 3))]);
    assert_eq!(spare(&house).await, "a.2");
    let client = house.client("/mcp").await;
    client.call(1, "a__work", json!({})).await;
    assert_eq!(wanted(&house).await, 2, "what is given up counts no more");
}

#[tokio::test]
async fn an_instance_that_began_anew_is_not_taken_back_for_who_had_it_before() {
    let dir = tempfile::tempdir().unwrap();
    let second = Fake::new(Offer::tools(&["work"]));
    let kept = second.kept();
    let (before, owner, note) = {
        let house = House::new(dir.path());
        house.routes(vec![pooled(&["a.1"], &pool(1, 1))]);
        let first = attach(&house, "a.1").await;
        let before = house.client("/mcp").await;
        before.call(1, "a__work", json!({})).await;
        first.kill();
        house
            .wait(|event| matches!(event, Event::ServerClosed { .. }))
            .await;
        house.gateway.attach("a.1", second.pipes(), Bytes::new());
        house
            .wait(|event| matches!(event, Event::ServerReady { .. }))
            .await;
        let owner = house.client("/mcp").await;
        owner.call(1, "a__work", json!({})).await;
        let note = house.notes.lock().unwrap().last().unwrap().1.clone();
        (before, owner, note)
    };
    let house = House::new(dir.path());
    house.routes(vec![pooled(&["a.1"], &pool(1, 1))]);
    house.gateway.attach("a.1", kept, note);
    house
        .wait(|event| matches!(event, Event::ServerReady { resumed: true, .. }))
        .await;
    let at = |client: Client| Client {
        address: house.address,
        ..client
    };
    let refused = at(before).call(2, "a__work", json!({})).await;
    assert_eq!(refused["error"]["data"]["state"], "taken", "{refused}");
    let answer = at(owner).call(2, "a__work", json!({})).await;
    assert_eq!(answer["result"]["tool"], "work", "{answer}");
}
