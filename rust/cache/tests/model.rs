//! A shelf against a map that forgets nothing: whatever it holds is what was set last and may still be given out.

use std::collections::{HashMap, HashSet};

use backstay_cache::{Lifetime, Limit, Shelf, Terms};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    Set {
        key: u8,
        cost: u64,
        ttl: Option<u64>,
        idle: Option<u64>,
        tag: Option<u8>,
    },
    Remove(u8),
    Invalidate(u8),
    Pass(u64),
    Sweep,
    Resize(u64),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..40_u8;
    let time = || prop::option::weighted(0.3, 1..300_u64);
    prop_oneof![
        8 => key.clone().prop_map(Step::Get),
        8 => (key.clone(), 1..6_u64, time(), time(), prop::option::of(0..4_u8))
            .prop_map(|(key, cost, ttl, idle, tag)| Step::Set { key, cost, ttl, idle, tag }),
        2 => key.prop_map(Step::Remove),
        1 => (0..4_u8).prop_map(Step::Invalidate),
        4 => (1..200_u64).prop_map(Step::Pass),
        1 => Just(Step::Sweep),
        1 => (6..30_u64).prop_map(Step::Resize),
        1 => Just(Step::Clear),
    ]
}

struct Known {
    value: u64,
    expires: u64,
    idle: u64,
    used: u64,
    tag: Option<u8>,
}

impl Known {
    fn over(&self, now: u64) -> bool {
        self.expires <= now || self.used.saturating_add(self.idle) <= now
    }
}

/// Few hashes, so that different keys share one.
fn hash(key: u8) -> u64 {
    u64::from(key % 16).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_shelf_holds_what_was_set_last_within_its_limit_and_its_time(
        capacity in 6..30_u64,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut shelf = Shelf::new(Limit::Cost(capacity));
        let mut model: HashMap<u8, Known> = HashMap::new();
        let mut capacity = capacity;
        let (mut now, mut next, mut hits, mut misses) = (0, 0, 0, 0);
        for step in steps {
            match step {
                Step::Get(key) => {
                    let got = shelf.find(hash(key), |&k| k == key).and_then(|place| {
                        let seen = shelf.peek(place, now).map(|(_, &value)| value);
                        let hit = shelf.hit(place, now).copied();
                        assert_eq!(seen, hit, "looking is not using, and sees the same");
                        hit
                    });
                    if let Some(value) = got {
                        let known = model.get_mut(&key).expect("only what was set is there");
                        prop_assert_eq!(value, known.value);
                        prop_assert!(!known.over(now));
                        known.used = now;
                        hits += 1;
                    } else {
                        let left = shelf.miss(now);
                        prop_assert!(left.into_iter().all(|(key, _)| model[&key].over(now)));
                        misses += 1;
                    }
                }
                Step::Set { key, cost, ttl, idle, tag } => {
                    next += 1;
                    let name = tag.map(|tag| tag.to_string());
                    let tags: Vec<&str> = name.as_deref().into_iter().collect();
                    let terms = Terms { cost, lifetime: Lifetime { ttl_ms: ttl, idle_ms: idle }, tags: &tags };
                    let found = shelf.find(hash(key), |&k| k == key);
                    let _ = shelf.insert(found, hash(key), (key, next), &terms, now).expect("it fits");
                    let forever = |ms: Option<u64>| ms.unwrap_or(u64::MAX / 2);
                    model.insert(key, Known {
                        value: next,
                        expires: now + forever(ttl),
                        idle: forever(idle),
                        used: now,
                        tag,
                    });
                    let place = shelf.find(hash(key), |&k| k == key).expect("what was set just now is there");
                    prop_assert_eq!(shelf.peek(place, now), Some((&key, &next)));
                }
                Step::Remove(key) => {
                    if let Some(place) = shelf.find(hash(key), |&k| k == key) {
                        prop_assert_eq!(shelf.remove(place).map(|entry| entry.0), Some(key));
                    }
                    model.remove(&key);
                }
                Step::Invalidate(tag) => {
                    let held: HashSet<u8> = shelf.held().map(|(&key, _)| key).collect();
                    let gone: HashSet<u8> = shelf.invalidate(&tag.to_string()).into_iter().map(|e| e.0).collect();
                    let borne: HashSet<u8> =
                        held.into_iter().filter(|key| model[key].tag == Some(tag)).collect();
                    prop_assert_eq!(&gone, &borne, "all that bear the tag, and no others");
                    model.retain(|_, known| known.tag != Some(tag));
                }
                Step::Pass(time) => now += time,
                Step::Sweep => {
                    for (key, _) in shelf.sweep(now) {
                        prop_assert!(model[&key].over(now));
                    }
                    prop_assert!(shelf.held().all(|(key, _)| !model[key].over(now)));
                }
                Step::Resize(to) => {
                    let _ = shelf.resize(to);
                    capacity = to;
                }
                Step::Clear => {
                    let _ = shelf.clear();
                    prop_assert!(shelf.is_empty());
                    model.clear();
                }
            }
            let stats = shelf.stats();
            prop_assert!(stats.cost <= capacity);
            prop_assert_eq!(stats.entries, shelf.held().count() as u64);
            prop_assert_eq!((stats.hits, stats.misses), (hits, misses));
        }
    }
}

#[test]
fn an_entry_that_costs_more_than_there_is_room_is_refused() {
    let mut shelf = Shelf::new(Limit::Cost(10));
    let terms = Terms {
        cost: 11,
        ..Terms::default()
    };
    let error = shelf
        .insert(None, 1, ("a", 1), &terms, 0)
        .expect_err("it does not fit");
    assert!(
        error.to_string().contains("costs 11, and at most 10 fits"),
        "{error}"
    );
    assert!(shelf.is_empty());
}

#[test]
fn one_insertion_sweeps_a_bounded_number_of_entries() {
    let mut shelf = Shelf::new(Limit::Entries(1000));
    let terms = Terms {
        lifetime: Lifetime {
            ttl_ms: Some(10),
            idle_ms: None,
        },
        ..Terms::default()
    };
    for key in 0..500_u64 {
        let _ = shelf.insert(None, key, (key, ()), &terms, 0);
    }
    let inserted = shelf
        .insert(None, 500, (500, ()), &terms, 1000)
        .expect("it fits");
    assert_eq!(inserted.left.len(), 4);
    assert_eq!(shelf.stats().expirations, 4);
}
