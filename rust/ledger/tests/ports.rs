//! The public face of the ports.

use std::collections::BTreeMap;
use std::net::TcpListener;

use backstay_ledger::{PortError, Ports, is_free};
use proptest::prelude::*;

#[test]
fn the_lowest_free_port_goes_first() {
    let ports = Ports::new(30_000, 30_999).unwrap();
    let leases: Vec<_> = (0..3)
        .map(|i| ports.lease(&format!("s.{i}")).unwrap())
        .collect();
    assert_eq!(
        leases
            .iter()
            .map(backstay_ledger::PortLease::port)
            .collect::<Vec<_>>(),
        [30_000, 30_001, 30_002]
    );
    assert_eq!(ports.free(), 997);
}

#[test]
fn a_port_just_given_back_waits_but_not_for_its_former_holder() {
    let ports = Ports::new(30_000, 30_015).unwrap();
    assert!(ports.lease("a").unwrap().release());
    assert_eq!(ports.lease("b").unwrap().port(), 30_001);
    assert_eq!(ports.lease("a").unwrap().port(), 30_000);
}

#[test]
fn the_quarantine_ends_when_enough_others_followed_or_nothing_else_is_left() {
    let ports = Ports::new(30_000, 30_007).unwrap();
    for holder in ["a", "b", "c"] {
        ports.lease(holder).unwrap();
    }
    for port in 30_000..30_003 {
        ports.release(port).unwrap();
    }
    assert_eq!(
        ports.lease("d").unwrap().port(),
        30_000,
        "two wait at most: a quarter of eight"
    );
    let rest: Vec<u16> = (0..7)
        .map(|i| ports.lease(&format!("e.{i}")).unwrap().port())
        .collect();
    assert_eq!(
        rest,
        [30_003, 30_004, 30_005, 30_006, 30_007, 30_001, 30_002]
    );
    assert_eq!(
        ports.lease("f").unwrap_err(),
        PortError::Exhausted {
            first: 30_000,
            last: 30_007
        }
    );
}

#[test]
fn a_fixed_port_is_refused_with_its_holder_and_may_lie_outside() {
    let ports = Ports::new(30_000, 30_001).unwrap();
    let redis = ports.lease_fixed("redis", 6379).unwrap();
    let held = ports.lease_fixed("other", 6379).unwrap_err();
    assert_eq!(held.to_string(), "port 6379 is held by `redis`");
    assert!(redis.release() && !redis.is_held());
    assert!(ports.lease_fixed("other", 6379).is_ok());
    ports.lease_fixed("web", 30_000).unwrap();
    assert_eq!(ports.lease("db").unwrap().port(), 30_001);
    assert!(
        ports.lease_fixed("zero", 0).is_err()
            && Ports::new(0, 5).is_err()
            && Ports::new(5, 4).is_err()
    );
}

#[test]
fn a_port_that_a_stranger_uses_is_passed_over_and_tried_last() {
    let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = stranger.local_addr().unwrap().port();
    assert!(!is_free(taken));
    let ports = Ports::new(taken, taken.saturating_add(7)).unwrap();
    let lease = ports.lease_probed("web", |port| port != taken).unwrap();
    assert_eq!(lease.port(), taken + 1);
    assert_eq!(ports.lease("db").unwrap().port(), taken + 2);
    let error = ports.lease_fixed_probed("web", taken, is_free).unwrap_err();
    assert_eq!(error, PortError::Stranger { port: taken });
    assert_eq!(ports.holder(taken), None);
    let none = Ports::new(taken, taken)
        .unwrap()
        .lease_probed("web", |_| false);
    assert!(matches!(none, Err(PortError::Exhausted { .. })));
}

#[test]
fn an_old_lease_gives_nothing_back() {
    let ports = Ports::new(30_000, 30_000).unwrap();
    let first = ports.lease("a").unwrap();
    ports.release(30_000).unwrap();
    let second = ports.lease("b").unwrap();
    assert!(!first.release() && !first.is_held() && second.is_held());
    assert_eq!(ports.holders(), [(30_000, "b".into())]);
    assert_eq!(ports.release(7), Err(PortError::NotHeld { port: 7 }));
}

#[test]
fn a_hundred_thousand_passing_holders_get_their_ports_and_leave() {
    let ports = Ports::new(30_000, 30_003).unwrap();
    for i in 0..100_000 {
        let lease = ports.lease(&format!("s.{i}")).unwrap();
        assert!(lease.release());
    }
    assert!(
        ports.remembered() <= 2 * 4 + 65,
        "{} holders remembered",
        ports.remembered()
    );
    assert_eq!(ports.free(), 4);
}

#[test]
fn eight_threads_never_share_a_port() {
    let ports = &Ports::new(30_000, 30_063).unwrap();
    let held: Vec<std::sync::atomic::AtomicBool> = (0..64).map(|_| false.into()).collect();
    let held = &held;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                use std::sync::atomic::Ordering::Relaxed;
                let name = format!("s.{thread}");
                for _ in 0..5_000 {
                    let leases: Vec<_> = (0..8).map(|_| ports.lease(&name).unwrap()).collect();
                    for lease in leases {
                        let at = &held[usize::from(lease.port() - 30_000)];
                        assert!(!at.swap(true, Relaxed), "two hold port {}", lease.port());
                        at.store(false, Relaxed);
                        assert!(lease.release());
                    }
                }
            });
        }
    });
    assert_eq!(ports.free(), 64);
}

proptest! {
    #[test]
    fn it_agrees_with_a_plain_map(
        steps in prop::collection::vec((0u8..4, 0u8..4, 29_998u16..30_014), 0..200),
    ) {
        let ports = Ports::new(30_000, 30_011).unwrap();
        let mut model = BTreeMap::<u16, String>::new();
        for (action, who, port) in steps {
            let name = format!("s.{who}");
            match action {
                0 => {
                    let inside = model.range(30_000..=30_011).count();
                    if let Ok(lease) = ports.lease(&name) {
                        prop_assert!((30_000..=30_011).contains(&lease.port()));
                        prop_assert!(model.insert(lease.port(), name).is_none());
                    } else {
                        prop_assert_eq!(inside, 12);
                    }
                }
                1 => match ports.lease_fixed(&name, port) {
                    Ok(_) => prop_assert!(model.insert(port, name).is_none()),
                    Err(PortError::Held { holder, .. }) => prop_assert_eq!(Some(&holder), model.get(&port)),
                    Err(other) => prop_assert!(false, "{}", other),
                },
                _ => prop_assert_eq!(ports.release(port).is_ok(), model.remove(&port).is_some()),
            }
            let held: BTreeMap<u16, String> =
                ports.holders().into_iter().map(|(port, holder)| (port, holder.to_string())).collect();
            prop_assert_eq!(&held, &model);
        }
    }
}
