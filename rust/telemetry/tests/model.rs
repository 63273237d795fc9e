//! The exposition against one that is written anew each time, through any course of events.

use std::collections::BTreeMap;

use backstay_telemetry::{Counter, Format, Gauge, Histogram, Options, Registry};
use proptest::prelude::*;

const BOUNDS: [f64; 2] = [1.0, 10.0];
const CAP: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    /// So many more: widths change when a digit is added.
    Count {
        label: u8,
        amount: u16,
    },
    /// In quarters: not whole, and exact.
    CountPart {
        label: u8,
        quarters: u8,
    },
    Set {
        label: u8,
        quarters: i32,
    },
    Observe {
        label: u8,
        quarters: u16,
    },
    Hold {
        label: u8,
    },
    Remove {
        label: u8,
    },
    Sweep,
    Unregister,
    Render,
}

fn step() -> impl Strategy<Value = Step> {
    // More labels than the cap, and few enough that they meet again.
    let label = 0u8..9;
    prop_oneof![
        4 => (label.clone(), 0u16..2_000).prop_map(|(label, amount)| Step::Count { label, amount }),
        1 => (label.clone(), 0u8..8).prop_map(|(label, quarters)| Step::CountPart { label, quarters }),
        3 => (label.clone(), -400i32..4_000).prop_map(|(label, quarters)| Step::Set { label, quarters }),
        3 => (label.clone(), 0u16..80).prop_map(|(label, quarters)| Step::Observe { label, quarters }),
        1 => label.clone().prop_map(|label| Step::Hold { label }),
        2 => label.prop_map(|label| Step::Remove { label }),
        1 => Just(Step::Sweep),
        1 => Just(Step::Unregister),
        4 => Just(Step::Render),
    ]
}

/// What a label's series of each family add up to.
#[derive(Default)]
struct Model {
    counts: BTreeMap<String, f64>,
    levels: BTreeMap<String, f64>,
    times: BTreeMap<String, Vec<f64>>,
}

fn series<'a, T: Default>(family: &'a mut BTreeMap<String, T>, label: &str) -> &'a mut T {
    let full = family.len() >= CAP;
    let label = if full && !family.contains_key(label) {
        "_other"
    } else {
        label
    };
    family.entry(label.to_owned()).or_default()
}

fn lines(model: &Model, format: Format) -> Vec<String> {
    let total = if format == Format::Text { "_total" } else { "" };
    let mut lines = vec![
        format!("# HELP calls{total} Calls"),
        format!("# TYPE calls{total} counter"),
        "# HELP level Level".to_owned(),
        "# TYPE level gauge".to_owned(),
        "# HELP seconds Time".to_owned(),
        "# TYPE seconds histogram".to_owned(),
    ];
    for (label, value) in &model.counts {
        lines.push(format!("calls_total{{tool=\"{label}\"}} {value}"));
    }
    for (label, value) in &model.levels {
        lines.push(format!("level{{tool=\"{label}\"}} {value}"));
    }
    for (label, seen) in &model.times {
        let label = format!("tool=\"{label}\"");
        for bound in BOUNDS {
            let count = seen.iter().filter(|&&value| value <= bound).count();
            lines.push(format!(
                "seconds_bucket{{{label},le=\"{bound:?}\"}} {count}"
            ));
        }
        lines.push(format!(
            "seconds_bucket{{{label},le=\"+Inf\"}} {}",
            seen.len()
        ));
        lines.push(format!("seconds_count{{{label}}} {}", seen.len()));
        lines.push(format!(
            "seconds_sum{{{label}}} {}",
            seen.iter().fold(0.0, |sum, value| sum + value)
        ));
    }
    if format == Format::OpenMetrics {
        lines.push("# EOF".to_owned());
    }
    lines.sort_unstable();
    lines
}

/// Handles that keep their series from the sweep.
#[derive(Default)]
struct Held {
    counts: BTreeMap<u8, Counter>,
    levels: BTreeMap<u8, Gauge>,
    times: BTreeMap<u8, Histogram>,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_exposition_is_always_what_writing_it_anew_would_give(
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let (registry, mut model, mut held) = (Registry::new(), Model::default(), Held::default());
        let options = Options { cap: CAP };
        let quarter = |quarters: i32| f64::from(quarters) / 4.0;
        for step in steps {
            // Registered anew where they were unregistered; the same ones otherwise.
            let calls = registry.counter_with("calls", "Calls", &["tool"], options).unwrap();
            let level = registry.gauge_with("level", "Level", &["tool"], options).unwrap();
            let seconds = registry
                .histogram_with("seconds", "Time", &["tool"], &BOUNDS[..], options)
                .unwrap();
            match step {
                Step::Count { label, amount } => {
                    let label = format!("t{label}");
                    calls.with(&[&label]).add(f64::from(amount));
                    *series(&mut model.counts, &label) += f64::from(amount);
                }
                Step::CountPart { label, quarters } => {
                    let label = format!("t{label}");
                    calls.with(&[&label]).add(quarter(quarters.into()));
                    *series(&mut model.counts, &label) += quarter(quarters.into());
                }
                Step::Set { label, quarters } => {
                    let label = format!("t{label}");
                    level.with(&[&label]).set(quarter(quarters));
                    *series(&mut model.levels, &label) = quarter(quarters);
                }
                Step::Observe { label, quarters } => {
                    let label = format!("t{label}");
                    seconds.with(&[&label]).observe(quarter(quarters.into()));
                    series(&mut model.times, &label).push(quarter(quarters.into()));
                }
                Step::Hold { label } => {
                    let name = format!("t{label}");
                    held.counts.insert(label, calls.with(&[&name]));
                    held.levels.insert(label, level.with(&[&name]));
                    held.times.insert(label, seconds.with(&[&name]));
                    series(&mut model.counts, &name);
                    series(&mut model.levels, &name);
                    series(&mut model.times, &name);
                }
                Step::Remove { label } => {
                    let name = format!("t{label}");
                    prop_assert_eq!(calls.remove(&[&name]), model.counts.remove(&name).is_some());
                    prop_assert_eq!(level.remove(&[&name]), model.levels.remove(&name).is_some());
                    prop_assert_eq!(seconds.remove(&[&name]), model.times.remove(&name).is_some());
                    // Who still holds one writes to nowhere.
                    held.counts.values().for_each(|held| if !is_shown(held) { held.inc(); });
                }
                Step::Sweep => {
                    // Twice: the first only remembers. What nobody holds goes.
                    held = Held::default();
                    registry.sweep(1);
                    registry.sweep(1);
                    model = Model::default();
                }
                Step::Unregister => {
                    prop_assert!(registry.unregister("level"));
                    model.levels.clear();
                    registry.gauge_with("level", "Level", &["tool"], options).unwrap();
                }
                Step::Render => {
                    for format in [Format::Text, Format::OpenMetrics] {
                        let mut out = Vec::new();
                        registry.render_as(format, &mut out);
                        let text = String::from_utf8(out).unwrap();
                        let mut shown: Vec<&str> = text.lines().collect();
                        shown.sort_unstable();
                        prop_assert_eq!(shown, lines(&model, format));
                    }
                }
            }
        }
    }
}

fn is_shown(counter: &Counter) -> bool {
    backstay_telemetry::Handle::is_current(counter)
}
