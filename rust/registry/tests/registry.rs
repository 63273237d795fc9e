//! The public face of the registry: look-ups, snapshots, watchers.

use std::collections::BTreeSet;
use std::time::Duration;

use backstay_registry::{Instance, Lagged, Registry, RegistryError, What};

fn instance(service: &str, name: &str, labels: &[(&str, &str)]) -> Instance {
    Instance::new(service, name, None, labels.iter().copied())
}

fn names(instances: &[std::sync::Arc<Instance>]) -> Vec<&str> {
    instances.iter().map(|instance| instance.name()).collect()
}

#[test]
fn an_instance_is_found_by_service_name_label_and_tool() {
    let registry = Registry::new();
    registry
        .register(instance("web", "web.1", &[("zone", "a")]))
        .unwrap();
    registry
        .register(instance("web", "web.2", &[("zone", "b")]))
        .unwrap();
    registry
        .register(instance("db", "db.1", &[("zone", "a")]))
        .unwrap();
    registry.set_tools("web", ["fetch", "render"]).unwrap();
    assert_eq!(names(&registry.lookup("web")), ["web.1", "web.2"]);
    assert_eq!(names(&registry.with_label("zone", "a")), ["web.1", "db.1"]);
    assert_eq!(*registry.with_tool("render"), ["web".into()]);
    assert_eq!(registry.get("db.1").unwrap().service(), "db");
    assert!(registry.lookup("nobody").is_empty() && registry.with_label("zone", "c").is_empty());
}

#[test]
fn the_last_instance_takes_its_service_and_tools_along() {
    let registry = Registry::new();
    registry
        .register(instance("web", "web.1", &[("zone", "a")]))
        .unwrap();
    registry.set_tools("web", ["fetch"]).unwrap();
    assert!(registry.deregister("web.1").is_some());
    assert!(registry.deregister("web.1").is_none());
    assert!(registry.services().is_empty() && registry.with_tool("fetch").is_empty());
    assert!(registry.with_label("zone", "a").is_empty());
    let unknown = RegistryError::UnknownService {
        service: "web".into(),
    };
    assert_eq!(registry.set_tools("web", ["fetch"]), Err(unknown));
}

#[test]
fn registering_again_replaces_and_a_name_of_another_service_is_refused() {
    let registry = Registry::new();
    let watcher = registry.watch(None, 10);
    registry
        .register(instance("web", "web.1", &[("zone", "a")]))
        .unwrap();
    registry
        .register(instance("web", "web.1", &[("zone", "b")]))
        .unwrap();
    let same = registry
        .register(instance("web", "web.1", &[("zone", "b")]))
        .unwrap();
    assert_eq!(same, 2, "what is as it was is no change");
    assert!(registry.with_label("zone", "a").is_empty());
    let whats: Vec<_> = std::iter::from_fn(|| watcher.try_next())
        .map(|c| c.unwrap().what)
        .collect();
    assert_eq!(whats, [What::Registered, What::Replaced]);
    let taken = registry.register(instance("db", "web.1", &[])).unwrap_err();
    assert_eq!(taken.to_string(), "`web.1` is an instance of service `web`");
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let registry = Registry::new();
    for i in 0..5_000 {
        registry
            .register(instance("web", &format!("web.{i}"), &[]))
            .unwrap();
    }
    let snapshot = registry.snapshot();
    for i in 0..5_000 {
        registry.deregister(&format!("web.{i}"));
    }
    assert_eq!(
        (snapshot.len(), snapshot.iter().count(), snapshot.revision()),
        (5_000, 5_000, 5_000)
    );
    assert!(snapshot.get("web.4999").is_some() && registry.is_empty());
}

#[test]
fn a_watcher_that_falls_behind_is_told_how_much_it_missed() {
    let registry = Registry::new();
    let watcher = registry.watch(Some("web"), 3);
    registry.register(instance("db", "db.1", &[])).unwrap();
    for i in 0..5 {
        registry
            .register(instance("web", &format!("web.{i}"), &[]))
            .unwrap();
    }
    assert_eq!(watcher.try_next(), Some(Err(Lagged { missed: 5 })));
    assert_eq!(watcher.try_next(), None);
    registry.deregister("web.0");
    let change = watcher.next(Duration::from_secs(5)).unwrap().unwrap();
    assert_eq!((change.what, change.revision), (What::Deregistered, 7));
}

