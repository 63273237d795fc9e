//! Stdio clients, through a daemon's restart.

use std::os::unix::net::UnixListener;
use std::path::Path;

use backstay_gateway::GatewayConfig;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};

use super::support::modern::{Modern, SUBSCRIPTION, VERSION};
use super::support::server::{Fake, Offer};
use super::support::{House, SOON};

/// A client that speaks lines.
struct Stdio {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    bridge: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Stdio {
    fn new(socket: &Path, path: &str) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (from_client, to_client) = tokio::io::split(theirs);
        let (output, input) = tokio::io::split(ours);
        let (socket, path) = (socket.to_owned(), path.to_owned());
        let bridge = tokio::spawn(async move {
            backstay_gateway::bridge_over(&socket, &path, from_client, to_client).await
        });
        Self {
            input,
            output: BufReader::new(output).lines(),
            bridge,
        }
    }

    async fn say(&mut self, message: Value) {
        self.input
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line = tokio::time::timeout(SOON, self.output.next_line())
            .await
            .expect("nothing was said")
            .unwrap();
        serde_json::from_str(&line.expect("the bridge ended")).unwrap()
    }

    async fn open(&mut self) {
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {"roots": {}}, "clientInfo": {"name": "t", "version": "1"}});
        self.say(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            .await;
        let opened = self.hear().await;
        assert_eq!(
            opened["result"]["protocolVersion"], "2025-06-18",
            "{opened}"
        );
        self.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
    }

    async fn ask(&mut self, id: u32, method: &str, params: Value) -> Value {
        self.say(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        loop {
            let answer = self.hear().await;
            if answer["id"] == id && answer.get("method").is_none() {
                return answer;
            }
        }
    }
}

fn listener(dir: &Path) -> UnixListener {
    std::fs::create_dir_all(dir.join("run")).unwrap();
    UnixListener::bind(dir.join("run/gateway.sock")).unwrap()
}

