//! What does the gateway cost over a reverse proxy that knows nothing of MCP?
//!
//! The same 200-byte `tools/call`, from the same clients, to the same server: directly, through a bare
//! hyper reverse proxy, through the gateway over HTTP, and through the gateway over stdio. Whatever stands
//! in the middle has one thread, and its processor time is counted apart from everybody else's.
//!
//! `cargo bench --bench gateway [-- SECONDS]`

#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a program of its own that prints its findings"
)]

mod load;
mod middle;
mod server;

use std::time::Duration;

use middle::Middle;

/// Client sessions, each with one call in flight.
const SESSIONS: [usize; 3] = [1, 32, 256];

fn main() {
    let seconds: f64 = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .next_back()
        .unwrap_or(2.0);
    let time = Duration::from_secs_f64(seconds);
    let upstream = server::over_http();
    let dir = tempfile::tempdir().unwrap();
    let middles = [
        Middle::none(upstream),
        Middle::proxy(upstream),
        Middle::gateway_over_http(upstream, &dir.path().join("http")),
        Middle::gateway_over_stdio(&dir.path().join("stdio")),
    ];
    println!("tools/call of 200 bytes, {seconds} s each, one thread in the middle\n");
    println!(
        "{:<20} {:>9} {:>12} {:>10} {:>14} {:>9}",
        "", "sessions", "calls/s", "p99 ms", "µs CPU a call", "x proxy"
    );
    for sessions in SESSIONS {
        let mut proxy = None;
        for middle in &middles {
            // Once to warm up, once to count.
            load::run(middle, sessions, time / 4);
            let before = middle.cpu();
            let run = load::run(middle, sessions, time);
            let cpu = middle.cpu().saturating_sub(before).as_secs_f64() * 1e6 / run.calls as f64;
            if middle.name == "hyper proxy" {
                proxy = Some(cpu);
            }
            let ratio = proxy
                .filter(|_| cpu > 0.0)
                .map_or(String::new(), |proxy| format!("{:.2}", cpu / proxy));
            println!(
                "{:<20} {:>9} {:>12.0} {:>10.2} {:>14.1} {:>9}",
                middle.name,
                sessions,
                run.calls as f64 / run.seconds,
                run.p99.as_secs_f64() * 1e3,
                cpu,
                ratio
            );
        }
        println!();
    }
}
