//! The checks of `backstay doctor`, on a server that is well and on one that is not.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_mcp::compliance::{Outcome, Report, check, visit};
use backstay_mcp::{HandshakeError, Target, Upstream, UpstreamConfig, Version};
use serde_json::{Value, json};
use support::{FakeServer, connected, server};

/// Serves requests by a rule until the connection ends.
async fn serve(server: &mut FakeServer, rule: impl Fn(&Value) -> Vec<String>) {
    loop {
        let message = server.next().await;
        for line in rule(&message) {
            server.print(line + "\n").await;
        }
    }
}

async fn report(
    upstream: &Upstream,
    server: &mut FakeServer,
    rule: impl Fn(&Value) -> Vec<String>,
) -> Report {
    tokio::select! {
        report = check(upstream, Duration::from_secs(5)) => report,
        () = serve(server, rule) => unreachable!(),
    }
}

fn outcomes(report: &Report) -> BTreeMap<&str, &Outcome> {
    report
        .checks
        .iter()
        .map(|check| (check.id, &check.outcome))
        .collect()
}

fn healthy(message: &Value) -> Vec<String> {
    if message["id"].is_null() {
        return Vec::new();
    }
    let answer = match message["method"].as_str().unwrap() {
        "ping" => json!({"result": {}}),
        "tools/list" if message["params"]["cursor"] == "2" => {
            json!({"result": {"tools": [{"name": "two", "description": "x", "inputSchema": {"type": "object"}}]}})
        }
        "tools/list" if message["params"]["cursor"].is_null() => {
            json!({"result": {"tools": [{"name": "one", "description": "x", "inputSchema": {"type": "object"}}], "nextCursor": "2"}})
        }
        "tools/list" | "tools/call" => {
            json!({"error": {"code": -32602, "message": "no such thing"}})
        }
        _ => json!({"error": {"code": -32601, "message": "no such method"}}),
    };
    let mut answer = answer;
    answer["jsonrpc"] = "2.0".into();
    answer["id"] = message["id"].clone();
    vec![answer.to_string()]
}

#[tokio::test]
async fn a_healthy_server_passes_all_that_applies() {
    let (upstream, mut server, ..) = connected().await;
    let report = report(&upstream, &mut server, healthy).await;
    for check in &report.checks {
        let skipped = [
            "resources.list",
            "prompts.list",
            "errors.params",
            "errors.prompt",
            "errors.resource",
        ];
        let applies = !skipped.contains(&check.id);
        assert_eq!(check.outcome == Outcome::Passed, applies, "{check:?}");
    }
    assert_eq!(
        (
            report.score(),
            report.server.as_str(),
            report.protocol.as_str()
        ),
        (100, "fake", "2025-11-25")
    );
    let json = serde_json::to_value(&report.checks[0]).unwrap();
    assert_eq!(
        (&json["id"], &json["outcome"]),
        (&json!("lifecycle.initialize"), &json!("passed"))
    );
}

#[tokio::test]
async fn a_sick_server_is_told_what_is_wrong_with_it() {
    let (upstream, mut server, ..) = connected().await;
    let calls = std::cell::Cell::new(0);
    let report = report(&upstream, &mut server, |message| {
        if message["id"].is_null() {
            return vec!["debug: a notification!".into()];
        }
        calls.set(calls.get() + 1);
        let tools = json!([
            {"name": "same", "inputSchema": {"type": "object"}, "description": calls.get()},
            {"name": "same", "inputSchema": {}},
        ]);
        let result = if message["method"] == "tools/list" {
            json!({"tools": tools})
        } else {
            json!({"ok": true})
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"].to_string(), "result": result})
            .to_string();
        vec![answer.clone(), answer]
    })
    .await;
    let outcomes = outcomes(&report);
    let failing = [
        "errors.method",
        "tools.names",
        "tools.schema",
        "tools.stable",
        "stream.pure",
        "stream.ids",
    ];
    for id in failing {
        assert!(
            matches!(outcomes[id], Outcome::Failed { .. }),
            "{id}: {:?}",
            outcomes[id]
        );
    }
    for id in [
        "lifecycle.ping",
        "errors.tool",
        "errors.cursor",
        "tools.description",
        "stream.answers",
    ] {
        assert!(
            matches!(outcomes[id], Outcome::Warned { .. }),
            "{id}: {:?}",
            outcomes[id]
        );
    }
    assert!(report.score() < 70, "{}", report.score());
}

#[tokio::test]
async fn a_server_that_dies_of_a_check_fails_it_and_is_asked_nothing_more() {
    let (upstream, mut server, ..) = connected().await;
    let (report, ()) = tokio::join!(check(&upstream, Duration::from_secs(5)), async {
        let ping = server.expect("ping").await;
        server.answer(&ping, json!({})).await;
        drop(server);
    });
    let outcomes = outcomes(&report);
    assert!(
        matches!(outcomes["lifecycle.notifications"], Outcome::Failed { found } if found.contains("is gone"))
    );
    for id in ["errors.method", "tools.list", "tools.stable"] {
        assert!(
            matches!(outcomes[id], Outcome::Skipped { .. }),
            "{id}: {:?}",
            outcomes[id]
        );
    }
}

#[test]
fn a_failed_handshake_is_a_report_too() {
    let error = HandshakeError::TimedOut {
        asked: "initialize",
        instance: "x.1".into(),
        after: Duration::from_secs(1),
        printed: backstay_mcp::upstream::Printed::default(),
    };
    let report = Report::of_failure(&error);
    assert_eq!((report.score(), report.checks.len()), (0, 1));
}

#[tokio::test]
async fn a_visit_offers_the_version_asked_for_and_asks_what_only_a_copy_is_asked() {
    let (mut server, kept) = server();
    let config = UpstreamConfig {
        offer: Version::V2025_03_26,
        ..UpstreamConfig::new("x", "x.1", Target::Stdio(kept.pipes()))
    };
    let offered = async {
        let greeting = server.expect("initialize").await;
        let result = json!({
            "protocolVersion": greeting["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "fake", "version": "1"},
        });
        server.answer(&greeting, result).await;
        serve(&mut server, healthy).await;
    };
    let report = tokio::select! {
        report = visit(config, Duration::from_secs(5)) => report,
        () = offered => unreachable!(),
    };
    let outcomes = outcomes(&report);
    assert_eq!(report.protocol, "2025-03-26");
    assert!(report.greeted_ms.is_some());
    assert_eq!(outcomes["errors.params"], &Outcome::Passed);
    assert!(matches!(
        outcomes["lifecycle.version"],
        Outcome::Skipped { .. }
    ));
}
