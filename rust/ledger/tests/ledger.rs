//! The public face of the ledger, alone and under eight threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use backstay_ledger::{Amounts, Dimension, Ledger, LedgerError, MACHINE, Pool};
use proptest::prelude::*;

fn memory(bytes: u64) -> Amounts {
    Amounts {
        memory: bytes,
        ..Amounts::default()
    }
}

#[test]
fn a_reservation_is_all_or_nothing() {
    let pool = Pool::new(
        "p",
        Amounts {
            cpu_milli: 1_000,
            memory: 100,
            storage: 10,
            gpu_milli: 0,
        },
    );
    let want = Amounts {
        cpu_milli: 500,
        memory: 50,
        storage: 11,
        gpu_milli: 1,
    };
    let Err(LedgerError::DoesNotFit(refusal)) = pool.reserve("web.1", want) else {
        panic!("it fits")
    };
    let short: Vec<Dimension> = refusal
        .shortages
        .iter()
        .map(|short| short.dimension)
        .collect();
    assert_eq!(short, [Dimension::Storage, Dimension::Gpus]);
    assert_eq!(pool.usage().used, Amounts::default());
}

#[test]
fn a_refusal_names_who_holds_most() {
    let pool = Pool::new(MACHINE, memory(8 << 30));
    pool.reserve("db.1", memory(5 << 30)).unwrap();
    pool.reserve("web.1", memory(2 << 30)).unwrap();
    let refusal = pool.reserve("cache.1", memory(2 << 30)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "`cache.1` does not fit into pool `machine`: memory 2Gi asked, 1Gi of 8Gi free; \
         held by `db.1` 5Gi, `web.1` 2Gi"
    );
}

#[test]
fn one_reservation_a_holder_and_each_is_given_back_once() {
    let pool = Pool::new("p", memory(10));
    let lease = pool.reserve("a", memory(4)).unwrap();
    let again = pool.reserve("a", memory(1)).unwrap_err();
    assert_eq!(
        again.to_string(),
        "`a` holds a reservation in pool `p` already"
    );
    assert!(lease.release() && !lease.release());
    assert!(matches!(
        pool.release("a"),
        Err(LedgerError::NotHeld { .. })
    ));
    let second = pool.reserve("a", memory(10)).unwrap();
    assert!(
        !lease.release(),
        "an old lease must not end a new reservation"
    );
    assert_eq!(pool.held("a"), Some(memory(10)));
    pool.release("a").unwrap();
    assert_eq!(second.amounts(), None);
    assert_eq!(pool.usage().used, Amounts::default());
}

#[test]
fn a_batch_is_all_or_nothing() {
    let pool = Pool::new("p", memory(10));
    assert!(
        pool.reserve_all(&[("a", memory(6)), ("b", memory(5))])
            .is_err()
    );
    assert!(pool.holders().is_empty());
    assert!(matches!(
        pool.reserve_all(&[("a", memory(1)), ("b", memory(2)), ("a", memory(3))]),
        Err(LedgerError::AlreadyHeld { .. })
    ));
    assert_eq!(pool.usage().used, Amounts::default());
    let huge = [("a", memory(u64::MAX)), ("b", memory(u64::MAX))];
    assert!(matches!(
        pool.reserve_all(&huge),
        Err(LedgerError::DoesNotFit(_))
    ));
    assert_eq!(
        pool.reserve_all(&[("a", memory(4)), ("b", memory(6))])
            .unwrap()
            .len(),
        2
    );
    assert_eq!(pool.held("b"), Some(memory(6)));
}

#[test]
fn a_shrunken_pool_names_the_excess_and_admits_nothing() {
    let pool = Pool::new("p", memory(10));
    pool.reserve("a", memory(8)).unwrap();
    let usage = pool.resize(memory(5)).unwrap();
    assert_eq!(
        (usage.excess(), usage.free()),
        (memory(3), Amounts::default())
    );
    assert!(pool.reserve("b", memory(1)).is_err());
    pool.release("a").unwrap();
    assert!(pool.reserve("b", memory(5)).is_ok());
}

