//! The public face of the metrics: families, series, caps, exposition.

use backstay_telemetry::{
    Format, LATENCY_SECONDS, LogLinear, MetricError, OVERFLOW, Options, Registry,
};

fn text(registry: &Registry) -> String {
    let mut out = Vec::new();
    registry.render(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn the_exposition_is_what_prometheus_reads() {
    let registry = Registry::new();
    let calls = registry
        .counter("calls_total", "Calls\nmade.", &["service", "tool"])
        .unwrap();
    calls.with(&["time", "con\"vert"]).add(2.0);
    registry
        .gauge("in_flight", "Calls in flight.", &[])
        .unwrap()
        .with(&[])
        .inc();
    let seconds = registry
        .histogram("seconds", "Time.", &["service"], &[0.5, 1.0])
        .unwrap();
    for value in [0.25, 0.5, 3.0] {
        seconds.with(&["time"]).observe(value);
    }
    let lines = r#"calls_total{service="time",tool="con\"vert"} 2
# HELP in_flight Calls in flight.
# TYPE in_flight gauge
in_flight 1
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{service="time",le="0.5"} 2
seconds_bucket{service="time",le="1.0"} 2
seconds_bucket{service="time",le="+Inf"} 3
seconds_count{service="time"} 3
seconds_sum{service="time"} 3.75
"#;
    let head = "# HELP calls_total Calls\\nmade.\n# TYPE calls_total counter\n";
    assert_eq!(text(&registry), format!("{head}{lines}"));

    let mut open = Vec::new();
    registry.render_as(Format::OpenMetrics, &mut open);
    let head = "# HELP calls Calls\\nmade.\n# TYPE calls counter\n";
    assert_eq!(
        String::from_utf8(open).unwrap(),
        format!("{head}{lines}# EOF\n")
    );
}

#[test]
fn a_second_exposition_shows_what_changed_since_the_first() {
    let registry = Registry::new();
    let family = registry.counter("calls", "Calls.", &["tool"]).unwrap();
    for i in 0..200 {
        family.with(&[&i.to_string()]).inc();
    }
    let first = text(&registry);
    assert_eq!(first, text(&registry));
    family.with(&["137"]).inc();
    family.remove(&["3"]);
    let second = text(&registry);
    assert!(second.contains("calls_total{tool=\"137\"} 2\n"));
    assert!(!second.contains("{tool=\"3\"}"));
    assert_eq!(second.lines().count(), first.lines().count() - 1);
}

#[test]
fn a_full_family_counts_the_rest_in_its_overflow_series() {
    let registry = Registry::new();
    let family = registry
        .counter_with("calls", "Calls.", &["tool"], Options { cap: 3 })
        .unwrap();
    for i in 0..10 {
        family.with(&[&i.to_string()]).inc();
    }
    assert_eq!(family.len(), 4);
    assert_eq!(family.overflowed(), 7);
    assert!((family.with(&[OVERFLOW]).value() - 7.0).abs() < f64::EPSILON);
}

#[test]
fn a_removed_series_starts_again_from_zero_and_its_old_handle_writes_to_nowhere() {
    let registry = Registry::new();
    let family = registry.counter("calls", "Calls.", &["tool"]).unwrap();
    let old = family.with(&["echo"]);
    old.inc();
    assert!(family.remove(&["echo"]));
    assert!(!family.remove(&["echo"]));
    for other in 100..170 {
        family.with(&[&other.to_string()]).inc();
    }
    old.add(777.0);
    assert!(!text(&registry).contains("77"));
    assert!((family.with(&["echo"]).value()).abs() < f64::EPSILON);
}

#[test]
fn a_sweep_takes_what_stood_still_and_nobody_holds() {
    let registry = Registry::new();
    let family = registry.gauge("load", "Load.", &["instance"]).unwrap();
    let held = family.with(&["held"]);
    held.set(1.0);
    family.with(&["still"]).set(1.0);
    family.with(&["moving"]).set(0.0);
    for round in 1..=3 {
        family.with(&["moving"]).set(f64::from(round));
        let gone = registry.sweep(2);
        assert_eq!(gone, usize::from(round == 3), "round {round}");
    }
    assert_eq!(family.len(), 2);
    assert!(text(&registry).contains("load{instance=\"held\"} 1"));
}

#[test]
fn registering_twice_gives_the_same_family_or_an_error() {
    let registry = Registry::new();
    registry
        .counter("calls", "Calls.", &["tool"])
        .unwrap()
        .with(&["echo"])
        .inc();
    let again = registry
        .counter("calls_total", "Calls.", &["tool"])
        .unwrap();
    assert!((again.with(&["echo"]).value() - 1.0).abs() < f64::EPSILON);
    let other = registry.gauge("calls", "Calls.", &["tool"]).unwrap_err();
    assert_eq!(
        other,
        MetricError::Registered {
            name: "calls".into()
        }
    );
    assert!(matches!(
        again.try_with(&[]),
        Err(MetricError::LabelCount {
            expected: 1,
            given: 0,
            ..
        })
    ));
    for bad in [&[1.0, 1.0][..], &[], &[f64::NAN]] {
        assert!(matches!(
            registry.histogram("h", "", &[], bad),
            Err(MetricError::InvalidBuckets { .. })
        ));
    }
    assert!(registry.unregister("calls") && !registry.unregister("calls"));
    assert_eq!(text(&registry), "");
}

#[test]
fn eight_threads_lose_nothing() {
    let registry = Registry::new();
    let family = registry
        .histogram("seconds", "Time.", &["service"], &LATENCY_SECONDS)
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (family, registry) = (family.clone(), registry.clone());
            scope.spawn(move || {
                for i in 0..5_000 {
                    family
                        .with(&[["a", "b", "c"][(i + thread) % 3]])
                        .observe(0.5);
                    if i % 1_000 == 0 {
                        let _ = text(&registry);
                    }
                }
            });
        }
    });
    let count: u64 = ["a", "b", "c"]
        .iter()
        .map(|service| family.with(&[service]).count())
        .sum();
    assert_eq!(count, 40_000);
    assert!((family.with(&["a"]).quantile(0.5).unwrap() - 0.375).abs() < 0.2);
}

