//! The hit rates that are promised. They do not depend on the machine, so they are asserted.

#[path = "../benches/cache_traces/rates.rs"]
mod rates;

use backstay_benches::traces::{missions, named, others};
use rates::{belady, lru, moka, ours, quick_cache, warmed};

/// How near to the best peer is there.
const SLACK: f64 = 0.1;
/// Where all are equally good, as on uniform draws, luck alone makes such a difference.
const LUCK: f64 = 0.2;

#[test]
fn on_the_named_traces_we_are_at_the_best_peer_or_above() {
    for trace in named() {
        let best = lru(&trace).max(moka(&trace)).max(quick_cache(&trace));
        let ours = ours(&trace, 1);
        assert!(
            ours > best - SLACK,
            "{}: {ours:.2} %, the best peer {best:.2} %",
            trace.name
        );
        assert!(
            ours <= belady(&trace),
            "{}: nobody beats the optimum",
            trace.name
        );
    }
}

#[test]
fn on_no_trace_are_we_below_lru() {
    for trace in named().into_iter().chain(missions()).chain(others()) {
        let (ours, lru) = (ours(&trace, 1), lru(&trace));
        assert!(
            ours > lru - LUCK,
            "{}: {ours:.2} %, LRU {lru:.2} %",
            trace.name
        );
    }
}

#[test]
fn the_missions_workload_is_at_98_percent_where_there_is_something_to_predict() {
    let [any, runs]: [_; 2] = missions()
        .try_into()
        .unwrap_or_else(|_| panic!("there are two"));
    for trace in [&any, &runs] {
        let rate = lru(trace);
        assert!(
            (96.2..96.4).contains(&rate),
            "{}: LRU {rate:.2} %",
            trace.name
        );
    }
    let (warm, _) = warmed(&runs, 20);
    assert!(warm > 98.0, "{warm:.2} %");
    // Independent draws follow nothing: there loading ahead brings nothing, and takes nothing.
    let (warm, _) = warmed(&any, 20);
    assert!((warm - ours(&any, 1)).abs() < 1.0, "{warm:.2} %");
}