#[test]
fn over_commitment_lends_more_than_there_is() {
    let pool = Pool::new(
        "p",
        Amounts {
            cpu_milli: 3_000,
            memory: 7,
            ..Amounts::default()
        },
    );
    let usage = pool.over_commit(Dimension::Cpus, 1_500).unwrap();
    assert_eq!(
        (usage.capacity.cpu_milli, usage.capacity.memory),
        (4_500, 7)
    );
    pool.resize(Amounts {
        cpu_milli: 1_001,
        ..Amounts::default()
    })
    .unwrap();
    assert_eq!(
        pool.usage().capacity.cpu_milli,
        1_501,
        "rounded down: never more than the ratio"
    );
}

#[test]
fn a_million_passing_names_leave_nothing_behind() {
    let pool = Pool::new("p", memory(10));
    pool.reserve("stays", memory(1)).unwrap();
    for i in 0..1_000_000 {
        let name = i.to_string();
        pool.reserve(&name, memory(1)).unwrap();
        pool.release(&name).unwrap();
    }
    assert!(
        pool.remembered() <= 1_025,
        "{} names remembered",
        pool.remembered()
    );
    assert_eq!(pool.holders().len(), 1);
}

#[test]
fn pools_are_apart_and_found_by_name() {
    let ledger = Ledger::new(memory(10));
    let disk = ledger
        .add_pool(
            "disk",
            Amounts {
                storage: 5,
                ..Amounts::default()
            },
        )
        .unwrap();
    disk.reserve(
        "a",
        Amounts {
            storage: 5,
            ..Amounts::default()
        },
    )
    .unwrap();
    ledger.machine().reserve("a", memory(10)).unwrap();
    assert_eq!(ledger.pools(), [MACHINE, "disk"]);
    assert!(matches!(
        ledger.add_pool("disk", memory(1)),
        Err(LedgerError::PoolExists { .. })
    ));
    assert!(matches!(
        ledger.add_pool(MACHINE, memory(1)),
        Err(LedgerError::PoolExists { .. })
    ));
    assert!(matches!(
        ledger.pool("tape"),
        Err(LedgerError::UnknownPool { .. })
    ));
}

/// Eight threads reserve and give back; what the books say at every moment must be possible.
#[test]
fn eight_threads_never_over_commit_and_leak_nothing() {
    const CAPACITY: u64 = 1_000_003;
    let pool = Pool::new(
        "p",
        Amounts {
            cpu_milli: 16_007,
            memory: CAPACITY,
            storage: 77,
            gpu_milli: 999,
        },
    );
    // What the threads themselves believe they hold: taken after the grant, given up before the return.
    let held: [AtomicU64; 4] = Default::default();
    let granted = AtomicU64::new(0);
    let (pool, held, granted) = (&pool, &held, &granted);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            scope.spawn(move || {
                let mut seed = thread + 1;
                let mut next = |below: u64| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed % below
                };
                let mut mine = BTreeMap::<String, Amounts>::new();
                let give_back = |name: &str, amounts: Amounts| {
                    for (sum, amount) in held.iter().zip(amounts.as_array()) {
                        sum.fetch_sub(amount, Relaxed);
                    }
                    assert_eq!(pool.held(name), Some(amounts));
                    pool.release(name).unwrap();
                };
                for _ in 0..30_000 {
                    let name = format!("{thread}.{}", next(4));
                    if let Some(amounts) = mine.remove(&name) {
                        give_back(&name, amounts);
                    } else {
                        let want =
                            Amounts::from_array([next(3_000), next(200_000), next(20), next(250)]);
                        if pool.reserve(&name, want).is_ok() {
                            granted.fetch_add(1, Relaxed);
                            let capacity = pool.usage().capacity.as_array();
                            for ((sum, amount), most) in
                                held.iter().zip(want.as_array()).zip(capacity)
                            {
                                let now = sum.fetch_add(amount, Relaxed) + amount;
                                assert!(now <= most, "more is held than there is");
                            }
                            mine.insert(name, want);
                        }
                    }
                }
                for (name, amounts) in mine {
                    give_back(&name, amounts);
                }
            });
        }
    });
    assert!(granted.load(Relaxed) > 1_000);
    assert_eq!(pool.usage().used, Amounts::default());
    assert!(pool.holders().is_empty());
}

