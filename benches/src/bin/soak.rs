//! A long run over all core structures, to see that memory stays flat: `soak [OPERATIONS] [--unbounded]`, 100 million
//! if not told otherwise. Unbounded, it may grow: too short a run, or one under valgrind, says nothing of that.
//!
//! Names and keys change all the time, so that whatever remembers one too long shows. Resident memory is
//! read after a tenth of the run, when every cap has been reached, and at the end; more than [`GROWTH`]
//! between the two fails.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of its own that prints its findings"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use backstay_cache::{Cache, Limit};
use backstay_graph::{Condition, Graph};
use backstay_ledger::{Amounts, Pool, Ports};
use backstay_registry::{Instance, Registry};
use backstay_telemetry::{Options, Registry as Series};

const OPERATIONS: u64 = 100_000_000;
/// Names in use; far more than any cap below.
const NAMES: u64 = 200_000;
/// Resident bytes that a run may gain after its first tenth: what the allocator itself wanders.
const GROWTH: u64 = 4 << 20;
/// Parts of the run, with a line each.
const PARTS: u64 = 10;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let unbounded = arguments.pop_if(|last| last == "--unbounded").is_some();
    let operations = match arguments.first().map(|text| text.parse()) {
        None => OPERATIONS,
        Some(Ok(operations)) => operations,
        Some(Err(_)) => {
            eprintln!("usage: soak [OPERATIONS] [--unbounded]");
            return ExitCode::from(2);
        }
    };
    let structures = Structures::new();
    let mut settled = 0;
    for part in 0..PARTS {
        let (from, to) = (operations * part / PARTS, operations * (part + 1) / PARTS);
        structures.run(from / Structures::PER_TURN, to / Structures::PER_TURN);
        let resident = resident();
        println!("{to:>12} operations, {:>8} KiB resident", resident >> 10);
        if part == 0 {
            settled = resident;
        }
    }
    let grown = resident().saturating_sub(settled);
    println!("grown by {} KiB since the first tenth", grown >> 10);
    if grown > GROWTH && !unbounded {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kilobytes.unwrap().parse::<u64>().unwrap() << 10
}

struct Structures {
    pool: Arc<Pool>,
    ports: Ports,
    registry: Registry,
    series: Series,
    cache: Cache<String, Box<[u8]>>,
}

impl Structures {
    /// Operations that one turn counts for.
    const PER_TURN: u64 = 10;

    fn new() -> Self {
        let capacity = Amounts {
            cpu_milli: 1 << 30,
            memory: 1 << 40,
            ..Amounts::default()
        };
        Self {
            pool: Pool::new("machine", capacity),
            ports: Ports::new(30_000, 31_999).unwrap(),
            registry: Registry::new(),
            series: Series::new(),
            cache: Cache::new(Limit::Entries(10_000)),
        }
    }

    fn run(&self, from: u64, to: u64) {
        let calls = self
            .series
            .counter_with("calls", "Calls", &["tool"], Options { cap: 1000 })
            .unwrap();
        for turn in from..to {
            // An odd stride visits every name, in no order.
            let name = format!("service-{}", turn.wrapping_mul(7_919) % NAMES);
            self.books(&name);
            self.names(&name);
            calls.with(&[&name]).inc();
            self.answers(&name, turn);
            if turn.is_multiple_of(4096) {
                self.rarely(&calls, turn);
            }
        }
    }

    /// Four operations: reserve, release, lease, give back.
    fn books(&self, name: &str) {
        let want = Amounts {
            cpu_milli: 1,
            memory: 4096,
            ..Amounts::default()
        };
        let lease = self.pool.reserve(name, want).unwrap();
        let port = self.ports.lease(name).unwrap();
        assert!(port.release() && lease.release());
    }

    /// Three operations: register, look up, take out.
    fn names(&self, name: &str) {
        let instance = Instance::new(name, name, None, [("zone", name)]);
        self.registry.register(instance).unwrap();
        black_box(self.registry.lookup(name));
        self.registry.deregister(name).unwrap();
    }

    /// Two operations: look into the cache, and keep an answer there, each of another size.
    fn answers(&self, name: &str, turn: u64) {
        black_box(self.cache.get(name));
        let size = usize::try_from(turn % 512).unwrap_or_default();
        let _ = self.cache.insert(name.to_owned(), vec![0; size].into());
    }

    /// What happens per deploy or per scrape.
    fn rarely(&self, calls: &backstay_telemetry::CounterFamily, turn: u64) {
        let mut out = Vec::new();
        self.series.render(&mut out);
        calls.retain(|labels| labels[0].len() % 2 == usize::from(turn.is_multiple_of(8192)));
        let mut graph = Graph::new();
        for i in 1..200 {
            let (service, on) = (format!("{turn}-{i}"), format!("{turn}-{}", i / 2));
            graph.depend(&service, &on, Condition::default());
        }
        graph.remove(&format!("{turn}-7"));
        black_box(graph.order().unwrap().len());
        let (snapshot, watcher) = self.registry.snapshot_and_watch(None, 16);
        black_box((snapshot, watcher));
    }
}
