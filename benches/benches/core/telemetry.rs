//! Count, and render a hundred thousand series, beside the prometheus-client crate.

use std::hint::black_box;
use std::time::{Duration, Instant};

use backstay_telemetry::{LATENCY_SECONDS, LogLinear, Options, Registry};
use criterion::Criterion;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as Theirs;
use prometheus_client::metrics::family::Family as TheirFamily;

const SERIES: usize = 100_000;

type Labels = [(&'static str, String); 2];

fn labels(i: usize) -> [String; 2] {
    [format!("service-{}", i % 100), format!("tool-{i}")]
}

pub(crate) fn all(criterion: &mut Criterion) {
    let registry = Registry::new();
    let options = Options { cap: SERIES };
    let (Ok(calls), Ok(seconds), Ok(fine)) = (
        registry.counter_with("calls", "Calls", &["service", "tool"], options),
        registry.histogram("seconds", "Time", &[], &LATENCY_SECONDS),
        registry.histogram_with(
            "fine",
            "Time",
            &[],
            LogLinear::new(1e-6, 3600.0, 0.05),
            Options::default(),
        ),
    ) else {
        return;
    };
    let theirs = TheirFamily::<Labels, Theirs>::default();
    let mut their_registry = prometheus_client::registry::Registry::default();
    their_registry.register("calls", "Calls", theirs.clone());

    let mut group = criterion.benchmark_group("telemetry");
    let (one, time, fine) = (
        calls.with(&["files", "read"]),
        seconds.with(&[]),
        fine.with(&[]),
    );
    let theirs_plain: Theirs = Theirs::default();
    group.bench_function("inc", |bench| bench.iter(|| one.inc()));
    group.bench_function("inc, prometheus-client", |bench| {
        bench.iter(|| theirs_plain.inc());
    });
    group.bench_function("find by two labels and inc", |bench| {
        bench.iter(|| calls.with(black_box(&["files", "read"])).inc());
    });
    group.bench_function("find by two labels and inc, prometheus-client", |bench| {
        bench.iter(|| {
            let labels = [("service", "files".to_owned()), ("tool", "read".to_owned())];
            theirs.get_or_create(black_box(&labels)).inc()
        });
    });
    group.bench_function("observe", |bench| {
        bench.iter(|| time.observe(black_box(0.017)));
    });
    group.bench_function("observe, log-linear", |bench| {
        bench.iter(|| fine.observe(black_box(0.017)));
    });

    let all: Vec<_> = (1..SERIES)
        .map(|i| {
            let [service, tool] = labels(i);
            theirs
                .get_or_create(&[("service", service.clone()), ("tool", tool.clone())])
                .inc();
            calls.with(&[&service, &tool])
        })
        .collect();
    let (mut out, mut text) = (Vec::new(), String::new());
    group.sample_size(10);
    let mut render = |name: &str, step: usize| {
        let (registry, all, out) = (&registry, &all, &mut out);
        group.bench_function(format!("render 100,000 series, {name}"), |bench| {
            // What changes the series is not part of what is timed: the peer's do not change at all.
            bench.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    if step > 0 {
                        all.iter()
                            .step_by(step)
                            .for_each(backstay_telemetry::Counter::inc);
                    }
                    out.clear();
                    let began = Instant::now();
                    registry.render(out);
                    took += began.elapsed();
                }
                took
            });
        });
    };
    render("unchanged", 0);
    render("one in 64 changed", 64);
    render("all changed", 1);
    group.bench_function("render 100,000 series, prometheus-client", |bench| {
        bench.iter(|| {
            text.clear();
            let _ = encode(&mut text, &their_registry);
        });
    });
    let mut copy = Vec::with_capacity(out.len());
    group.bench_function("memcpy of the same", |bench| {
        bench.iter(|| {
            copy.clear();
            copy.extend_from_slice(black_box(&out));
            black_box(&copy);
        });
    });
    group.finish();
}
