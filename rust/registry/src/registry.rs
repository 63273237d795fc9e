//! The registry itself: the indexes, and the one lock that orders changes.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::groups::{Groups, Seat, number};
use crate::shards::{Known, Shards};
use crate::tools::Tools;
use crate::watch::{self, Watchers};
use crate::{Change, Instance, RegistryError, Snapshot, View, Watcher, What};

/// How many instances a registry holds unless told otherwise.
pub const DEFAULT_LIMIT: usize = 1_000_000;

/// Which instances of which service there are. Cloning is cheap and gives another handle to the same registry.
#[derive(Clone)]
pub struct Registry {
    /// Guards all indexes, so that they never disagree, and orders the changes. Held for some look-ups.
    state: Arc<RwLock<State>>,
    limit: usize,
}

#[derive(Default)]
struct State {
    revision: u64,
    names: Shards,
    slots: Vec<Slot>,
    free: Vec<u32>,
    services: Groups,
    labels: Groups,
    tools: Tools,
    watchers: Watchers,
}

/// Where an instance stands in every index but that of names.
#[derive(Default)]
struct Slot {
    instance: Option<Arc<Instance>>,
    service: Option<Seat>,
    /// In the order of the instance's labels.
    labels: Vec<Seat>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl Registry {
    /// An empty registry that holds up to [`DEFAULT_LIMIT`] instances.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty registry that refuses more than `limit` instances.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            state: Arc::default(),
            limit: limit.min(u32::MAX as usize - 1),
        }
    }

    /// Register an instance, or replace what is registered under its name. Returns the revision.
    ///
    /// # Errors
    /// [`RegistryError::NameTaken`] when another service has an instance of this name;
    /// [`RegistryError::Full`] when there are as many instances as there may be.
    pub fn register(&self, instance: Instance) -> Result<u64, RegistryError> {
        let instance = Arc::new(instance);
        let mut guard = self.state.write();
        let state = &mut *guard;
        let hash = state.names.hash(instance.name());
        if let Some(Known {
            instance: old,
            slot,
        }) = state.names.get(hash, instance.name())
        {
            if old.service() != instance.service() {
                let (name, service) = (old.name().to_owned(), old.service().to_owned());
                return Err(RegistryError::NameTaken { name, service });
            }
            if **old == *instance {
                return Ok(state.revision);
            }
            let slot = *slot;
            return Ok(state.replace(hash, slot, instance));
        }
        if state.names.len() >= self.limit {
            return Err(RegistryError::Full { limit: self.limit });
        }
        Ok(state.add(hash, instance))
    }

    /// Take an instance out. Returns it as it was.
    pub fn deregister(&self, name: &str) -> Option<Arc<Instance>> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let Known { instance, slot } = state.names.remove(name)?;
        state.unlabel(slot);
        let here = &mut state.slots[slot as usize];
        here.instance = None;
        let seat = here.service.take();
        let slots = &mut state.slots;
        let moved = |slot: u32, seat| slots[slot as usize].service = Some(seat);
        if seat.is_some_and(|seat| state.services.leave(seat, moved)) {
            state.tools.forget(instance.service());
        }
        state.free.push(slot);
        instance.go();
        state.changed(What::Deregistered, &instance);
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
        let mut state = self.state.write();
        if state.services.get((service, "")).is_none() {
            return Err(RegistryError::UnknownService {
                service: service.to_owned(),
            });
        }
        state.tools.set(service, tools.into_iter());
        Ok(())
    }

    /// The instances of a service; empty when there is none.
    pub fn lookup(&self, service: &str) -> View<Arc<Instance>> {
        let state = self.state.read();
        state.view(&state.services, (service, ""))
    }

    /// The instance of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Instance>> {
        let state = self.state.read();
        let known = state.names.get(state.names.hash(name), name)?;
        Some(Arc::clone(&known.instance))
    }

    /// The instances that bear this label.
    pub fn with_label(&self, key: &str, value: &str) -> View<Arc<Instance>> {
        let state = self.state.read();
        state.view(&state.labels, (key, value))
    }

    /// The services that offer a tool of this name, in the order they said so.
    pub fn with_tool(&self, tool: &str) -> View<Arc<str>> {
        self.state.read().tools.view(tool)
    }

    /// The names of all services, sorted.
    pub fn services(&self) -> Vec<Box<str>> {
        let state = self.state.read();
        let mut names: Vec<Box<str>> = state.services.keys().map(|(name, _)| name.into()).collect();
        drop(state);
        names.sort_unstable();
        names
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.state.read().names.len()
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
            names: state.names.clone(),
        }
    }

    /// Hear every change from now on, of one service or of all. `queue` bounds how many may wait.
    pub fn watch(&self, service: Option<&str>, queue: usize) -> Watcher {
        self.snapshot_and_watch(service, queue).1
    }

    /// A snapshot, and a watcher of every change after it: between the two, nothing is lost.
    pub fn snapshot_and_watch(&self, service: Option<&str>, queue: usize) -> (Snapshot, Watcher) {
        let (subscription, watcher) = watch::pair(queue);
        let mut state = self.state.write();
        state.watchers.add(service, subscription);
        let snapshot = Snapshot {
            revision: state.revision,
            names: state.names.clone(),
        };
        (snapshot, watcher)
    }
}

