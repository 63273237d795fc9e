//! The second level of kept answers, with the real Redis and Memcached where they are installed; the Python tests
//! install them (`tests/e2e/test_caching.py`).

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use backstay_gateway::Event;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::support::client::Client;
use super::support::server::{Fake, Offer};
use super::support::{House, SOON};

/// A process that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one of both, and gives its address; none where it is not installed.
async fn start(which: &str) -> Option<(Server, String)> {
    let port = free_port();
    let command = if which == "redis" {
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command
    } else {
        let mut command = Command::new("memcached");
        command.args(["-u", "root", "-l", "127.0.0.1", "-p", &port.to_string()]);
        command
    };
    let server = listening(command, port).await?;
    Some((server, format!("{which}://127.0.0.1:{port}")))
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts it and waits until it listens; none where it is not installed.
async fn listening(mut command: Command, port: u16) -> Option<Server> {
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let server = Server(child);
    let up = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, up)
        .await
        .expect("it never listens");
    Some(server)
}

struct Daemon {
    house: House,
    client: Client,
    fake: Fake,
    asked: Arc<AtomicUsize>,
    _dir: tempfile::TempDir,
}

/// A daemon of the same fleet as all others here.
async fn daemon(url: &str, cache: Value) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let house = House::new(dir.path());
    let mut rules = json!({
        "revision": "abc", "ttl_ms": 3_600_000, "negative_ms": 0, "tools": ["get", "list"], "resources": ["*"],
        "shared": false, "invalidates": {"touch": ["get"]},
    });
    for (key, value) in cache.as_object().unwrap() {
        rules[key] = value.clone();
    }
    let mut second = json!({"url": url, "fleet": "t", "through": true, "timeout_ms": 2000});
    if let Some(ca) = rules.as_object_mut().unwrap().remove("ca") {
        second["ca"] = ca;
    }
    house.routes_with(
        vec![json!({"service": "a", "instances": [{"name": "a.1"}], "cache": rules})],
        json!({"memory": 1 << 20, "second": second}),
    );
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let fake = Fake::answering(Offer::tools(&["get", "list", "touch"]), move |request| {
        (request["method"] == "tools/call")
            .then(|| json!({"content": [], "count": counted.fetch_add(1, SeqCst) + 1}))
    });
    house.attach("a", &fake).await;
    let client = house.client("/mcp/a").await;
    Daemon {
        house,
        client,
        fake,
        asked,
        _dir: dir,
    }
}

async fn count(daemon: &Daemon, tool: &str) -> u64 {
    let answer = daemon.client.call(1, tool, json!({"of": 1})).await;
    answer["result"]["count"]
        .as_u64()
        .unwrap_or_else(|| panic!("{answer}"))
}

