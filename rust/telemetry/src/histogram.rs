//! Histograms: how many observations were how large.

use std::sync::Arc;

use crate::Buckets;
use crate::family::{Family, Handle, Place};
use crate::series::Series;

/// Counts observations by size. Cloning is cheap and gives the same series.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Series>, Buckets);

impl Histogram {
    /// Record one observation. What is not a number is left out.
    #[inline]
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let cells = [self.1.index(value), self.1.counts()];
        self.0.block.count_and_add(self.0.seat, cells, value);
    }

    fn counts(&self) -> Vec<u64> {
        (0..self.1.counts())
            .map(|bucket| self.0.block.integer(self.0.seat, bucket))
            .collect()
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.counts().iter().sum()
    }

    /// The sum of all observations.
    pub fn sum(&self) -> f64 {
        self.0.block.float(self.0.seat, self.1.counts())
    }

    /// An estimate of the `q`-th quantile, interpolated within its bucket as Prometheus does; `None` when
    /// nothing was observed.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.1.quantile(q, &self.counts())
    }
}

impl From<Place> for Histogram {
    fn from(place: Place) -> Self {
        // A family of histograms is registered with buckets.
        let none = || Buckets::Explicit(Arc::default());
        Self(place.series, place.buckets.unwrap_or_else(none))
    }
}

impl Handle for Histogram {
    #[inline]
    fn is_current(&self) -> bool {
        self.0.is_current()
    }
}

/// The histograms of one name.
pub type HistogramFamily = Family<Histogram>;

impl HistogramFamily {
    /// How they sort observations.
    pub fn buckets(&self) -> Option<&Buckets> {
        self.store.definition.buckets.as_ref()
    }
}
