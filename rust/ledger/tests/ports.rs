//! The public face of the ports.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

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
fn a_bound_lease_comes_with_the_socket_and_passes_over_strangers() {
    let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = stranger.local_addr().unwrap().port();
    let ports = Ports::new(taken, taken.saturating_add(30)).unwrap();
    let host = Ipv4Addr::LOCALHOST.into();
    let (lease, listener) = ports.lease_bound("web", None, host).unwrap();
    assert!(lease.port() > taken && ports.holder(taken).is_none());
    assert_eq!(listener.local_addr().unwrap().port(), lease.port());
    TcpStream::connect(("127.0.0.1", lease.port())).unwrap();
    let error = ports.lease_bound("db", Some(taken), host).unwrap_err();
    assert_eq!(error, PortError::Stranger { port: taken });
    assert_eq!(
        lease.listen(host).unwrap_err(),
        PortError::Stranger { port: lease.port() }
    );
    drop(listener);
    drop(lease.listen(host).unwrap());
    lease.release();
    let error = lease.listen(host).unwrap_err();
    assert_eq!(error, PortError::NotHeld { port: lease.port() });
    // An address that is not this machine's is no stranger's port: the search ends at once.
    let nowhere = Ipv4Addr::new(192, 0, 2, 1).into();
    let error = ports.lease_bound("web", None, nowhere).unwrap_err();
    assert!(matches!(error, PortError::Bind { .. }), "{error}");
    assert!(ports.holders().is_empty());
}

#[test]
fn a_preferred_port_is_given_if_it_is_free_and_another_if_not() {
    let ports = Ports::new(30_000, 30_009).unwrap();
    assert_eq!(ports.lease_preferred("a", 30_005).unwrap().port(), 30_005);
    assert_eq!(ports.lease_preferred("b", 30_005).unwrap().port(), 30_000);
}

#[test]
fn a_run_is_the_lowest_ports_in_a_row_or_nothing() {
    let ports = Ports::new(30_000, 30_009).unwrap();
    ports.lease_fixed("a", 30_002).unwrap();
    let run = ports.lease_run("web", 3).unwrap();
    let numbers: Vec<u16> = run.iter().map(backstay_ledger::PortLease::port).collect();
    assert_eq!(numbers, [30_003, 30_004, 30_005]);
    let error = ports.lease_run("db", 5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no 5 ports in a row are free in 30000-30009"
    );
    assert_eq!(ports.free(), 6);
    assert_eq!(ports.lease_run("db", 4).unwrap()[0].port(), 30_006);
    assert!(ports.lease_run("db", 0).is_err());
}

#[test]
fn a_held_port_is_given_back_once() {
    let ports = Ports::new(30_000, 30_009).unwrap();
    let held = ports.hold("a").unwrap();
    assert!(ports.give_back(held) && !ports.give_back(held));
    let lease = ports.lease("a").unwrap();
    assert_eq!(lease.port(), held.port());
    assert!(!ports.give_back(held) && lease.is_held());
}

#[test]
fn several_former_ports_come_back_newest_first_and_go_to_others_in_between() {
    let ports = Ports::new(30_000, 30_003).unwrap();
    for port in [30_000, 30_001, 30_002] {
        ports.lease_fixed("a", port).unwrap().release();
    }
    // From the middle of `a`'s list.
    ports.lease_fixed("b", 30_001).unwrap();
    assert_eq!(ports.lease("a").unwrap().port(), 30_002);
    assert_eq!(ports.lease("a").unwrap().port(), 30_000);
    assert_eq!(ports.lease("a").unwrap().port(), 30_003);
    assert!(ports.lease("a").is_err());
    assert_eq!(ports.remembered(), 2);
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
        ports.remembered() <= 4,
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

/// What the rules say, kept in plain lists.
#[derive(Default)]
struct Model {
    held: BTreeMap<u16, String>,
    /// Free ports by their last holder, newest last.
    former: Vec<(String, u16)>,
    quarantine: Vec<u16>,
}

impl Model {
    const RANGE: std::ops::RangeInclusive<u16> = 30_000..=30_011;

    fn pick(&self, who: &str) -> Option<u16> {
        let former = self.former.iter().rev().find(|(name, _)| name == who);
        let waits = |port: &u16| self.quarantine.contains(port);
        let ready = { Self::RANGE }.find(|port| !self.held.contains_key(port) && !waits(port));
        former
            .map(|(_, port)| *port)
            .or(ready)
            .or(self.quarantine.first().copied())
    }

    fn take(&mut self, who: &str, port: u16) {
        self.held.insert(port, who.to_owned());
        self.former.retain(|(_, other)| *other != port);
        self.quarantine.retain(|other| *other != port);
    }

    fn give(&mut self, port: u16) -> bool {
        let Some(who) = self.held.remove(&port) else {
            return false;
        };
        if Self::RANGE.contains(&port) {
            self.former.push((who, port));
            self.quarantine.push(port);
            if self.quarantine.len() > 3 {
                self.quarantine.remove(0);
            }
        }
        true
    }
}

proptest! {
    #[test]
    fn it_agrees_with_plain_lists(
        steps in prop::collection::vec((0u8..5, 0u8..4, 29_998u16..30_014), 0..200),
    ) {
        let ports = Ports::new(*Model::RANGE.start(), *Model::RANGE.end()).unwrap();
        let mut model = Model::default();
        for (action, who, port) in steps {
            let name = format!("s.{who}");
            match action {
                0 | 1 => {
                    let picked = model.pick(&name);
                    let lease = ports.lease(&name).ok();
                    prop_assert_eq!(lease.as_ref().map(backstay_ledger::PortLease::port), picked);
                    if let Some(port) = picked {
                        model.take(&name, port);
                    }
                }
                2 => match ports.lease_fixed(&name, port) {
                    Ok(_) => {
                        prop_assert!(!model.held.contains_key(&port));
                        model.take(&name, port);
                    }
                    Err(PortError::Held { holder, .. }) => {
                        prop_assert_eq!(Some(&holder), model.held.get(&port));
                    }
                    Err(other) => prop_assert!(false, "{}", other),
                },
                _ => prop_assert_eq!(ports.release(port).is_ok(), model.give(port)),
            }
            let held: BTreeMap<u16, String> =
                ports.holders().into_iter().map(|(port, holder)| (port, holder.to_string())).collect();
            prop_assert_eq!(&held, &model.held);
            let inside = model.held.range(Model::RANGE).count();
            prop_assert_eq!(ports.free(), 12 - inside);
            prop_assert!(ports.remembered() <= 12);
        }
    }
}

#[test]
fn a_lease_renewed_is_the_handle_to_another_port_of_the_same_holder() {
    let ports = Ports::new(30_000, 30_001).unwrap();
    let mut lease = ports.lease("a").unwrap();
    let old = lease.clone();
    assert!(lease.release());
    ports.renew(&mut lease).unwrap();
    assert_eq!((lease.port(), lease.holder()), (30_000, "a"));
    assert!(lease.is_held() && !old.is_held() && !old.release());
    ports.renew(&mut lease).unwrap();
    assert_eq!(lease.port(), 30_001);
    assert!(ports.renew(&mut lease).is_err());
    assert_eq!(lease.port(), 30_001, "a refusal changed the handle");
    assert_eq!(
        ports.free(),
        0,
        "a handle that was used otherwise gave back"
    );
    let others = Ports::new(40_000, 40_000).unwrap();
    others.renew(&mut lease).unwrap();
    assert!(lease.release());
    assert_eq!((others.free(), ports.free()), (1, 0));
}
