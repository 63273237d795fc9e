//! The registry against plain maps: indexes, views, snapshots and watchers, through any course of events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use backstay_registry::{Instance, Lagged, Registry, RegistryError, Snapshot, View, Watcher, What};
use proptest::prelude::*;

const SERVICES: [&str; 3] = ["web", "db", "cache"];
const TOOLS: [&str; 3] = ["fetch", "store", "list"];
const LIMIT: usize = 5;

#[derive(Debug, Clone)]
enum Step {
    Register {
        name: u8,
        service: usize,
        zone: u8,
    },
    Deregister {
        name: u8,
    },
    SetTools {
        service: usize,
        tools: Vec<usize>,
    },
    Snapshot,
    Watch {
        service: Option<usize>,
        queue: usize,
    },
    Hear {
        watcher: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let service = 0..SERVICES.len();
    prop_oneof![
        4 => (0u8..7, service.clone(), 0u8..3)
            .prop_map(|(name, service, zone)| Step::Register { name, service, zone }),
        3 => (0u8..7).prop_map(|name| Step::Deregister { name }),
        1 => (service.clone(), prop::collection::vec(0..TOOLS.len(), 0..4))
            .prop_map(|(service, tools)| Step::SetTools { service, tools }),
        1 => Just(Step::Snapshot),
        1 => (prop::option::of(service), 1usize..4)
            .prop_map(|(service, queue)| Step::Watch { service, queue }),
        2 => (0usize..4).prop_map(|watcher| Step::Hear { watcher }),
    ]
}

/// A name, its service, its zone.
type Told = (String, String, String);

fn told(instance: &Instance) -> Told {
    let zone = instance.labels()["zone"].to_string();
    (
        instance.name().to_owned(),
        instance.service().to_owned(),
        zone,
    )
}

#[derive(Default)]
struct Model {
    revision: u64,
    instances: BTreeMap<String, Told>,
    /// Who offers which tool, in the order that they said so.
    tools: Vec<(&'static str, &'static str)>,
    snapshots: Vec<(Snapshot, u64, BTreeMap<String, Told>)>,
    watchers: Vec<Listener>,
    views: Vec<(Question, View<Arc<Instance>>)>,
}

struct Listener {
    watcher: Watcher,
    service: Option<&'static str>,
    queue: usize,
    waiting: VecDeque<(u64, What, Told)>,
    missed: u64,
}

#[derive(Clone, Copy)]
enum Question {
    Service(&'static str),
    Zone(u8),
}

impl Model {
    fn changed(&mut self, what: What, told: &Told) {
        self.revision += 1;
        for listener in &mut self.watchers {
            if listener.service.is_some_and(|service| service != told.1) {
                continue;
            }
            if listener.missed > 0 || listener.waiting.len() == listener.queue {
                listener.missed += 1 + listener.waiting.len() as u64;
                listener.waiting.clear();
            } else {
                listener
                    .waiting
                    .push_back((self.revision, what, told.clone()));
            }
        }
    }

    fn answer(&self, question: Question) -> Vec<Told> {
        let fits = |told: &&Told| match question {
            Question::Service(service) => told.1 == service,
            Question::Zone(zone) => told.2 == format!("z{zone}"),
        };
        self.instances.values().filter(fits).cloned().collect()
    }

