//! An MCP server that answers as fast as it can: `echo http [PORT]`, which prints its address, or `echo stdio`.
//! `--delay MS` answers each call that much later; `--tools N` offers so many tools; `--events`, over HTTP, answers
//! calls by a stream of events.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of its own that ends where it cannot go on"
)]

use std::time::Duration;

use backstay_benches::echo::{Echo, serve_http, serve_pipes};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    let echo = Echo::new(
        usize::try_from(option("--tools").unwrap_or(1)).unwrap(),
        option("--delay").map(Duration::from_millis),
    )
    .by_events(words.iter().any(|word| word == "--events"));
    match words.first().map(String::as_str) {
        Some("stdio") => serve_pipes(&echo, std::io::stdin(), std::io::stdout()),
        Some("http") => {
            let port = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
            let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
            println!("http://{}/mcp", listener.local_addr().unwrap());
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(serve_http(echo, listener));
        }
        _ => panic!("echo http [PORT] | stdio [--delay MS] [--tools N] [--events]"),
    }
}
