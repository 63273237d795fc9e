//! An instance as the registry knows it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// One running copy of a service. Never changed: registering it again replaces it.
#[derive(Default)]
pub struct Instance {
    /// The service's name, the instance's own, and its address, one after another: one allocation, not three.
    text: Box<str>,
    service_end: u32,
    name_end: u32,
    addressed: bool,
    labels: BTreeMap<Box<str>, Box<str>>,
    /// The registry has it no more under its name, or has another one.
    gone: AtomicBool,
}

impl Instance {
    /// An instance of `service` called `name`, which listens at `address` if it does, to be found by `labels`.
    pub fn new<K: Into<Box<str>>, V: Into<Box<str>>>(
        service: &str,
        name: &str,
        address: Option<&str>,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let end = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let pairs = labels.into_iter();
        Self {
            text: [service, name, address.unwrap_or_default()].concat().into(),
            service_end: end(service.len()),
            name_end: end(service.len() + name.len()),
            addressed: address.is_some(),
            labels: pairs
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            gone: AtomicBool::new(false),
        }
    }

    /// The service it is a copy of.
    pub fn service(&self) -> &str {
        &self.text[..self.service_end as usize]
    }

    /// Its own name, unique in the registry.
    pub fn name(&self) -> &str {
        &self.text[self.service_end as usize..self.name_end as usize]
    }

    /// Where it listens, if it does.
    pub fn address(&self) -> Option<&str> {
        self.addressed.then(|| &self.text[self.name_end as usize..])
    }

    /// What to find it by.
    pub fn labels(&self) -> &BTreeMap<Box<str>, Box<str>> {
        &self.labels
    }

    /// Whether the registry still has this very instance: false once it was replaced or taken out.
    #[inline]
    pub fn is_current(&self) -> bool {
        !self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn go(&self) {
        self.gone.store(true, Ordering::Release);
    }
}

/// Equal in all that was said of them.
impl PartialEq for Instance {
    fn eq(&self, other: &Self) -> bool {
        let told = |of: &Self| (of.service_end, of.name_end, of.addressed);
        told(self) == told(other) && self.text == other.text && self.labels == other.labels
    }
}

impl Eq for Instance {}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("service", &self.service())
            .field("name", &self.name())
            .field("address", &self.address())
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}
