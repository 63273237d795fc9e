//! Gauges: what goes both ways.

use std::sync::Arc;

use crate::family::{Family, Handle, Place};
use crate::series::Series;

/// A value that goes up and down. Cloning is cheap and gives the same series.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Series>);

impl Gauge {
    /// Replace the value.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.block.set(self.0.seat, 0, value);
    }

    /// Add `amount`, which may be negative.
    #[inline]
    pub fn add(&self, amount: f64) {
        self.0.block.add(self.0.seat, 0, amount);
    }

    /// Add one.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Take one away.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// The value now.
    pub fn value(&self) -> f64 {
        self.0.block.float(self.0.seat, 0)
    }
}

impl From<Place> for Gauge {
    fn from(place: Place) -> Self {
        Self(place.series)
    }
}

impl Handle for Gauge {
    #[inline]
    fn is_current(&self) -> bool {
        self.0.is_current()
    }
}

/// The gauges of one name.
pub type GaugeFamily = Family<Gauge>;