    fn take(&mut self, registry: &Registry, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Register {
                name,
                service,
                zone,
            } => {
                let told = (
                    format!("i{name}"),
                    SERVICES[service].to_owned(),
                    format!("z{zone}"),
                );
                let instance = Instance::new(&told.1, &told.0, None, [("zone", told.2.as_str())]);
                let result = registry.register(instance);
                match self.instances.get(&told.0) {
                    Some(old) if old.1 != told.1 => {
                        let taken = matches!(result, Err(RegistryError::NameTaken { .. }));
                        prop_assert!(taken);
                        return Ok(());
                    }
                    None if self.instances.len() == LIMIT => {
                        prop_assert_eq!(result, Err(RegistryError::Full { limit: LIMIT }));
                        return Ok(());
                    }
                    Some(old) if *old == told => {}
                    Some(_) => self.changed(What::Replaced, &told),
                    None => self.changed(What::Registered, &told),
                }
                prop_assert_eq!(result, Ok(self.revision));
                self.instances.insert(told.0.clone(), told);
            }
            Step::Deregister { name } => {
                let gone = registry.deregister(&format!("i{name}"));
                let was = self.instances.remove(&format!("i{name}"));
                prop_assert_eq!(gone.as_deref().map(told), was.clone());
                if let Some(was) = was {
                    self.changed(What::Deregistered, &was);
                    if self.instances.values().all(|told| told.1 != was.1) {
                        self.tools.retain(|(service, _)| *service != was.1);
                    }
                }
            }
            Step::SetTools { service, tools } => {
                let service = SERVICES[service];
                let known = self.instances.values().any(|told| told.1 == service);
                let tools: Vec<&'static str> = tools.into_iter().map(|tool| TOOLS[tool]).collect();
                prop_assert_eq!(
                    registry.set_tools(service, tools.iter().copied()).is_ok(),
                    known
                );
                if known {
                    self.tools.retain(|(other, _)| *other != service);
                    for tool in tools {
                        if !self.tools.contains(&(service, tool)) {
                            self.tools.push((service, tool));
                        }
                    }
                }
            }
            Step::Snapshot => {
                let now = (registry.snapshot(), self.revision, self.instances.clone());
                self.snapshots.push(now);
                let questions = [Question::Service(SERVICES[0]), Question::Zone(1)];
                self.views
                    .extend(questions.map(|question| (question, ask(registry, question))));
            }
            Step::Watch { service, queue } => {
                let service = service.map(|service| SERVICES[service]);
                let (snapshot, watcher) = registry.snapshot_and_watch(service, queue);
                prop_assert_eq!(snapshot.revision(), self.revision);
                self.watchers.push(Listener {
                    watcher,
                    service,
                    queue,
                    waiting: VecDeque::new(),
                    missed: 0,
                });
            }
            Step::Hear { watcher } => {
                if let Some(listener) = self.watchers.get_mut(watcher) {
                    let heard = listener.watcher.try_next();
                    let heard = heard.map(|next| {
                        next.map(|change| (change.revision, change.what, told(&change.instance)))
                    });
                    let expected = match std::mem::take(&mut listener.missed) {
                        0 => listener.waiting.pop_front().map(Ok),
                        missed => Some(Err(Lagged { missed })),
                    };
                    prop_assert_eq!(heard, expected);
                }
            }
        }
        Ok(())
    }

    fn check(&self, registry: &Registry) -> Result<(), TestCaseError> {
        prop_assert_eq!(registry.len(), self.instances.len());
        let asked = SERVICES.map(Question::Service).into_iter();
        for question in asked.chain((0..3).map(Question::Zone)) {
            prop_assert_eq!(
                sorted(ask(registry, question).iter()),
                self.answer(question)
            );
        }
        for tool in TOOLS {
            let offered = self.tools.iter().filter(|(_, offered)| *offered == tool);
            let offered: Vec<&str> = offered.map(|(service, _)| *service).collect();
            let found = registry.with_tool(tool);
            prop_assert_eq!(
                found.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
                offered
            );
        }
        for (snapshot, revision, instances) in &self.snapshots {
            prop_assert_eq!(
                (snapshot.revision(), snapshot.len()),
                (*revision, instances.len())
            );
            prop_assert_eq!(
                sorted(snapshot.iter()),
                instances.values().cloned().collect::<Vec<_>>()
            );
            for name in (0..7).map(|name| format!("i{name}")) {
                prop_assert_eq!(
                    snapshot.get(&name).map(|one| told(one)),
                    instances.get(&name).cloned()
                );
            }
        }
        for (question, view) in self.views.iter().filter(|(_, view)| view.is_current()) {
            prop_assert_eq!(sorted(view.iter()), self.answer(*question));
        }
        Ok(())
    }
}

fn ask(registry: &Registry, question: Question) -> View<Arc<Instance>> {
    match question {
        Question::Service(service) => registry.lookup(service),
        Question::Zone(zone) => registry.with_label("zone", &format!("z{zone}")),
    }
}

fn sorted<'a>(found: impl IntoIterator<Item = &'a Arc<Instance>>) -> Vec<Told> {
    let mut found: Vec<Told> = found.into_iter().map(|instance| told(instance)).collect();
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_is_a_plain_map_with_indexes(steps in prop::collection::vec(step(), 0..80)) {
        let (registry, mut model) = (Registry::with_limit(LIMIT), Model::default());
        for step in steps {
            model.take(&registry, step)?;
            model.check(&registry)?;
        }
    }
}