impl State {
    fn add(&mut self, hash: u64, instance: Arc<Instance>) -> u64 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            number(self.slots.len() - 1)
        });
        let seat = self.services.join((instance.service(), ""), slot);
        let here = &mut self.slots[slot as usize];
        here.service = Some(seat);
        here.instance = Some(Arc::clone(&instance));
        self.label(slot, &instance);
        let revision = self.changed(What::Registered, &instance);
        self.names.insert(hash, Known { instance, slot });
        revision
    }

    fn replace(&mut self, hash: u64, slot: u32, instance: Arc<Instance>) -> u64 {
        self.unlabel(slot);
        let here = &mut self.slots[slot as usize];
        here.instance = Some(Arc::clone(&instance));
        if let Some(seat) = here.service {
            self.services.touch(seat.group);
        }
        self.label(slot, &instance);
        let revision = self.changed(What::Replaced, &instance);
        if let Some(old) = self.names.replace(hash, instance) {
            old.go();
        }
        revision
    }

    fn label(&mut self, slot: u32, instance: &Instance) {
        for (key, value) in instance.labels() {
            let seat = self.labels.join((key, value), slot);
            self.slots[slot as usize].labels.push(seat);
        }
    }

    fn unlabel(&mut self, slot: u32) {
        while let Some(seat) = self.slots[slot as usize].labels.pop() {
            let slots = &mut self.slots;
            self.labels.leave(seat, |moved, seat| {
                // Few labels an instance: to look through them is to find it at once.
                let mut seats = slots[moved as usize].labels.iter_mut();
                if let Some(its) = seats.find(|its| its.group == seat.group) {
                    *its = seat;
                }
            });
        }
    }

    fn view(&self, groups: &Groups, key: (&str, &str)) -> View<Arc<Instance>> {
        groups.get(key).map_or(View::NOTHING, |group| {
            groups.view(group, |slot| self.slots[slot as usize].instance.as_ref())
        })
    }

    /// Count a change and tell the watchers.
    fn changed(&mut self, what: What, instance: &Arc<Instance>) -> u64 {
        self.revision += 1;
        let revision = self.revision;
        self.watchers.tell(instance.service(), || Change {
            revision,
            what,
            instance: Arc::clone(instance),
        });
        revision
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.read();
        f.debug_struct("Registry")
            .field("revision", &state.revision)
            .field("instances", &state.names.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `docs/guide/registry.md` tells; with what the allocator and half-empty tables add.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn what_an_instance_costs_is_what_the_guide_says() {
        let counts = 2 * size_of::<usize>();
        assert_eq!(size_of::<Instance>() + counts, 72);
        assert_eq!(
            size_of::<Slot>() + size_of::<Known>() + size_of::<u32>(),
            68
        );
        assert_eq!(size_of::<Seat>() + size_of::<u32>(), 12);
        assert_eq!(size_of::<crate::groups::Group>(), 80);
        assert_eq!(size_of::<Change>(), 24);
    }
}
