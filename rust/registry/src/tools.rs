//! Which services offer a tool, and which tools a service offers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use ahash::RandomState;

use crate::View;

#[derive(Debug, Default)]
pub(crate) struct Tools {
    by_name: HashMap<Arc<str>, Tool, RandomState>,
    /// What a service said last, and when.
    by_service: HashMap<Arc<str>, Vec<Offer>, RandomState>,
    said: u64,
}

/// A tool's name, and when the service said so.
type Offer = (Arc<str>, u64);

#[derive(Debug, Default)]
struct Tool {
    /// In the order that they said so.
    services: BTreeMap<u64, Arc<str>>,
    view: OnceLock<View<Arc<str>>>,
}

impl Tool {
    fn changed(&mut self) {
        if let Some(view) = self.view.take() {
            view.expire();
        }
    }
}

impl Tools {
    /// A service offers these and no others.
    pub(crate) fn set<'a>(&mut self, service: &str, tools: impl Iterator<Item = &'a str>) {
        self.forget(service);
        let service: Arc<str> = service.into();
        let mut seen = HashSet::<_, RandomState>::default();
        let mut offered = Vec::new();
        for tool in tools.filter(|&tool| seen.insert(tool)) {
            let known = self.by_name.get_key_value(tool);
            let name = known.map_or_else(|| tool.into(), |(name, _)| Arc::clone(name));
            self.said += 1;
            let tool = self.by_name.entry(Arc::clone(&name)).or_default();
            tool.changed();
            tool.services.insert(self.said, Arc::clone(&service));
            offered.push((name, self.said));
        }
        if !offered.is_empty() {
            self.by_service.insert(service, offered);
        }
    }

    /// A service is gone, or will say anew.
    pub(crate) fn forget(&mut self, service: &str) {
        // Most services are no servers, and most registries have none.
        if self.by_service.is_empty() {
            return;
        }
        for (name, said) in self.by_service.remove(service).unwrap_or_default() {
            let Some(tool) = self.by_name.get_mut(&name) else {
                continue;
            };
            tool.changed();
            tool.services.remove(&said);
            if tool.services.is_empty() {
                self.by_name.remove(&name);
            }
        }
    }

    pub(crate) fn view(&self, tool: &str) -> View<Arc<str>> {
        self.by_name.get(tool).map_or(View::NOTHING, |tool| {
            let made = || View::new(tool.services.values().cloned());
            tool.view.get_or_init(made).clone()
        })
    }
}
