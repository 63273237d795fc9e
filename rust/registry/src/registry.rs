//! The registry itself: the indexes, and the one lock that orders changes.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use indexmap::{IndexMap, IndexSet};
use parking_lot::RwLock;

use crate::shards::Shards;
use crate::watch::{self, Subscription};
use crate::{Change, Instance, Instances, RegistryError, Snapshot, Watcher, What};

/// Which instances of which service there are. Cloning is cheap and gives another handle to the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    /// Guards all indexes, so that they never disagree, and orders the changes. Held for some look-ups.
    state: Arc<RwLock<State>>,
}

#[derive(Default)]
struct State {
    revision: u64,
    by_name: Shards,
    services: HashMap<Box<str>, Service, RandomState>,
    by_label: HashMap<Box<str>, HashMap<Box<str>, Group, RandomState>, RandomState>,
    by_tool: HashMap<Box<str>, IndexSet<Box<str>, RandomState>, RandomState>,
    watchers: Vec<Subscription>,
}

#[derive(Default)]
struct Service {
    instances: Group,
    tools: Vec<Box<str>>,
}

/// Instances that share something, in order of registration until one in the middle goes.
#[derive(Default)]
struct Group {
    members: IndexMap<Box<str>, Arc<Instance>, RandomState>,
    /// The members as readers get them, made when first asked for.
    view: OnceLock<Instances>,
}

impl Group {
    fn insert(&mut self, instance: &Arc<Instance>) {
        self.view.take();
        self.members
            .insert(instance.name.clone(), Arc::clone(instance));
    }

    /// Returns whether it is empty now.
    fn remove(&mut self, name: &str) -> bool {
        self.view.take();
        self.members.swap_remove(name);
        self.members.is_empty()
    }

    fn view(&self) -> Instances {
        Arc::clone(
            self.view
                .get_or_init(|| self.members.values().cloned().collect()),
        )
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Register an instance, or replace what is registered under its name. Returns the revision.
    ///
    /// # Errors
    /// [`RegistryError::NameTaken`] when another service has an instance of this name.
    pub fn register(&self, instance: Instance) -> Result<u64, RegistryError> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let instance = Arc::new(instance);
        let old = state.by_name.get(&instance.name).cloned();
        if let Some(old) = &old {
            if old.service != instance.service {
                let (name, service) = (old.name.to_string(), old.service.to_string());
                return Err(RegistryError::NameTaken { name, service });
            }
            if *old == instance {
                return Ok(state.revision);
            }
            state.unlabel(old);
        }
        state.by_name.insert(Arc::clone(&instance));
        if let Some(service) = state.services.get_mut(&instance.service) {
            service.instances.insert(&instance);
        } else {
            state
                .services
                .entry(instance.service.clone())
                .or_default()
                .instances
                .insert(&instance);
        }
        for (key, value) in &instance.labels {
            let values = state.by_label.entry(key.clone()).or_default();
            values.entry(value.clone()).or_default().insert(&instance);
        }
        let what = if old.is_some() {
            What::Replaced
        } else {
            What::Registered
        };
        Ok(state.changed(what, instance))
    }

    /// Take an instance out. Returns it as it was.
    pub fn deregister(&self, name: &str) -> Option<Arc<Instance>> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let instance = state.by_name.remove(name)?;
        state.unlabel(&instance);
        if let Some(service) = state.services.get_mut(&instance.service)
            && service.instances.remove(name)
        {
            let tools = std::mem::take(&mut service.tools);
            state.services.remove(&instance.service);
            state.untool(&instance.service, &tools);
        }
        state.changed(What::Deregistered, Arc::clone(&instance));
        Some(instance)
    }

    /// Say which tools a service offers; what it offered before is forgotten. They go with its last instance.
    ///
    /// # Errors
    /// [`RegistryError::UnknownService`].
    pub fn set_tools<'a>(
        &self,
        service: &str,
        tools: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), RegistryError> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let Some(entry) = state.services.get_mut(service) else {
            return Err(RegistryError::UnknownService {
                service: service.to_owned(),
            });
        };
        let new: Vec<Box<str>> = tools.into_iter().map(Into::into).collect();
        let old = std::mem::replace(&mut entry.tools, new.clone());
        state.untool(service, &old);
        for tool in new {
            state
                .by_tool
                .entry(tool)
                .or_default()
                .insert(service.into());
        }
        Ok(())
    }

    /// The instances of a service; empty when there is none.
    pub fn lookup(&self, service: &str) -> Instances {
        let state = self.state.read();
        state
            .services
            .get(service)
            .map(|service| service.instances.view())
            .unwrap_or_default()
    }

    /// The instance of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Instance>> {
        self.state.read().by_name.get(name).cloned()
    }

    /// The instances that bear this label.
    pub fn with_label(&self, key: &str, value: &str) -> Instances {
        let state = self.state.read();
        let group = state.by_label.get(key).and_then(|values| values.get(value));
        group.map(Group::view).unwrap_or_default()
    }

    /// The services that offer a tool of this name, in the order they said so.
    pub fn with_tool(&self, tool: &str) -> Vec<Box<str>> {
        let state = self.state.read();
        state
            .by_tool
            .get(tool)
            .map(|services| services.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// The names of all services, sorted.
    pub fn services(&self) -> Vec<Box<str>> {
        let mut names: Vec<Box<str>> = self.state.read().services.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.state.read().by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything as it is now. Costs the same however many instances there are.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.read();
        Snapshot {
            revision: state.revision,
            shards: state.by_name.clone(),
        }
    }

    /// Hear every change from now on, of one service or of all. `queue` bounds how many may wait.
    pub fn watch(&self, service: Option<&str>, queue: usize) -> Watcher {
        self.snapshot_and_watch(service, queue).1
    }

    /// A snapshot, and a watcher of every change after it: between the two, nothing is lost.
    pub fn snapshot_and_watch(&self, service: Option<&str>, queue: usize) -> (Snapshot, Watcher) {
        let (subscription, watcher) = watch::pair(service, queue);
        let mut state = self.state.write();
        state.watchers.push(subscription);
        (
            Snapshot {
                revision: state.revision,
                shards: state.by_name.clone(),
            },
            watcher,
        )
    }
}

impl State {
    fn unlabel(&mut self, instance: &Instance) {
        for (key, value) in &instance.labels {
            let Some(values) = self.by_label.get_mut(key) else {
                continue;
            };
            if values
                .get_mut(value)
                .is_some_and(|group| group.remove(&instance.name))
            {
                values.remove(value);
                if values.is_empty() {
                    self.by_label.remove(key);
                }
            }
        }
    }

    fn untool(&mut self, service: &str, tools: &[Box<str>]) {
        for tool in tools {
            let Some(services) = self.by_tool.get_mut(tool) else {
                continue;
            };
            services.shift_remove(service);
            if services.is_empty() {
                self.by_tool.remove(tool);
            }
        }
    }

    /// Count a change and tell the watchers; those that are gone are forgotten here.
    fn changed(&mut self, what: What, instance: Arc<Instance>) -> u64 {
        self.revision += 1;
        let revision = self.revision;
        if !self.watchers.is_empty() {
            let change = Change {
                revision,
                what,
                instance,
            };
            self.watchers.retain(|watcher| watcher.send(&change));
        }
        revision
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.read();
        f.debug_struct("Registry")
            .field("revision", &state.revision)
            .field("instances", &state.by_name.len())
            .finish_non_exhaustive()
    }
}
