//! Hit rates on all traces, ours beside others': `cargo bench --bench cache_traces`. The same in every run.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]

mod rates;

use backstay_benches::traces::{Trace, missions, named, others};
use rates::{belady, lru, moka, ours, quick_cache, warmed};

fn main() {
    println!(
        "{:28} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8}",
        "hit %", "ours", "4 shards", "lru", "moka", "quick", "Belady", "entries"
    );
    let missions = missions();
    for trace in named().iter().chain(&missions).chain(&others()) {
        line(trace);
    }
    for trace in &missions {
        for ahead in [1, 4, 20] {
            let (hits, loads) = warmed(trace, ahead);
            println!(
                "{}: {hits:.2} % with {ahead} loaded ahead, {:+.2} by that, for {loads:.2} loads per 100 operations",
                trace.name,
                hits - ours(trace, 1),
            );
        }
    }
}

fn line(trace: &Trace) {
    println!(
        "{:28} {:7.2} {:8.2} {:7.2} {:7.2} {:7.2} {:7.2} {:8}",
        trace.name,
        ours(trace, 1),
        ours(trace, 4),
        lru(trace),
        moka(trace),
        quick_cache(trace),
        belady(trace),
        trace.capacity,
    );
}
