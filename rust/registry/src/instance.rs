//! An instance as the registry knows it.

use std::collections::BTreeMap;
use std::sync::Arc;

/// One running copy of a service. Never changed: registering it again replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Instance {
    /// The service it is a copy of.
    pub service: Box<str>,
    /// Its own name, unique in the registry.
    pub name: Box<str>,
    /// Where it listens, if it does.
    pub address: Option<Box<str>>,
    /// What to find it by.
    pub labels: BTreeMap<Box<str>, Box<str>>,
}

/// Some instances, shared: cloning is cheap and the contents never change.
pub type Instances = Arc<[Arc<Instance>]>;
