//! One workload, so many times over, for a tool that counts instructions: `workloads WORKLOAD TIMES`.
//!
//! Instructions do not depend on what else the machine does, so where they can stand for time they can be
//! held against a stored baseline on any machine. `benches/python/instructions.py` runs each workload at two
//! lengths under callgrind and takes the difference, which leaves start-up out. `benches/python/targeting.py`
//! runs them as built in several ways, and compares the processor time.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of its own that prints its findings"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use ahash::RandomState;
use backstay_cache::{Cache, Limit};
use backstay_graph::{Condition, Graph};
use backstay_ledger::{Amounts, Pool, Ports};
use backstay_mcp::{Envelope, Limits, RawJson, Rewrite};
use backstay_registry::{Instance, Registry};
use backstay_telemetry::{LATENCY_SECONDS, Registry as Series};
use bytes::Bytes;

/// To be compared with the system's allocator.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A name, and what runs it so many times.
type Workload = (&'static str, fn(u64));

const WORKLOADS: &[Workload] = &[
    ("ledger: reserve + release by name", ledger_by_name),
    ("ledger: reserve + release by lease", ledger_by_lease),
    ("ledger: reserve + release by claim", ledger_by_claim),
    ("ports: lease + release, 2,000 at 99 %", ports),
    ("graph: order of 1,000 services from names", graph_order),
    ("graph: a service comes and goes", graph_change),
    ("registry: look up among 10,000", registry_look_up),
    ("registry: register + deregister", registry_change),
    ("cache: get among 10,000", cache_get),
    ("cache: insert into a full one", cache_insert),
    ("telemetry: counter inc", counter),
    ("telemetry: find by two labels and inc", counter_by_labels),
    ("telemetry: histogram observe", histogram),
    (
        "telemetry: render 1,000 series, one changed",
        render_one_changed,
    ),
    ("mcp: read a call of 200 bytes", read_call),
    ("mcp: rewrite a call of 200 bytes", rewrite_call),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(times)) = (arguments.next(), arguments.next()) else {
        for (name, _) in WORKLOADS {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let work = WORKLOADS.iter().find(|(known, _)| *known == name);
    let (Some((_, work)), Ok(times)) = (work, times.parse()) else {
        eprintln!("usage: workloads [WORKLOAD TIMES]; without arguments it lists the workloads");
        return ExitCode::from(2);
    };
    work(times);
    ExitCode::SUCCESS
}

const WANT: Amounts = Amounts {
    cpu_milli: 500,
    memory: 1 << 29,
    storage: 0,
    gpu_milli: 0,
};

fn pool() -> Arc<Pool> {
    let pool = Pool::new(
        "machine",
        Amounts {
            cpu_milli: 1 << 20,
            memory: 1 << 44,
            ..Amounts::default()
        },
    );
    for i in 0..1000 {
        pool.reserve(&format!("other.{i}"), Amounts::default())
            .unwrap();
    }
    pool
}

fn ledger_by_name(times: u64) {
    let pool = pool();
    for _ in 0..times {
        black_box(pool.hold(black_box("web.1"), WANT).is_ok());
        black_box(pool.release(black_box("web.1")).is_ok());
    }
}

fn ledger_by_lease(times: u64) {
    let pool = pool();
    for _ in 0..times {
        if let Ok(lease) = pool.reserve(black_box("web.1"), WANT) {
            black_box(lease.release());
        }
    }
}

fn ledger_by_claim(times: u64) {
    let claim = pool().claim("web.1", WANT);
    for _ in 0..times {
        black_box(claim.try_reserve());
        black_box(claim.release());
    }
}

fn ports(times: u64) {
    let ports = Ports::new(30_000, 31_999).unwrap();
    let held: Vec<_> = (0..1980)
        .map(|i| ports.lease(&format!("other.{i}")).unwrap())
        .collect();
    for _ in 0..times {
        if let Ok(lease) = ports.lease(black_box("web.1")) {
            black_box(lease.release());
        }
    }
    drop(held);
}

fn graph_order(times: u64) {
    let names: Vec<String> = (0..1000).map(|i| format!("service-{i}")).collect();
    let edges: Vec<(usize, usize)> = (1..1000)
        .flat_map(|i| (1..=5).map(move |step| (i, (i * 31 * step) % i)))
        .collect();
    for _ in 0..times {
        let pairs = edges
            .iter()
            .map(|&(service, on)| (&*names[service], &*names[on]));
        let graph = Graph::from_edges(pairs);
        black_box(graph.order().unwrap().len());
    }
}

fn instance(service: &str, name: &str) -> Instance {
    Instance::new(service, name, None, [("", ""); 0])
}

/// A service that depends on five, in a graph of 1,000 that was sorted, and its end.
fn graph_change(times: u64) {
    let names: Vec<String> = (0..1000).map(|i| format!("service-{i}")).collect();
    let pairs = (1..1000).map(|i| (&*names[i], &*names[i / 2]));
    let mut graph = Graph::from_edges(pairs);
    black_box(graph.order().is_ok());
    for _ in 0..times {
        for on in &names[900..905] {
            graph.depend("new", on, Condition::default());
        }
        black_box(graph.cycles().len());
        black_box(graph.remove("new"));
    }
}

fn registry() -> Registry {
    let registry = Registry::new();
    for i in 0..10_000 {
        registry
            .register(instance(&format!("service-{i}"), &format!("service-{i}.1")))
            .unwrap();
    }
    registry
}

fn registry_look_up(times: u64) {
    let registry = registry();
    for _ in 0..times {
        black_box(registry.lookup(black_box("service-5000")));
    }
}

fn registry_change(times: u64) {
    let registry = registry();
    for _ in 0..times {
        let _ = black_box(registry.register(instance("new", "new.1")));
        black_box(registry.deregister("new.1"));
    }
}

const ENTRIES: u64 = 10_000;

/// Seeds of its own: which keys its policies sample, and so what they do, would differ from run to run.
fn cache() -> Cache<u64, u64, RandomState> {
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let cache = Cache::with(Limit::Entries(ENTRIES), 4, hasher);
    for key in 0..ENTRIES {
        let _ = cache.insert(key, key);
    }
    cache
}

fn cache_get(times: u64) {
    let cache = cache();
    for turn in 0..times {
        black_box(cache.get(black_box(&(turn % ENTRIES))));
    }
}

fn cache_insert(times: u64) {
    let cache = cache();
    for turn in 0..times {
        let _ = black_box(cache.insert(black_box(ENTRIES + turn), turn));
    }
}

fn counter(times: u64) {
    let series = Series::new();
    let one = series.counter("calls", "Calls", &[]).unwrap().with(&[]);
    for _ in 0..times {
        black_box(&one).inc();
    }
}

fn counter_by_labels(times: u64) {
    let series = Series::new();
    let calls = series
        .counter("calls", "Calls", &["service", "tool"])
        .unwrap();
    for _ in 0..times {
        calls.with(black_box(&["files", "read"])).inc();
    }
}

fn render_one_changed(times: u64) {
    let series = Series::new();
    let calls = series.counter("calls", "Calls", &["tool"]).unwrap();
    let all: Vec<_> = (0..1000).map(|i| calls.with(&[&i.to_string()])).collect();
    // Three digits stay three digits.
    for one in &all {
        one.add(100.0);
    }
    let mut out = Vec::new();
    for one in all
        .iter()
        .cycle()
        .step_by(7)
        .take(usize::try_from(times).unwrap())
    {
        one.inc();
        out.clear();
        series.render(black_box(&mut out));
    }
}

fn histogram(times: u64) {
    let series = Series::new();
    let family = series
        .histogram("seconds", "Time", &[], &LATENCY_SECONDS)
        .unwrap();
    let time = family.with(&[]);
    for _ in 0..times {
        black_box(&time).observe(black_box(0.017));
    }
}

fn call() -> Bytes {
    let text = "x".repeat(60);
    format!(
        r#"{{"jsonrpc":"2.0","id":123,"method":"tools/call","params":{{"name":"files__echo","arguments":{{"text":"{text}"}},"_meta":{{"progressToken":5}}}}}}"#
    )
    .into()
}

fn read_call(times: u64) {
    let call = call();
    for _ in 0..times {
        let _ = black_box(Envelope::parse(black_box(call.clone()), Limits::default()));
    }
}

fn rewrite_call(times: u64) {
    let (call, id) = (call(), RawJson::number(77));
    let mut out = Vec::new();
    for _ in 0..times {
        out.clear();
        let message = Envelope::parse(black_box(call.clone()), Limits::default()).unwrap();
        let rewrite = Rewrite {
            id: Some(&id),
            name: Some("echo"),
            ..Rewrite::default()
        };
        message.rewrite_into(&rewrite, &mut out);
        black_box(&out);
    }
}
