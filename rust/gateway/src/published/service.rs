//! A published service: its route, its instances, and which of them gets a request.

use std::sync::Arc;
use std::time::Duration;

use backstay_traffic::{Balance, Candidate};
use rand::Rng as _;

use super::instance::{Health, Instance};
use super::route::PublishedRoute;
use super::signals::Signals;

/// See the module. Made anew whenever its route changes; its instances stay.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) route: PublishedRoute,
    pub(super) instances: Vec<Arc<Instance>>,
    pub(super) signals: Arc<Signals>,
    balance: Balance,
}

/// Why no instance gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// None runs.
    Stopped,
    /// None is ready yet.
    Starting,
    /// None is well.
    Down,
    /// All that are there fail, and rest for so long.
    Resting(Duration),
}

impl Service {
    pub(super) fn new(
        route: PublishedRoute,
        instances: Vec<Arc<Instance>>,
        signals: Arc<Signals>,
    ) -> Self {
        Self {
            route,
            instances,
            signals,
            balance: Balance::default(),
        }
    }

    /// The instance for a request, beside those that were tried already.
    pub(super) fn pick(&self, tried: &[Arc<Instance>]) -> Result<Arc<Instance>, Unavailable> {
        let mut able: Vec<&Arc<Instance>> = self
            .instances
            .iter()
            .filter(|one| one.health() == Health::Ready)
            .filter(|one| !tried.iter().any(|other| Arc::ptr_eq(other, one)))
            .collect();
        let mut rest: Option<Duration> = None;
        loop {
            let candidates: Vec<Candidate> = able.iter().map(|one| one.as_candidate()).collect();
            let random = rand::rng().random::<[f64; 2]>();
            let Some(index) = self
                .balance
                .choose(&candidates, random[0].to_bits(), random)
            else {
                return Err(rest.map_or_else(|| self.why_not(), Unavailable::Resting));
            };
            match able[index].check() {
                Ok(()) => return Ok(Arc::clone(able[index])),
                Err(open) => {
                    rest = Some(rest.map_or(open.retry_after, |rest| rest.min(open.retry_after)));
                    able.swap_remove(index);
                }
            }
        }
    }

    fn why_not(&self) -> Unavailable {
        let any = |health| self.instances.iter().any(|one| one.health() == health);
        if self.instances.is_empty() {
            Unavailable::Stopped
        } else if any(Health::Starting) {
            Unavailable::Starting
        } else {
            Unavailable::Down
        }
    }
}
