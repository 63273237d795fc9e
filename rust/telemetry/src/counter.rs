//! Counters: what only goes up.

use std::sync::Arc;

use crate::family::{Family, Handle, Place};
use crate::series::Series;
use crate::value::counter;

/// Adds up events of one kind. Cloning is cheap and counts into the same series.
#[derive(Debug, Clone)]
pub struct Counter(Arc<Series>);

impl Counter {
    /// Add one.
    #[inline]
    pub fn inc(&self) {
        self.0.block.count_one(self.0.seat, 0);
    }

    /// Add `amount`. Amounts that are negative or not numbers are left out: a counter only goes up.
    #[inline]
    pub fn add(&self, amount: f64) {
        if amount.to_bits() == 1f64.to_bits() {
            self.inc();
        } else if amount >= 0.0 {
            self.0.block.count(self.0.seat, 0, amount);
        }
    }

    /// The sum so far.
    pub fn value(&self) -> f64 {
        counter(&self.0.block, self.0.seat).as_float()
    }
}

impl From<Place> for Counter {
    fn from(place: Place) -> Self {
        Self(place.series)
    }
}

impl Handle for Counter {
    #[inline]
    fn is_current(&self) -> bool {
        self.0.is_current()
    }
}

/// The counters of one name.
pub type CounterFamily = Family<Counter>;