/// Requests that always fit, whatever the interleaving, are never refused.
#[test]
fn eight_threads_are_never_refused_what_fits() {
    // Each thread holds at most one share of every dimension: together exactly the capacity.
    let share = Amounts {
        cpu_milli: 125,
        memory: 1_000_003,
        storage: 17,
        gpu_milli: 1,
    };
    let pool = &Pool::new(
        "p",
        Amounts::from_array(share.as_array().map(|each| each * 8)),
    );
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let name = thread.to_string();
                for _ in 0..20_000 {
                    let lease = pool
                        .reserve(&name, share)
                        .expect("there is room for all eight");
                    assert!(lease.release());
                }
            });
        }
        scope.spawn(move || {
            for _ in 0..2_000 {
                let capacity = pool.capacity();
                pool.resize(capacity).unwrap();
            }
        });
    });
    assert_eq!(pool.usage().used, Amounts::default());
}

#[test]
fn eight_threads_on_one_name_give_back_once_each() {
    let pool = &Pool::new("p", memory(1));
    let balance = &AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..20_000 {
                    match pool.reserve("one", memory(1)) {
                        Ok(_) => assert_eq!(balance.fetch_add(1, Relaxed), 0),
                        Err(LedgerError::AlreadyHeld { .. }) => {
                            // Only one of those who try may succeed.
                            if balance.swap(0, Relaxed) == 1 {
                                pool.release("one").unwrap();
                            }
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    let _ = pool.release("one");
    assert_eq!(pool.usage().used, Amounts::default());
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u8, [u64; 4]),
    Release(u8),
    Resize([u64; 4]),
}

fn step() -> impl Strategy<Value = Step> {
    let amounts = || prop::array::uniform4(0u64..12);
    prop_oneof![
        4 => (0u8..5, amounts()).prop_map(|(who, amounts)| Step::Reserve(who, amounts)),
        3 => (0u8..5).prop_map(Step::Release),
        1 => amounts().prop_map(Step::Resize),
    ]
}

proptest! {
    #[test]
    fn it_agrees_with_a_ledger_kept_by_hand(
        first in prop::array::uniform4(0u64..20),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let pool = Pool::new("p", Amounts::from_array(first));
        let (mut capacity, mut model) = (first, BTreeMap::<String, [u64; 4]>::new());
        for step in steps {
            let used: [u64; 4] = std::array::from_fn(|d| model.values().map(|held| held[d]).sum());
            match step {
                Step::Reserve(who, want) => {
                    let name = who.to_string();
                    let fits = (0..4).all(|d| want[d] <= capacity[d].saturating_sub(used[d]));
                    let got = pool.reserve(&name, Amounts::from_array(want));
                    match got {
                        Err(LedgerError::AlreadyHeld { .. }) => prop_assert!(model.contains_key(&name)),
                        Err(LedgerError::DoesNotFit(_)) => prop_assert!(!fits),
                        Err(other) => prop_assert!(false, "{other}"),
                        Ok(_) => {
                            prop_assert!(fits && model.insert(name, want).is_none());
                        }
                    }
                }
                Step::Release(who) => {
                    let name = who.to_string();
                    prop_assert_eq!(pool.held(&name).map(Amounts::as_array), model.get(&name).copied());
                    prop_assert_eq!(pool.release(&name).is_ok(), model.remove(&name).is_some());
                }
                Step::Resize(to) => {
                    let usage = pool.resize(Amounts::from_array(to)).unwrap();
                    prop_assert_eq!(usage.used.as_array(), used);
                    capacity = to;
                }
            }
            let holders: BTreeMap<String, [u64; 4]> =
                pool.holders().into_iter().map(|held| (held.holder, held.amounts.as_array())).collect();
            prop_assert_eq!(&holders, &model);
        }
    }
}
