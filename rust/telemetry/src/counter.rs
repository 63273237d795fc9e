//! Counters: what only goes up.

use std::sync::Arc;

use crate::family::{Family, Place};
use crate::series::Series;

/// Adds up events of one kind. Cloning is cheap and counts into the same series.
#[derive(Debug, Clone)]
pub struct Counter(Arc<Series>);

impl Counter {
    /// Add one.
    pub fn inc(&self) {
        self.0.block.add(self.0.cell, 1.0);
    }

    /// Add `amount`. Amounts that are negative or not numbers are left out: a counter only goes up.
    pub fn add(&self, amount: f64) {
        if amount >= 0.0 {
            self.0.block.add(self.0.cell, amount);
        }
    }

    /// The sum so far.
    pub fn value(&self) -> f64 {
        self.0.block.float(self.0.cell)
    }
}

impl From<Place> for Counter {
    fn from(place: Place) -> Self {
        Self(place.series)
    }
}

/// The counters of one name.
pub type CounterFamily = Family<Counter>;