/// Calls until the second level has what this daemon answers: what became stale when it began is known there.
async fn settled(daemon: &Daemon, tool: &str) -> u64 {
    let last = count(daemon, tool).await;
    let metrics = daemon.house.metrics();
    assert!(metrics.contains(r#"result="miss"} 1"#), "{metrics}");
    last
}

async fn others_find_it(which: &str) {
    let Some((_server, url)) = start(which).await else {
        eprintln!("{which} is not installed");
        return;
    };
    let one = daemon(&url, json!({})).await;
    let two = daemon(&url, json!({})).await;
    assert_eq!(settled(&one, "get").await, 1);
    assert_eq!(count(&two, "get").await, 1);
    assert_eq!(two.asked.load(SeqCst), 0, "its server was not asked");
    assert!(two.house.metrics().contains(r#"result="second"} 1"#));
    // Another revision's answers are others.
    let other = daemon(&url, json!({"revision": "def"})).await;
    count(&other, "get").await;
    assert_eq!(other.asked.load(SeqCst), 1);
}

async fn what_writes_makes_it_stale(which: &str) {
    let Some((_server, url)) = start(which).await else {
        eprintln!("{which} is not installed");
        return;
    };
    let one = daemon(&url, json!({})).await;
    assert_eq!(settled(&one, "get").await, 1);
    count(&one, "touch").await;
    // A daemon that comes later, and has nothing in memory, finds nothing there either.
    let two = daemon(&url, json!({})).await;
    count(&two, "get").await;
    assert_eq!(two.asked.load(SeqCst), 1);
}

async fn without_it_calls_go_on(which: &str) {
    let Some((server, url)) = start(which).await else {
        eprintln!("{which} is not installed");
        return;
    };
    let one = daemon(&url, json!({})).await;
    assert_eq!(settled(&one, "get").await, 1);
    drop(server);
    assert_eq!(count(&one, "list").await, 2);
    assert_eq!(count(&one, "list").await, 2, "memory is still there");
    count(&one, "touch").await;
    assert_eq!(count(&one, "get").await, 4);
    drop(one.fake);
}

#[tokio::test]
async fn another_daemon_finds_what_one_fetched_in_redis() {
    others_find_it("redis").await;
}

#[tokio::test]
async fn another_daemon_finds_what_one_fetched_in_memcached() {
    others_find_it("memcached").await;
}

#[tokio::test]
async fn a_tool_that_writes_makes_answers_in_redis_stale() {
    what_writes_makes_it_stale("redis").await;
}

#[tokio::test]
async fn a_tool_that_writes_makes_answers_in_memcached_stale() {
    what_writes_makes_it_stale("memcached").await;
}

#[tokio::test]
async fn when_redis_is_gone_calls_go_on() {
    without_it_calls_go_on("redis").await;
}

#[tokio::test]
async fn when_memcached_is_gone_calls_go_on() {
    without_it_calls_go_on("memcached").await;
}

#[tokio::test]
async fn a_second_level_that_moves_is_told_what_is_stale_by_servers_that_stay() {
    let Some((_server, url)) = start("redis").await else {
        eprintln!("redis is not installed");
        return;
    };
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let one = daemon(&nowhere, json!({})).await;
    let second = json!({"url": url, "fleet": "t", "through": true, "timeout_ms": 2000});
    let moved = json!({"servers": [], "gone": [], "cache": {"memory": 1 << 20, "second": second}});
    one.house
        .gateway
        .set_routes(serde_json::from_value(moved).unwrap());
    let had = count(&one, "get").await;
    let two = daemon(&url, json!({})).await;
    assert_eq!(count(&two, "get").await, had, "it is there");
    count(&one, "touch").await;
    let three = daemon(&url, json!({})).await;
    count(&three, "get").await;
    assert_eq!(three.asked.load(SeqCst), 1, "it is stale there");
}

/// A Redis that speaks TLS and wants a password, under a certificate of its own authority.
async fn start_secure(folder: &Path) -> Option<(Server, String)> {
    let authority =
        CertifiedIssuer::self_signed(authority(), KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("cert.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let port = free_port();
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--requirepass", "p@ss/word"]);
    command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
    for (option, file) in [
        ("--tls-cert-file", "cert.pem"),
        ("--tls-key-file", "key.pem"),
        ("--tls-ca-cert-file", "ca.pem"),
    ] {
        command.arg(option).arg(folder.join(file));
    }
    let server = listening(command, port).await?;
    Some((server, format!("rediss://:p%40ss%2Fword@127.0.0.1:{port}")))
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

#[tokio::test]
async fn redis_is_spoken_to_over_tls_where_its_authority_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_server, url)) = start_secure(folder.path()).await else {
        eprintln!("redis is not installed");
        return;
    };
    let ca = json!({"ca": folder.path().join("ca.pem")});
    let one = daemon(&url, ca.clone()).await;
    assert_eq!(settled(&one, "get").await, 1);
    let two = daemon(&url, ca).await;
    assert_eq!(count(&two, "get").await, 1);
    assert_eq!(two.asked.load(SeqCst), 0, "its server was not asked");
    // Whoever does not trust it goes on without, and says why.
    let three = daemon(&url, json!({})).await;
    for number in 0..4 {
        let answer = three.client.call(1, "get", json!({"n": number})).await;
        assert!(answer["result"]["count"].is_u64());
    }
    let lost = three
        .house
        .wait(|event| matches!(event, Event::CacheLost { .. }))
        .await;
    let Event::CacheLost { reason } = lost else {
        panic!("{lost:?}")
    };
    assert!(reason.contains("certificate"), "{reason}");
}