#[tokio::test]
async fn a_stdio_client_calls_and_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let listener = listener(dir.path());
    let house = House::new(dir.path());
    house.listen_unix(&listener);
    house.route(&["a"]);
    let fake = Fake::silent(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    let mut client = Stdio::new(&dir.path().join("run/gateway.sock"), "/mcp");
    client.open().await;
    let call = json!({"name": "a__work", "arguments": {"x": 1}, "_meta": {"progressToken": 9}});
    client
        .say(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}))
        .await;
    let request = fake.next("tools/call").await;
    let token = request["params"]["_meta"]["progressToken"].clone();
    fake.notify(
        "notifications/progress",
        json!({"progressToken": token, "progress": 1}),
    );
    assert_eq!(
        client.hear().await["params"],
        json!({"progressToken": 9, "progress": 1})
    );
    fake.ask(json!("q"), "roots/list", json!({}));
    let question = client.hear().await;
    assert_eq!(question["method"], "roots/list");
    client
        .say(json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}))
        .await;
    assert_eq!(fake.next("").await["id"], "q");
    fake.answer(&request, json!({"done": true}));
    assert_eq!(client.hear().await["result"]["done"], true);
    // Nonsense gets an answer, and nothing else comes of it.
    client.input.write_all(b"nonsense\n").await.unwrap();
    assert_eq!(client.hear().await["error"]["code"], -32700);
    assert_eq!(
        client
            .ask(2, "tools/call", json!({"name": "nothing"}))
            .await["error"]["code"],
        -32602
    );
    // The end of stdin is the end.
    client.input.shutdown().await.unwrap();
    tokio::time::timeout(SOON, client.bridge)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn no_cancellation_is_lost_however_close_it_follows_its_request() {
    let dir = tempfile::tempdir().unwrap();
    let listener = listener(dir.path());
    let house = House::new(dir.path());
    house.listen_unix(&listener);
    house.route(&["a"]);
    let fake = Fake::silent(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    let mut client = Stdio::new(&dir.path().join("run/gateway.sock"), "/mcp");
    client.open().await;
    let pair = |id: u32| {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "a__work"}});
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
        format!("{call}\n{cancel}\n")
    };
    let lines: String = (0..200).map(pair).collect();
    client.input.write_all(lines.as_bytes()).await.unwrap();
    // It ends when nothing is under way any more, or else after ten seconds.
    client.input.shutdown().await.unwrap();
    tokio::time::timeout(SOON * 4 / 5, client.bridge)
        .await
        .expect("a call that was called off is under way still")
        .unwrap()
        .unwrap();
    assert_eq!(
        client.output.next_line().await.unwrap(),
        None,
        "what was called off has no answer"
    );
    // Each was called off at the server, or never came there.
    let mut open = std::collections::HashSet::new();
    for message in fake.rest().await {
        match message["method"].as_str().unwrap_or_default() {
            "tools/call" => assert!(open.insert(message["id"].to_string())),
            "notifications/cancelled" => {
                assert!(open.remove(&message["params"]["requestId"].to_string()));
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test]
async fn a_stdio_client_does_not_notice_that_the_daemon_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let listener = listener(dir.path());
    let fake = Fake::new(Offer::tools(&["work"]));
    let pipes = [fake.kept(), fake.kept()];
    let mut client = Stdio::new(&dir.path().join("run/gateway.sock"), "/mcp");
    let mut note = bytes::Bytes::new();
    for (index, pipes) in pipes.into_iter().enumerate() {
        let generation = u32::try_from(index).unwrap() + 1;
        let house = House::with(GatewayConfig {
            state_dir: dir.path().into(),
            generation,
            settle_ms: 300,
            ..GatewayConfig::default()
        });
        house.listen_unix(&listener);
        house.route(&["a"]);
        house.gateway.attach("a.1", pipes, note.clone());
        if index == 0 {
            client.open().await;
        } else {
            // The session is lost as well: what can be done about it is done.
            client
                .say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
                .await;
        }
        let answer = client
            .ask(generation, "tools/call", json!({"name": "a__work"}))
            .await;
        assert_eq!(answer["result"]["tool"], "work", "{answer}");
        if let Some((_, noted)) = house.notes.lock().unwrap().last() {
            note = noted.clone();
        }
        house.gateway.drain(std::time::Duration::ZERO).await;
        std::fs::remove_file(dir.path().join("run/sessions.jsonl")).unwrap();
    }
}

#[tokio::test]
async fn a_modern_client_needs_no_session_over_stdio_either() {
    let dir = tempfile::tempdir().unwrap();
    let listener = listener(dir.path());
    let house = House::new(dir.path());
    house.listen_unix(&listener);
    house.route(&["a"]);
    let fake = Fake::silent(Offer::tools(&["work"]));
    house.attach("a", &fake).await;
    let words = Modern::new(&house, "/mcp", json!({"roots": {}}));
    let mut client = Stdio::new(&dir.path().join("run/gateway.sock"), "/mcp");
    client
        .say(words.message("d", "server/discover", json!({})))
        .await;
    let found = client.hear().await;
    assert_eq!(found["result"]["supportedVersions"][0], VERSION);
    assert_eq!(
        client.ask(1, "server/discover", json!({})).await["error"]["code"],
        -32602,
        "it does not say what it speaks"
    );
    // A question is a result, and its answer another request.
    client
        .say(words.message(2, "tools/call", json!({"name": "a__work"})))
        .await;
    let call = fake.next("tools/call").await;
    fake.ask(json!("q"), "roots/list", json!({}));
    let asked = client.hear().await;
    let result = &asked["result"];
    assert_eq!(
        (&asked["id"], &result["resultType"]),
        (&json!(2), &json!("input_required"))
    );
    let requests = result["inputRequests"].as_object().unwrap();
    let key = requests.keys().next().unwrap();
    let retry = json!({"name": "a__work", "inputResponses": {key: {"roots": []}}, "requestState": result["requestState"]});
    client.say(words.message(3, "tools/call", retry)).await;
    assert_eq!(fake.next("").await["result"], json!({"roots": []}));
    fake.answer(&call, json!({"content": []}));
    assert_eq!(client.hear().await["id"], 3);
    // What is called off is called off at the server.
    client
        .say(words.message("c", "tools/call", json!({"name": "a__work"})))
        .await;
    let call = fake.next("tools/call").await;
    client
        .say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c"}}))
        .await;
    let cancelled = fake.next("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], call["id"]);
    // A legacy session on the same streams is another matter.
    client.open().await;
    let unknown = json!({"name": "nothing"});
    assert_eq!(
        client.ask(9, "tools/call", unknown).await["error"]["code"],
        -32602
    );
}

#[tokio::test]
async fn a_subscription_over_stdio_outlives_the_daemon_and_ends_with_its_client() {
    let dir = tempfile::tempdir().unwrap();
    let listener = listener(dir.path());
    let fake = Fake::new(Offer::tools(&["work"]));
    let pipes = [fake.kept(), fake.kept()];
    let mut client = Stdio::new(&dir.path().join("run/gateway.sock"), "/mcp/a");
    let mut note = bytes::Bytes::new();
    for (index, pipes) in pipes.into_iter().enumerate() {
        let house = House::with(GatewayConfig {
            state_dir: dir.path().into(),
            generation: u32::try_from(index).unwrap() + 1,
            settle_ms: 300,
            ..GatewayConfig::default()
        });
        house.listen_unix(&listener);
        house.route(&["a"]);
        house.gateway.attach("a.1", pipes, note.clone());
        if index == 0 {
            let words = Modern::new(&house, "/mcp/a", json!({}));
            let wants = json!({"notifications": {"toolsListChanged": true}});
            client
                .say(words.message("s", "subscriptions/listen", wants))
                .await;
        }
        let said = client.hear().await;
        let method = match index {
            0 => "notifications/subscriptions/acknowledged",
            _ => "notifications/tools/list_changed",
        };
        assert_eq!(said["method"], method);
        assert_eq!(said["params"]["_meta"][SUBSCRIPTION], "s");
        if let Some((_, noted)) = house.notes.lock().unwrap().last() {
            note = noted.clone();
        }
        house
            .gateway
            .drain(std::time::Duration::from_secs(index as u64))
            .await;
    }
    client.input.shutdown().await.unwrap();
    tokio::time::timeout(SOON, client.bridge)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
