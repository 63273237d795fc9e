//! The routes table: given whole, or as what has changed.

use serde_json::{Value, json};

use super::support::server::{Fake, Offer};
use super::support::{House, route};

fn give(house: &House, routes: Value) {
    house
        .gateway
        .set_routes(serde_json::from_value(routes).unwrap());
}

fn server(name: &str) -> Value {
    route(name)
}

#[tokio::test]
async fn servers_that_a_change_does_not_name_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    house.route(&["files", "time"]);
    let files = Fake::new(Offer::tools(&["read"]));
    let time = Fake::new(Offer::tools(&["now"]));
    house.attach("files", &files).await;
    house.attach("time", &time).await;

    give(
        &house,
        json!({"servers": [server("mail")], "gone": ["time"]}),
    );
    let mail = Fake::new(Offer::tools(&["send"]));
    house.attach("mail", &mail).await;
    let client = house.client("/mcp").await;
    assert_eq!(client.tools().await, ["files__read", "mail__send"]);
    let answer = client.call(1, "files__read", json!({})).await;
    assert_eq!(answer["result"]["tool"], "read");

    // The whole table again: what it does not name goes.
    give(&house, json!({"servers": [server("files")]}));
    assert_eq!(client.tools().await, ["files__read"]);
}
