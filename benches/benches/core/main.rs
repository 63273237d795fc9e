//! The core structures beside what one would otherwise take: `cargo bench --bench core`.

mod cache;
mod graph;
mod ledger;
mod ports;
mod registry;
mod telemetry;
mod traffic;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    eprintln!("this machine has {cores} cores; more threads than that share them");
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(20)
        .configure_from_args();
    ledger::all(&mut criterion);
    ports::all(&mut criterion);
    graph::all(&mut criterion);
    registry::all(&mut criterion);
    cache::all(&mut criterion);
    telemetry::all(&mut criterion);
    traffic::all(&mut criterion);
    criterion.final_summary();
}