#[test]
fn a_waiting_watcher_wakes_on_the_change() {
    let registry = Registry::new();
    let watcher = registry.watch(None, 10);
    let writer = registry.clone();
    let thread = std::thread::spawn(move || writer.register(instance("web", "web.1", &[])));
    assert!(watcher.next(Duration::from_secs(30)).unwrap().is_ok());
    thread.join().unwrap().unwrap();
    assert_eq!(watcher.next(Duration::ZERO), None);
}

#[test]
fn a_snapshot_and_its_watcher_lose_nothing_between_them() {
    let registry = Registry::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let registry = registry.clone();
            scope.spawn(move || {
                for i in 0..2_000 {
                    let name = format!("web.{thread}.{}", i % 50);
                    if registry.deregister(&name).is_none() {
                        registry.register(instance("web", &name, &[])).unwrap();
                    }
                }
            });
        }
        let (snapshot, watcher) = registry.snapshot_and_watch(None, 100_000);
        let mut model: BTreeSet<String> = snapshot
            .iter()
            .map(|instance| instance.name().to_owned())
            .collect();
        let mut revision = snapshot.revision();
        while revision < 8_000 {
            let change = watcher.next(Duration::from_secs(30)).unwrap().unwrap();
            revision += 1;
            assert_eq!(
                change.revision, revision,
                "changes come in order, none is lost"
            );
            match change.what {
                What::Deregistered => model.remove(change.instance.name()),
                What::Registered | What::Replaced => {
                    model.insert(change.instance.name().to_owned())
                }
            };
        }
        let now = registry.snapshot();
        assert!(now.iter().all(|instance| model.contains(instance.name())));
        assert_eq!(now.len(), model.len());
    });
}

#[test]
fn a_view_is_current_until_what_it_shows_changes() {
    let registry = Registry::new();
    registry
        .register(instance("web", "web.1", &[("zone", "a")]))
        .unwrap();
    registry.register(instance("db", "db.1", &[])).unwrap();
    registry.set_tools("web", ["fetch"]).unwrap();
    let (web, zone) = (registry.lookup("web"), registry.with_label("zone", "a"));
    let (tool, one) = (registry.with_tool("fetch"), registry.get("web.1").unwrap());
    registry.deregister("db.1");
    assert!(web.is_current() && zone.is_current() && tool.is_current() && one.is_current());
    registry
        .register(instance("web", "web.1", &[("zone", "b")]))
        .unwrap();
    assert!(!web.is_current() && !zone.is_current() && !one.is_current());
    assert!(tool.is_current());
    registry.deregister("web.1");
    assert!(!tool.is_current() && !registry.with_tool("fetch").is_current());
    assert_eq!((names(&web), web.len()), (vec!["web.1"], 1));
}

#[test]
fn a_full_registry_refuses_new_names_and_takes_known_ones() {
    let registry = Registry::with_limit(1);
    registry.register(instance("web", "web.1", &[])).unwrap();
    let full = registry.register(instance("web", "web.2", &[]));
    assert_eq!(full, Err(RegistryError::Full { limit: 1 }));
    registry
        .register(instance("web", "web.1", &[("zone", "a")]))
        .unwrap();
    registry.deregister("web.1");
    assert!(registry.register(instance("web", "web.2", &[])).is_ok());
}

#[test]
fn watchers_that_are_gone_do_not_pile_up() {
    let registry = Registry::new();
    let stays = registry.watch(Some("web"), 10);
    for i in 0..10_000 {
        drop(registry.watch(Some(&format!("never.{i}")), 10));
    }
    registry.register(instance("web", "web.1", &[])).unwrap();
    registry
        .register(instance("never.1", "never.1.1", &[]))
        .unwrap();
    assert_eq!(stays.len(), 1);
}

#[test]
fn readers_among_writers_never_see_half_a_change() {
    const ROUNDS: usize = if cfg!(miri) { 20 } else { 3_000 };
    let registry = Registry::new();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let registry = registry.clone();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let zone = if round % 2 == 0 { "a" } else { "b" };
                    let name = format!("web.{thread}");
                    registry
                        .register(instance("web", &name, &[("zone", zone)]))
                        .unwrap();
                    assert!(registry.get(&name).unwrap().is_current());
                    assert!(names(&registry.lookup("web")).contains(&name.as_str()));
                    if round % 7 == 0 {
                        registry.deregister(&name);
                        assert!(
                            !names(&registry.with_label("zone", zone)).contains(&name.as_str())
                        );
                    }
                }
            });
        }
        for _ in 0..ROUNDS {
            let snapshot = registry.snapshot();
            assert_eq!(snapshot.iter().count(), snapshot.len());
            let zone = registry.with_label("zone", "a");
            assert!(zone.iter().all(|one| &*one.labels()["zone"] == "a"));
        }
    });
}