#[test]
fn hooks_run_before_every_exposition() {
    let registry = Registry::new();
    let gauge = registry.gauge("uptime", "Uptime.", &[]).unwrap().with(&[]);
    registry.before_render(move || gauge.inc());
    assert!(text(&registry).contains("uptime 1\n"));
    let families: Vec<_> = registry.collect().collect();
    assert!((families[0].samples[0].value - 2.0).abs() < f64::EPSILON);
}

#[test]
fn a_log_linear_histogram_shows_a_line_for_each_power_of_two_and_knows_more() {
    let registry = Registry::new();
    let buckets = LogLinear::new(0.25, 1.0, 0.01);
    let seconds = registry
        .histogram_with("seconds", "Time.", &[], buckets, Options::default())
        .unwrap()
        .with(&[]);
    for hundredths in 1..=100 {
        seconds.observe(f64::from(hundredths) / 100.0);
    }
    let lines = r#"seconds_bucket{le="0.25"} 25
seconds_bucket{le="0.5"} 50
seconds_bucket{le="1.0"} 100
seconds_bucket{le="+Inf"} 100
seconds_count 100
"#;
    assert!(text(&registry).contains(lines), "{}", text(&registry));
    assert!((seconds.quantile(0.9).unwrap() - 0.9).abs() < 0.009);
    let refused = registry.histogram_with(
        "none",
        "",
        &[],
        LogLinear::new(0.0, 1.0, 0.1),
        Options::default(),
    );
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("lowest bound is not positive")
    );
}

#[test]
fn an_exposition_that_is_still_being_read_stays_as_it_was() {
    let registry = Registry::new();
    let calls = registry.counter("calls", "Calls.", &[]).unwrap().with(&[]);
    let before = registry.exposition(Format::Text);
    calls.inc();
    let after = registry.exposition(Format::Text);
    assert!(before.whole().unwrap().ends_with(b"calls_total 0\n"));
    assert!(after.whole().unwrap().ends_with(b"calls_total 1\n"));
}

#[test]
fn writers_among_readers_are_all_shown_in_the_end() {
    const ROUNDS: u32 = if cfg!(miri) { 30 } else { 3_000 };
    let registry = Registry::new();
    let calls = registry.counter("calls", "Calls.", &["tool"]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let calls = calls.clone();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    calls
                        .with(&[["a", "b", "c"][(round as usize + thread) % 3]])
                        .inc();
                }
            });
        }
        for _ in 0..ROUNDS / 10 {
            let _ = text(&registry);
        }
    });
    let shown: f64 = text(&registry)
        .lines()
        .filter_map(|line| {
            line.strip_prefix("calls_total{")?
                .split(' ')
                .nth(1)?
                .parse::<f64>()
                .ok()
        })
        .sum();
    assert!(
        (shown - f64::from(4 * ROUNDS)).abs() < f64::EPSILON,
        "{shown}"
    );
}
