//! From what servers offer to what clients see.
//!
//! A server's own view is made at once. The fleet's is made by one task that pauses between two of them
//! for some times as long as one takes: a thousand servers coming up cost a bounded share of one core,
//! not a thousand whole tables.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::catalog::{Catalog, LISTS, changed};
use super::server::Server;
use super::view::{Part, View};
use crate::core::Core;
use crate::event::Event;
use crate::session::Scope;

/// The task rests so many times as long as it worked.
const REST: u32 = 4;
/// Less work than this needs no rest.
const NO_REST: Duration = Duration::from_millis(1);

/// Orders fleet views, and knows which one is out.
#[derive(Debug)]
pub(crate) struct Publisher {
    wanted: watch::Sender<u64>,
    done: watch::Sender<u64>,
}

impl Default for Publisher {
    fn default() -> Self {
        Self {
            wanted: watch::Sender::new(0),
            done: watch::Sender::new(0),
        }
    }
}

impl Publisher {
    /// Something changed: a new view is wanted.
    pub(crate) fn request(&self) {
        self.wanted.send_modify(|number| *number += 1);
    }

    /// Whether everything requested so far can be seen.
    pub(crate) fn is_done(&self) -> bool {
        *self.done.borrow() >= *self.wanted.borrow()
    }

    /// Waits until everything requested so far can be seen.
    pub(crate) async fn done(&self) {
        let wanted = *self.wanted.borrow();
        let _ = self.done.subscribe().wait_for(|done| *done >= wanted).await;
    }
}

impl Core {
    /// Makes the view of one server, and asks for a new one of the fleet. False where nothing changed.
    pub(crate) fn publish_server(&self, server: &Arc<Server>) -> bool {
        server
            .catalog()
            .is_some_and(|catalog| self.publish_catalog(server, catalog))
    }

    /// Replaces what a server offers. Whoever sees the new catalog finds the view that belongs to it.
    pub(crate) fn publish_catalog(&self, server: &Arc<Server>, catalog: Arc<Catalog>) -> bool {
        let part = Part {
            server: Arc::clone(server),
            route: server.route(),
            catalog: Arc::clone(&catalog),
        };
        let view = View::of_one(&part);
        let fresh: Vec<_> = LISTS
            .into_iter()
            .map(|list| view.fingerprint(list))
            .collect();
        let old = server.set_view(view);
        if catalog.ages() {
            self.ages.store(true, Ordering::Relaxed);
        }
        server.set_catalog(catalog);
        let scope = Scope::Service(Arc::clone(&server.service));
        let differs = self.tell(&scope, &old, &fresh);
        self.publisher.request();
        differs
    }

    /// Makes the fleet's views until the gateway ends.
    pub(crate) async fn publish_fleet(
        core: std::sync::Weak<Self>,
        mut wanted: watch::Receiver<u64>,
    ) {
        let mut known = HashSet::new();
        while wanted.changed().await.is_ok() {
            let Some(core) = core.upgrade() else { return };
            let number = *wanted.borrow_and_update();
            let started = Instant::now();
            known = core.publish_view(&known);
            core.publisher.done.send_replace(number);
            core.announce();
            drop(core);
            let took = started.elapsed();
            if took > NO_REST {
                tokio::time::sleep(took * REST).await;
            }
        }
    }

    pub(crate) fn wanted_views(&self) -> watch::Receiver<u64> {
        self.publisher.wanted.subscribe()
    }

    fn publish_view(&self, known: &HashSet<String>) -> HashSet<String> {
        let parts: Vec<Part> = self.servers().values().filter_map(part).collect();
        let (view, clashes) = View::of_all(&parts);
        let fresh: Vec<_> = LISTS
            .into_iter()
            .map(|list| view.fingerprint(list))
            .collect();
        let old = self.set_fleet_view(view);
        self.tell(&Scope::Fleet, &old, &fresh);
        let mut now = HashSet::new();
        for clash in clashes {
            if let Event::NameClash {
                service, renamed, ..
            } = &clash
            {
                let key = format!("{service}\0{renamed}");
                if !known.contains(&key) {
                    self.emit(clash.clone());
                }
                now.insert(key);
            }
        }
        now
    }

    /// Tells the sessions of a scope which lists changed. False where none did.
    fn tell(&self, scope: &Scope, old: &View, fresh: &[u64]) -> bool {
        let mut told = HashSet::new();
        for (list, fresh) in LISTS.into_iter().zip(fresh) {
            if old.fingerprint(list) != *fresh && told.insert(changed(list)) {
                self.list_changed(scope, changed(list));
            }
        }
        !told.is_empty()
    }
}

fn part(server: &Arc<Server>) -> Option<Part> {
    Some(Part {
        server: Arc::clone(server),
        route: server.route(),
        catalog: server.catalog()?,
    })
}
