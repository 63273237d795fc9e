//! The public face of the ledger, alone and under eight threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use backstay_ledger::{Amounts, Claim, Dimension, Ledger, LedgerError, MACHINE, Pool};
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
fn a_hundred_thousand_passing_names_leave_nothing_behind() {
    let pool = Pool::new("p", memory(10));
    pool.reserve("stays", memory(1)).unwrap();
    for i in 0..100_000 {
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

#[test]
fn a_quota_counts_in_the_pools_around_it_and_says_which_of_them_is_short() {
    let ledger = Ledger::new(memory(10));
    let fleet = ledger
        .add_quota("fleet", MACHINE, [None, Some(6), None, None])
        .unwrap();
    let web = ledger
        .add_quota("web", "fleet", [None, Some(4), None, None])
        .unwrap();
    let lease = web.reserve("web.1", memory(3)).unwrap();
    ledger.machine().hold("db.1", memory(2)).unwrap();
    assert_eq!(ledger.machine().usage().used, memory(5));
    let refused = |pool: &Pool, bytes| pool.reserve("x", memory(bytes)).unwrap_err().to_string();
    assert_eq!(
        refused(&web, 2),
        "`x` does not fit into pool `web`: memory 2 asked, 1 of 4 free; held by `web.1` 3"
    );
    assert_eq!(
        refused(&fleet, 4),
        "`x` does not fit into pool `fleet`: memory 4 asked, 3 of 6 free; held by `web/web.1` 3"
    );
    ledger.machine().hold("db.2", memory(5)).unwrap();
    assert_eq!(
        refused(&web, 1),
        "`x` does not fit into pool `machine`: memory 1 asked, 0 of 10 free; held by `db.2` 5, \
         `fleet/web/web.1` 3, `db.1` 2"
    );
    assert!(!web.fits(memory(1)));
    let holders = ledger.machine().holders().into_iter();
    let holders: Vec<String> = holders.map(|held| held.holder).collect();
    assert_eq!(holders, ["db.1", "db.2", "fleet/web/web.1"]);
    drop((fleet, web));
    assert!(matches!(
        ledger.remove_pool("fleet"),
        Err(LedgerError::PoolInUse { .. })
    ));
    assert!(lease.release());
    drop(lease);
    assert_eq!(ledger.machine().usage().used, memory(7));
    ledger.remove_pool("web").unwrap();
    ledger.remove_pool("fleet").unwrap();
    assert!(ledger.remove_pool(MACHINE).is_err() && ledger.remove_pool("web").is_err());
}

#[test]
fn a_claim_is_reserved_again_and_again_and_ends_only_its_own() {
    let pool = Pool::new("p", memory(10));
    let claim = pool.claim("a", memory(6));
    assert!(!claim.is_held() && !claim.release());
    for _ in 0..3 {
        claim.reserve().unwrap();
        assert!(claim.is_held() && !claim.try_reserve());
        assert_eq!(pool.held("a"), Some(memory(6)));
        assert!(claim.release() && !claim.release());
    }
    let other = pool.reserve("a", memory(1)).unwrap();
    assert!(!claim.release() && other.amounts().is_some());
    assert!(matches!(
        claim.reserve(),
        Err(LedgerError::AlreadyHeld { .. })
    ));
    pool.release("a").unwrap();
    pool.hold("b", memory(5)).unwrap();
    assert!(!claim.try_reserve());
    let error = claim.reserve().unwrap_err().to_string();
    assert!(error.ends_with("held by `b` 5"), "{error}");
    let huge = pool.claim("a", memory(u64::MAX));
    assert!(!huge.try_reserve() && huge.reserve().is_err());
}

#[test]
fn the_name_of_a_claim_is_not_forgotten_and_those_of_dropped_ones_are() {
    let pool = Pool::new("p", memory(10));
    let claim = pool.claim("kept", memory(1));
    for i in 0..5_000 {
        drop(pool.claim(&i.to_string(), memory(1)));
        let refused = pool.hold(&format!("refused.{i}"), memory(11));
        assert!(refused.is_err());
    }
    assert!(pool.remembered() <= 1_026, "{}", pool.remembered());
    claim.reserve().unwrap();
    assert!(matches!(
        pool.hold("kept", memory(1)),
        Err(LedgerError::AlreadyHeld { .. })
    ));
}

#[test]
fn who_holds_what_costs_what_the_answer_is_long() {
    let pool = Pool::new("p", memory(1 << 40));
    for i in 0..50_000 {
        pool.hold(&i.to_string(), memory(1)).unwrap();
    }
    for i in 3..50_000 {
        pool.release(&i.to_string()).unwrap();
    }
    assert_eq!(pool.holders().len(), 3);
    assert!(
        pool.remembered() <= 1_027,
        "{} names to walk over",
        pool.remembered()
    );
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

/// Eight threads inside nested quotas: never more than any of the three allows, never a refusal of what fits.
#[test]
fn eight_threads_share_nested_quotas() {
    let share = memory(7);
    let machine = Pool::new("machine", memory(8 * 7));
    let fleet = machine.quota("fleet", [None, Some(6 * 7), None, None]);
    let web = fleet.quota("web", [None, Some(4 * 7), None, None]);
    let pools = [&web, &web, &web, &web, &fleet, &fleet, &machine, &machine];
    std::thread::scope(|scope| {
        for (thread, pool) in pools.into_iter().enumerate() {
            let (machine, fleet) = (&machine, &fleet);
            scope.spawn(move || {
                let name = thread.to_string();
                for _ in 0..5_000 {
                    let lease = pool.reserve(&name, share).expect("each has its share");
                    let most = [machine, fleet].map(|pool| pool.usage());
                    assert!(
                        most.iter()
                            .all(|usage| usage.excess() == Amounts::default())
                    );
                    assert!(lease.release());
                }
            });
        }
    });
    for pool in [&machine, &fleet, &web] {
        assert_eq!(pool.usage().used, Amounts::default());
    }
}

/// What eight threads were told, put in the order of one counter, must be what a ledger kept by hand says.
///
/// A return counts before it is made and a grant after, so that the log never shows more than was held; and a
/// refusal must be explained by what could have been held while it was decided.
#[test]
fn what_eight_threads_are_told_agrees_with_a_sequential_ledger() {
    const CAPACITY: u64 = 1_009;
    let pool = Pool::new("p", memory(CAPACITY));
    let clock = AtomicU64::new(0);
    let now = || clock.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    // (before, after, amount): negative for a return; None for a refusal.
    let mut log: Vec<(u64, u64, i64, bool)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u64)
            .map(|thread| {
                let (pool, now) = (&pool, &now);
                scope.spawn(move || {
                    let (mut seed, mut log) = (thread + 1, Vec::new());
                    // Each holds one or two at any time, so that together they want more than there is.
                    let mut held: [Option<(Claim, i64)>; 2] = [None, None];
                    for round in 0..2_000 {
                        let mine = &mut held[round % 2];
                        if let Some((claim, amount)) = mine.take() {
                            let before = now();
                            assert!(claim.release());
                            log.push((before, now(), -amount, true));
                        }
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let amount = (seed >> 33) % 400;
                        let name = format!("{thread}.{}", round % 2);
                        let claim = pool.claim(&name, memory(amount));
                        let signed = i64::try_from(amount).unwrap();
                        let before = now();
                        let granted = claim.try_reserve();
                        log.push((before, now(), signed, granted));
                        *mine = granted.then_some((claim, signed));
                    }
                    for (claim, amount) in held.into_iter().flatten() {
                        let before = now();
                        assert!(claim.release());
                        log.push((before, now(), -amount, true));
                    }
                    log
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    log.sort_unstable();
    // What was held for certain at a moment: granted before it, and not yet on its way back.
    let held_for_certain = |at: u64| -> i64 {
        let done = log.iter().filter(|(before, after, amount, granted)| {
            *granted
                && if *amount >= 0 {
                    *after <= at
                } else {
                    *before <= at
                }
        });
        done.map(|(.., amount, _)| amount).sum()
    };
    // What may have been held at some moment between two.
    let held_at_most = |from: u64, to: u64| -> i64 {
        let begun = log.iter().filter(|(before, after, amount, granted)| {
            *granted
                && if *amount >= 0 {
                    *before <= to
                } else {
                    *after <= from
                }
        });
        begun.map(|(.., amount, _)| amount).sum()
    };
    let capacity = i64::try_from(CAPACITY).unwrap();
    let refusals = log.iter().filter(|(.., granted)| !granted);
    assert!(refusals.clone().count() > 10, "nothing was refused");
    for (before, after, amount, _) in refusals.step_by(17) {
        assert!(
            held_at_most(*before, *after) + amount > capacity,
            "{amount} was refused, and fitted all the time"
        );
    }
    for (_, after, ..) in log.iter().step_by(101) {
        assert!(held_for_certain(*after) <= capacity, "over-committed");
    }
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

#[test]
fn a_holder_looked_up_once_reserves_what_it_likes_and_its_name_stays_with_it() {
    let pool = Pool::new("p", memory(10));
    let holder = pool.holder("a");
    let mut lease = holder.reserve(memory(4)).unwrap();
    assert!(matches!(
        holder.hold(memory(1)),
        Err(LedgerError::AlreadyHeld { .. })
    ));
    let old = lease.clone();
    assert!(lease.release());
    // More names come and go than are remembered.
    for other in 0..3000 {
        pool.reserve(&other.to_string(), memory(1))
            .unwrap()
            .release();
    }
    holder.renew(&mut lease, memory(6)).unwrap();
    assert_eq!((lease.amounts(), old.amounts()), (Some(memory(6)), None));
    assert!(!old.release(), "an old handle ended a new reservation");
    assert_eq!(pool.held("a"), Some(memory(6)));
    let Err(LedgerError::DoesNotFit(_)) = pool.holder("b").hold(memory(5)) else {
        panic!("it fits")
    };
    holder.release().unwrap();
    assert!(matches!(holder.release(), Err(LedgerError::NotHeld { .. })));
    assert_eq!(pool.usage().used, memory(0));
    let mut of_another = pool.reserve("c", memory(1)).unwrap();
    holder.renew(&mut of_another, memory(2)).unwrap();
    assert_eq!(of_another.holder(), "a");
    assert_eq!(
        pool.held("c"),
        Some(memory(1)),
        "a handle that was used otherwise gives nothing back"
    );
}
