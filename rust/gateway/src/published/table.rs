//! Which published service a request is for: by its host and the longest path above its own.

use std::collections::HashMap;
use std::sync::Arc;

use super::service::Service;

type Paths = HashMap<Box<str>, Arc<Service>>;

/// See the module. A look-up costs as many steps as the path has segments, however much is published.
#[derive(Debug, Default)]
pub(super) struct Table {
    services: HashMap<Box<str>, Arc<Service>>,
    /// Those of one host name each.
    hosts: HashMap<Box<str>, Paths>,
    /// Those of every host.
    paths: Paths,
}

/// A service that a request is for.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) service: Arc<Service>,
    /// How much of the request's path named it.
    pub(super) prefix: usize,
}

impl Table {
    pub(super) fn new(services: impl IntoIterator<Item = Service>) -> Self {
        let mut table = Self::default();
        for service in services {
            let (name, service) = (service.route.service.as_str().into(), Arc::new(service));
            if let Some(path) = &service.route.path {
                if service.route.hosts.is_empty() {
                    table
                        .paths
                        .insert(path.as_str().into(), Arc::clone(&service));
                }
                for host in &service.route.hosts {
                    let paths = table.hosts.entry(host.as_str().into()).or_default();
                    paths.insert(path.as_str().into(), Arc::clone(&service));
                }
            }
            table.services.insert(name, service);
        }
        table
    }

    pub(super) fn service(&self, name: &str) -> Option<Arc<Service>> {
        self.services.get(name).cloned()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// Whether anything is published for a host of its own.
    pub(super) fn has_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// What is published at this host alone.
    pub(super) fn at_host(&self, host: &str, path: &str) -> Option<Found> {
        self.hosts.get(host).and_then(|paths| longest(paths, path))
    }

    /// What is published at this path of every host.
    pub(super) fn at_path(&self, path: &str) -> Option<Found> {
        longest(&self.paths, path)
    }
}

/// The longest of `paths` that `path` is or is beneath.
fn longest(paths: &Paths, path: &str) -> Option<Found> {
    if paths.is_empty() {
        return None;
    }
    let mut prefix = path.trim_end_matches('/');
    loop {
        if let Some(service) = paths.get(if prefix.is_empty() { "/" } else { prefix }) {
            return Some(Found {
                service: Arc::clone(service),
                prefix: prefix.len(),
            });
        }
        prefix = &prefix[..prefix.rfind('/')?];
    }
}

#[cfg(test)]
mod tests {
    use backstay_telemetry::Registry;

    use super::super::route::{PublishedRoute, Speaks};
    use super::super::signals::{Families, Signals};
    use super::*;
    use crate::metrics::Metrics;
    use crate::traffic::TrafficRoute;

    fn table(routes: &[(&str, &str, &[&str])]) -> Table {
        let registry = Registry::new();
        let families = Families::new(&registry).unwrap();
        let metrics = Metrics::new(&registry, true).unwrap();
        Table::new(routes.iter().map(|(service, path, hosts)| {
            let route = PublishedRoute {
                service: (*service).into(),
                path: Some((*path).into()),
                hosts: hosts.iter().map(|host| (*host).into()).collect(),
                strip: true,
                listen: None,
                tls: None,
                public: false,
                protocol: Speaks::Http,
                timeout_ms: 1000,
                traffic: TrafficRoute::default(),
                instances: Vec::new(),
            };
            let signals = Signals::new(&families, &metrics, service);
            Service::new(route, None, Vec::new(), Arc::new(signals))
        }))
    }

    fn name(found: Option<Found>) -> Option<(String, usize)> {
        found.map(|found| (found.service.route.service.clone(), found.prefix))
    }

    #[test]
    fn the_longest_path_wins_and_only_whole_segments_count() {
        let table = table(&[("shop", "/shop", &[]), ("cart", "/shop/cart", &[])]);
        let at = |path| name(table.at_path(path));
        assert_eq!(at("/shop"), Some(("shop".into(), 5)));
        assert_eq!(at("/shop/"), Some(("shop".into(), 5)));
        assert_eq!(at("/shop/cart/1"), Some(("cart".into(), 10)));
        assert_eq!(at("/shop/carts"), Some(("shop".into(), 5)));
        assert_eq!(at("/shopping"), None);
        assert_eq!(at("/"), None);
        assert_eq!(at("*"), None);
    }

    #[test]
    fn a_host_of_its_own_has_all_its_paths() {
        let table = table(&[("shop", "/", &["shop.localhost"])]);
        assert_eq!(
            name(table.at_host("shop.localhost", "/mcp/x")),
            Some(("shop".into(), 0))
        );
        assert_eq!(name(table.at_host("other.localhost", "/")), None);
        assert_eq!(name(table.at_path("/")), None);
    }
}
