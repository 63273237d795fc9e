//! The registry: every family of a process, and the exposition of them all.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::counter::CounterFamily;
use crate::definition::{DEFAULT_SERIES_CAP, Definition};
use crate::family::Family;
use crate::gauge::GaugeFamily;
use crate::histogram::HistogramFamily;
use crate::page::Page;
use crate::series::Kind;
use crate::store::Store;
use crate::{Buckets, Exposition, FamilySamples, Format, MetricError, collect, name};

/// The metric families of one process or one embedding program.
///
/// Cloning is cheap and gives another handle to the same registry.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Guards registration; writing to a series does not take it.
    families: RwLock<Families>,
    /// Called before each exposition, to set what is only known by asking.
    hooks: RwLock<Vec<Hook>>,
    /// What was last shown. One reader at a time brings it up to date.
    page: Mutex<Page>,
}

type Hook = Arc<dyn Fn() + Send + Sync>;

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("families", &self.families)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Families {
    /// In order of registration, which is the order of the exposition.
    all: Vec<Arc<Store>>,
    by_name: HashMap<Box<str>, usize>,
}

/// How a family differs from the default.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many series the family holds; further ones share the overflow series.
    pub cap: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cap: DEFAULT_SERIES_CAP,
        }
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters called `name`; a `_total` at its end is understood.
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<CounterFamily, MetricError> {
        self.counter_with(name, help, labels, Options::default())
    }

    /// [`counter`](Self::counter) with options.
    pub fn counter_with(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        options: Options,
    ) -> Result<CounterFamily, MetricError> {
        let name = name.strip_suffix("_total").unwrap_or(name);
        self.register(Kind::Counter, name, help, labels, None, options)
            .map(Family::new)
    }

    /// The gauges called `name`.
    pub fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeFamily, MetricError> {
        self.gauge_with(name, help, labels, Options::default())
    }

    /// [`gauge`](Self::gauge) with options.
    pub fn gauge_with(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        options: Options,
    ) -> Result<GaugeFamily, MetricError> {
        self.register(Kind::Gauge, name, help, labels, None, options)
            .map(Family::new)
    }

    /// The histograms called `name`, with these ascending bounds; `+Inf` is added where it is missing.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        bounds: &[f64],
    ) -> Result<HistogramFamily, MetricError> {
        self.histogram_with(name, help, labels, bounds, Options::default())
    }

    /// [`histogram`](Self::histogram) with options, and with [log-linear](crate::LogLinear) buckets if wanted.
    pub fn histogram_with(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: impl Into<Buckets>,
        options: Options,
    ) -> Result<HistogramFamily, MetricError> {
        let buckets = buckets.into();
        if let Some(flaw) = buckets.flaw() {
            return Err(MetricError::InvalidBuckets {
                name: name.to_owned(),
                flaw,
            });
        }
        self.register(Kind::Histogram, name, help, labels, Some(buckets), options)
            .map(Family::new)
    }

    fn register(
        &self,
        kind: Kind,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: Option<Buckets>,
        options: Options,
    ) -> Result<Arc<Store>, MetricError> {
        name::check(
            name,
            labels,
            if kind == Kind::Histogram { "le" } else { "" },
        )?;
        let mut families = self.0.families.write();
        let definition = Definition::new(kind, name, help, labels, buckets, options.cap);
        if let Some(&at) = families.by_name.get(name) {
            let family = &families.all[at];
            if family.definition.serves(&definition) {
                return Ok(Arc::clone(family));
            }
            return Err(MetricError::Registered {
                name: name.to_owned(),
            });
        }
        let family = Store::new(definition);
        let at = families.all.len();
        families.by_name.insert(name.into(), at);
        families.all.push(Arc::clone(&family));
        Ok(family)
    }

    /// Forget a family: it is shown no more. Handles still out write to nowhere.
    pub fn unregister(&self, name: &str) -> bool {
        let name = name.strip_suffix("_total").unwrap_or(name);
        let mut families = self.0.families.write();
        if families.by_name.remove(name).is_none() {
            return false;
        }
        families
            .all
            .retain(|family| *family.definition.name != *name);
        families.by_name = families
            .all
            .iter()
            .enumerate()
            .map(|(at, family)| (family.definition.name.clone(), at))
            .collect();
        true
    }

    /// Have `hook` called before each exposition, to set gauges that are only known by asking.
    pub fn before_render(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.0.hooks.write().push(Arc::new(hook));
    }

    fn refreshed(&self) -> Vec<Arc<Store>> {
        let hooks = self.0.hooks.read().clone();
        for hook in hooks {
            hook();
        }
        self.0.families.read().all.clone()
    }

    /// Append the exposition of every family, in Prometheus' text format.
    pub fn render(&self, out: &mut Vec<u8>) {
        self.render_as(Format::Text, out);
    }

    /// Append the exposition of every family.
    pub fn render_as(&self, format: Format, out: &mut Vec<u8>) {
        let exposition = self.exposition(format);
        out.reserve(exposition.len());
        exposition
            .parts()
            .for_each(|part| out.extend_from_slice(part));
    }

    /// The exposition of every family: what did not change since the last one is not written again.
    pub fn exposition(&self, format: Format) -> Exposition {
        let families = self.refreshed();
        let mut page = self.0.page.lock();
        let bytes = page.refresh(&families);
        Exposition::new(&page, bytes, format)
    }

    /// Every family and its samples, as values.
    pub fn collect(&self) -> impl Iterator<Item = FamilySamples> {
        self.refreshed()
            .into_iter()
            .map(|family| collect::family(&family))
    }

    /// Forget series that nobody holds a handle to and that did not change through `keep_for` sweeps.
    /// Returns how many went. Call it on a timer: there is no thread behind this registry.
    pub fn sweep(&self, keep_for: u32) -> usize {
        let families = self.0.families.read().all.clone();
        families.iter().map(|family| family.sweep(keep_for)).sum()
    }
}
