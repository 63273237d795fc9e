//! Histograms: how many observations were how large.

use std::sync::Arc;

use crate::family::{Family, Place};
use crate::series::Series;
use crate::text::as_float;

/// Bounds for call latencies in seconds: 0.1 ms to a minute, about three a decade.
pub const LATENCY_SECONDS: [f64; 18] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];

/// `count` bounds from `start`, each `factor` times the one before.
pub fn exponential(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor))
        .take(count)
        .collect()
}

/// `count` bounds from `start`, each `step` above the one before.
pub fn linear(start: f64, step: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound + step))
        .take(count)
        .collect()
}

/// Counts observations by size. Cloning is cheap and gives the same series.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Series>, Arc<[f64]>);

impl Histogram {
    /// Record one observation. What is not a number is left out.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let bucket = self.1.partition_point(|&bound| bound < value);
        self.0.block.count(self.0.cell + bucket);
        self.0.block.add(self.0.cell + self.1.len() + 1, value);
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        (0..=self.1.len())
            .map(|bucket| self.0.block.integer(self.0.cell + bucket))
            .sum()
    }

    /// The sum of all observations.
    pub fn sum(&self) -> f64 {
        self.0.block.float(self.0.cell + self.1.len() + 1)
    }

    /// An estimate of the `q`-th quantile, interpolated within its bucket as Prometheus does; `None` when
    /// nothing was observed.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let counts: Vec<u64> = (0..=self.1.len())
            .map(|bucket| self.0.block.integer(self.0.cell + bucket))
            .collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * as_float(total);
        let mut below = 0;
        for (bucket, &count) in counts.iter().enumerate() {
            if count > 0 && as_float(below + count) >= rank {
                let Some(&upper) = self.1.get(bucket) else {
                    break;
                };
                let lower = if bucket == 0 {
                    upper.min(0.0)
                } else {
                    self.1[bucket - 1]
                };
                return Some(
                    lower + (upper - lower) * ((rank - as_float(below)) / as_float(count)).max(0.0),
                );
            }
            below += count;
        }
        self.1.last().copied()
    }
}

impl From<Place> for Histogram {
    fn from(place: Place) -> Self {
        Self(place.series, place.bounds)
    }
}

/// The histograms of one name.
pub type HistogramFamily = Family<Histogram>;

impl HistogramFamily {
    /// The bucket bounds, without `+Inf`.
    pub fn bounds(&self) -> &[f64] {
        &self.store.definition.bounds
    }
}
