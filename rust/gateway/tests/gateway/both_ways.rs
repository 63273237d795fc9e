//! The same requests the short way and the long way (`http/quick`): the answers are alike, whatever is right or wrong
//! with a request.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::quick::house;
use super::support::raw::{Raw, modern, posted};
use super::support::server::Fake;

/// Headers, and a body.
type Request = (Vec<(&'static str, String)>, String);

const VERSION: &str = "MCP-Protocol-Version";

/// The headers of a request of 2026-07-28.
fn mirrored(method: &str, name: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (VERSION, "2026-07-28".to_owned()),
        ("Mcp-Method", method.to_owned()),
    ];
    headers.extend(name.map(|name| ("Mcp-Name", name.to_owned())));
    headers
}

fn asked(method: &str, name: Option<&str>, params: &Value) -> Request {
    (mirrored(method, name), modern(method, params))
}

/// Requests of clients without a session, of which nothing is wrong with the way they are said.
fn well_said() -> Vec<Request> {
    let nothing = json!({});
    let work = json!({"name": "a__work", "arguments": {"n": 1.50}});
    let (stranger, memo) = (json!({"name": "a__wrk"}), json!({"uri": "memo://1"}));
    let retried =
        json!({"name": "a__work", "requestState": "backstay-0-none", "inputResponses": {}});
    let mut packed = asked("tools/list", None, &nothing);
    packed.0.push(("Accept-Encoding", "gzip".to_owned()));
    vec![
        asked("server/discover", None, &nothing),
        asked("tools/list", None, &nothing),
        asked("tools/list", Some("surplus"), &nothing),
        packed,
        asked("tools/call", Some("a__work"), &work),
        asked("tools/call", Some("=?base64?YV9fd29yaw==?="), &work),
        asked("tools/call", Some("a__wrk"), &stranger),
        asked("tools/call", Some("a__work"), &retried),
        asked("resources/read", Some("memo://1"), &memo),
        asked("prompts/get", Some("a__none"), &json!({"name": "a__none"})),
        asked("ping", None, &nothing),
        asked("x/y", None, &nothing),
    ]
}

/// Others, of which something is.
fn ill_said() -> Vec<Request> {
    let work = json!({"name": "a__work", "arguments": {}});
    let (call, list) = (
        modern("tools/call", &work),
        modern("tools/list", &json!({})),
    );
    let good = mirrored("tools/call", Some("a__work"));
    let loud = json!({"_meta": {"io.modelcontextprotocol/logLevel": "loud"}});
    let with = |version: &str| {
        let mut headers = mirrored("tools/list", None);
        version.clone_into(&mut headers[0].1);
        headers
    };
    let mut both = good.clone();
    both.push(("Mcp-Session-Id", "unknown".to_owned()));
    vec![
        (mirrored("tools/call", Some("other")), call.clone()),
        (mirrored("tools/call", None), call.clone()),
        (mirrored("Tools/Call", Some("a__work")), call.clone()),
        (good[1..].to_vec(), call.clone()),
        (vec![good[0].clone(), good[2].clone()], call.clone()),
        (with("1926-07-28"), list.clone()),
        (with("2025-11-25"), list),
        (mirrored("tools/list", None), modern("tools/list", &loud)),
        (
            good.clone(),
            call.replace("Version\":\"2026", "Version\":\"1926"),
        ),
        (good.clone(), call.replace("clientCapabilities", "client")),
        (good.clone(), call.replace("\"id\":\"m\",", "")),
        (good.clone(), format!("[{call}]")),
        (good.clone(), call.replace("\"2.0\"", "\"1.0\"")),
        (good.clone(), "{".to_owned()),
        (
            good.clone(),
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        ),
        (both, call),
    ]
}

/// Requests of a client with a session, and without one that it should have.
fn within(session: &str) -> Vec<Request> {
    let own = || vec![("Mcp-Session-Id", session.to_owned())];
    let message = |method: &str, params: &Value| {
        json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()
    };
    let ping = message("ping", &json!({}));
    let mut mixed = own();
    mixed.push(("Mcp-Method", "ping".to_owned()));
    vec![
        (own(), ping.clone()),
        (own(), message("tools/call", &json!({"name": "a__work"}))),
        (own(), message("tools/call", &json!({"name": "a__wrk"}))),
        (own(), message("x/y", &json!({}))),
        (
            own(),
            r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned(),
        ),
        (own(), "[]".to_owned()),
        (mixed, ping.clone()),
        (vec![("Mcp-Session-Id", "unknown".to_owned())], ping.clone()),
        (vec![], ping),
    ]
}

/// What a request is answered with: the status, the headers in order but for the date, and the body.
async fn answered(raw: &mut Raw, request: &str) -> (String, Vec<String>, String) {
    raw.send(request).await;
    let (head, body) = raw.answer().await;
    let mut lines = head.lines().filter(|line| !line.is_empty());
    let status = lines.next().unwrap_or_default().to_owned();
    let headers = lines.map(str::to_ascii_lowercase);
    let mut headers: Vec<_> = headers.filter(|line| !line.starts_with("date:")).collect();
    headers.sort();
    (status, headers, body)
}

#[tokio::test]
async fn both_ways_answer_every_request_alike() {
    let (_dir, house, _fake) = house(Fake::new).await;
    let (mut short, mut long) = (Raw::open(&house).await, Raw::open(&house).await);
    let (session, host) = (short.session.clone(), short.host.clone());
    for (headers, body) in [well_said(), ill_said(), within(&session)].concat() {
        let mut headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| (*key, &**value))
            .collect();
        // Each begins a connection, as one that has gone the long way stays there.
        short.stream = TcpStream::connect(house.address).await.unwrap();
        let quick = answered(&mut short, &posted(&host, &headers, &body)).await;
        headers.push(("TE", "trailers"));
        let slow = answered(&mut long, &posted(&host, &headers, &body)).await;
        assert_eq!(quick, slow, "{headers:?} {body}");
    }
}
