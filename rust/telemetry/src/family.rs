//! The series of one name, as users see them: what families of every kind offer alike.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::series::Series;
use crate::store::Store;
use crate::{Buckets, MetricError};

/// The series of one name; `S` is the handle to one of them. Cloning is cheap and gives the same family.
pub struct Family<S> {
    pub(crate) store: Arc<Store>,
    of: PhantomData<fn() -> S>,
}

/// Where a handle writes to. Only a family makes one.
#[derive(Debug)]
pub struct Place {
    pub(crate) series: Arc<Series>,
    pub(crate) buckets: Option<Buckets>,
}

/// What writes to one series.
pub trait Handle: Clone + From<Place> {
    /// Whether the series is still shown: false once it was removed, by whatever way.
    fn is_current(&self) -> bool;
}

impl<S> Family<S> {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let of = PhantomData;
        Self { store, of }
    }

    /// Forget the series with these label values. Handles still out write to nowhere.
    pub fn remove(&self, labels: &[&str]) -> bool {
        self.store.remove(labels)
    }

    /// Forget every series whose label values `keep` refuses. Returns how many went.
    pub fn retain(&self, keep: impl FnMut(&[Arc<str>]) -> bool) -> usize {
        self.store.retain(keep)
    }

    /// The family's name, without the `_total` of counters.
    pub fn name(&self) -> &str {
        &self.store.definition.name
    }

    /// The names of the labels.
    pub fn label_names(&self) -> &[Box<str>] {
        &self.store.definition.labels
    }

    /// How many series there may be before the rest share the overflow series.
    pub fn cap(&self) -> usize {
        self.store.definition.cap
    }

    /// How many series there are, the overflow series included.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there is no series yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many look-ups found the family full and got the overflow series.
    pub fn overflowed(&self) -> u64 {
        self.store.overflowed()
    }
}

impl<S: Handle> Family<S> {
    /// The series with these label values, made if new; the overflow series when the family is full.
    ///
    /// Keep the handle where the labels are fixed: a handle costs a few nanoseconds to write to, a look-up
    /// some tens.
    ///
    /// # Panics
    /// When the number of values is not that of the family's labels.
    #[track_caller]
    pub fn with(&self, labels: &[&str]) -> S {
        match self.try_with(labels) {
            Ok(handle) => handle,
            Err(error) => panic!("{error}"),
        }
    }

    /// [`with`](Self::with) for label values that come from outside.
    pub fn try_with(&self, labels: &[&str]) -> Result<S, MetricError> {
        let series = self.store.series(labels)?;
        let buckets = self.store.definition.buckets.clone();
        Ok(Place { series, buckets }.into())
    }
}

impl<S> Clone for Family<S> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.store))
    }
}

impl<S> fmt::Debug for Family<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family")
            .field("name", &self.name())
            .field("series", &self.len())
            .finish_non_exhaustive()
    }
}
