//! What does the gateway cost over a reverse proxy that knows nothing of MCP?
//!
//! The same 200-byte `tools/call`, from the same clients, to the same server: directly, through a bare
//! hyper reverse proxy, through nginx where that is installed, through the gateway over HTTP, and through the
//! gateway over stdio. Whatever stands in the middle has one thread, and its processor time is counted apart from
//! everybody else's. They take turns, round by round, so that a busy machine is busy for all of them; medians are
//! shown, and each ratio is the median of the rounds' own ratios.
//!
//! `cargo bench --bench gateway [-- SECONDS [NAME...]]`: only those whose name has one of the words in it.

#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a program of its own that prints its findings"
)]

mod load;
mod middle;

use std::time::Duration;

use middle::Middle;

/// Client sessions, each with one call in flight.
const SESSIONS: [usize; 3] = [1, 32, 256];
/// Turns that each middle has.
const ROUNDS: u32 = 5;

fn main() {
    let seconds: f64 = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .next_back()
        .unwrap_or(2.0);
    let words: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--") && arg.parse::<f64>().is_err())
        .collect();
    let turn = Duration::from_secs_f64(seconds) / ROUNDS;
    let upstream = middle::over_http();
    let dir = tempfile::tempdir().unwrap();
    let nginx = Middle::nginx(upstream, &dir.path().join("nginx"));
    if nginx.is_none() {
        println!("nginx is not installed (Debian: `apt-get install nginx`): going on without it\n");
    }
    let middles: Vec<_> = [Middle::none(upstream), Middle::proxy(upstream)]
        .into_iter()
        .chain(nginx)
        .chain([
            Middle::gateway_over_http(upstream, &dir.path().join("http")),
            Middle::gateway_over_stdio(&dir.path().join("stdio")),
        ])
        .filter(|middle| words.is_empty() || words.iter().any(|word| middle.name.contains(word)))
        .collect();
    println!(
        "tools/call of 200 bytes, {ROUNDS} turns of {:.2} s each, one thread in the middle\n",
        turn.as_secs_f64()
    );
    println!(
        "{:<16} {:>9} {:>9} {:>8} {:>14} {:>8} {:>8}",
        "", "sessions", "calls/s", "p99 ms", "µs CPU a call", "x proxy", "x nginx"
    );
    for sessions in SESSIONS {
        for middle in &middles {
            load::run(middle, sessions, turn / 4);
        }
        let mut rounds: Vec<Vec<Turn>> = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(
                middles
                    .iter()
                    .map(|middle| take_turn(middle, sessions, turn))
                    .collect(),
            );
        }
        for (index, middle) in middles.iter().enumerate() {
            let of =
                |what: fn(&Turn) -> f64| median(rounds.iter().map(|round| what(&round[index])));
            let over = |peer: &str| {
                let peer = middles.iter().position(|middle| middle.name == peer)?;
                let ratio = |round: &Vec<Turn>| round[index].cpu / round[peer].cpu;
                Some(median(rounds.iter().map(ratio))).filter(|ratio| *ratio > 0.0)
            };
            let shown = |ratio: Option<f64>| ratio.map_or(String::new(), |it| format!("{it:.2}"));
            println!(
                "{:<16} {:>9} {:>9.0} {:>8.2} {:>14.1} {:>8} {:>8}",
                middle.name,
                sessions,
                of(|turn| turn.rate),
                of(|turn| turn.p99_ms),
                of(|turn| turn.cpu),
                shown(over("hyper proxy")),
                shown(over("nginx")),
            );
        }
        println!();
    }
}

/// What one turn came to.
struct Turn {
    rate: f64,
    p99_ms: f64,
    /// Processor time a call, in µs.
    cpu: f64,
}

fn take_turn(middle: &Middle, sessions: usize, time: Duration) -> Turn {
    let run = load::run(middle, sessions, time);
    Turn {
        rate: run.calls as f64 / run.seconds,
        p99_ms: run.p99.as_secs_f64() * 1e3,
        cpu: run.cpu.as_secs_f64() * 1e6 / run.calls as f64,
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
