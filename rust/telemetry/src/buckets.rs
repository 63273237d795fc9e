//! Buckets: how a histogram sorts observations by size.

use std::sync::Arc;

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

/// How a histogram sorts observations.
#[derive(Debug, Clone, PartialEq)]
pub enum Buckets {
    /// By these upper bounds, ascending, without `+Inf`; each is a line of the exposition.
    Explicit(Arc<[f64]>),
    /// Finely, by the leading bits of the number itself; a line for each power of two.
    LogLinear(LogLinear),
}

impl From<&[f64]> for Buckets {
    fn from(bounds: &[f64]) -> Self {
        Self::Explicit(
            bounds
                .strip_suffix(&[f64::INFINITY])
                .unwrap_or(bounds)
                .into(),
        )
    }
}

impl From<LogLinear> for Buckets {
    fn from(buckets: LogLinear) -> Self {
        Self::LogLinear(buckets)
    }
}

impl Buckets {
    /// What makes these no buckets, if something does.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        match self {
            Self::Explicit(bounds) if bounds.is_empty() => Some("there are none"),
            Self::Explicit(bounds)
                if bounds.iter().any(|bound| !bound.is_finite())
                    || bounds.windows(2).any(|pair| pair[0] >= pair[1]) =>
            {
                Some("they are not ascending")
            }
            Self::LogLinear(buckets) if buckets.octaves == 0 => {
                Some("their lowest bound is not positive and below the highest")
            }
            _ if self.counts() > MOST_COUNTS => Some("they are more than 8192"),
            _ => None,
        }
    }

    /// How many counts there are, that of what is above every bound included.
    pub(crate) fn counts(&self) -> usize {
        match self {
            Self::Explicit(bounds) => bounds.len() + 1,
            Self::LogLinear(buckets) => buckets.counts(),
        }
    }

    /// Which count an observation belongs to. Bounds are inclusive.
    pub(crate) fn index(&self, value: f64) -> usize {
        match self {
            Self::Explicit(bounds) => bounds.partition_point(|&bound| bound < value),
            Self::LogLinear(buckets) => buckets.index(value),
        }
    }

    /// The upper bound of a count; `None` for the last one, which has none.
    pub(crate) fn upper(&self, index: usize) -> Option<f64> {
        match self {
            Self::Explicit(bounds) => bounds.get(index).copied(),
            Self::LogLinear(buckets) => {
                (index + 1 < buckets.counts()).then(|| buckets.upper(index))
            }
        }
    }

    /// How many counts make one line of the exposition, after the first, which is one count.
    pub(crate) fn per_line(&self) -> usize {
        match self {
            Self::Explicit(_) => 1,
            Self::LogLinear(buckets) => 1 << buckets.bits,
        }
    }

    /// The bounds of the exposition's lines, without `+Inf`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = f64> + '_ {
        let last = self.counts() - 1;
        (0..last)
            .step_by(self.per_line())
            .filter_map(|index| self.upper(index))
    }

    /// An estimate of the `q`-th quantile, interpolated within its bucket as Prometheus does; `None` when
    /// nothing was counted.
    pub(crate) fn quantile(&self, q: f64, counts: &[u64]) -> Option<f64> {
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * as_float(total);
        let mut below = 0;
        for (index, &count) in counts.iter().enumerate() {
            if count > 0 && as_float(below + count) >= rank {
                let Some(upper) = self.upper(index) else {
                    break;
                };
                let lower = match index.checked_sub(1) {
                    Some(before) => self.upper(before)?,
                    None => upper.min(0.0),
                };
                let part = ((rank - as_float(below)) / as_float(count)).max(0.0);
                return Some(lower + (upper - lower) * part);
            }
            below += count;
        }
        self.upper(counts.len() - 2)
    }
}

/// Buckets that are a fixed part of their own size: each power of two from `low` to `high` is divided evenly.
///
/// What an observation belongs to is read off the leading bits of the number: no search, however fine they are.
/// Quantiles are right to within the part asked for. The exposition has a line for each power of two, which is
/// exact: bounds nest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLinear {
    /// The leading bits of the bound below which everything is one bucket.
    base: u64,
    /// Powers of two between the lowest and the highest bound.
    octaves: u32,
    /// Each power of two is divided into two to this many.
    bits: u32,
}

/// Bits of a double's fraction.
const FRACTION: u32 = 52;
/// As fine as it gets: two per mille.
const MOST_BITS: u32 = 9;
/// No more counts than this in one series.
const MOST_COUNTS: usize = 8192;

impl LogLinear {
    /// From at most `low` to at least `high`, both positive; a bucket is at most `error` of its lower bound wide.
    pub fn new(low: f64, high: f64, error: f64) -> Self {
        let exponent = |value: f64| value.to_bits() >> FRACTION;
        let bits = (0..=MOST_BITS)
            .find(|&bits| 1.0 / f64::from(1u32 << bits) <= error)
            .unwrap_or(MOST_BITS);
        let sound = low.is_normal() && high.is_finite() && 0.0 < low && low < high && error > 0.0;
        let octaves = if sound {
            exponent(high.next_down()) + 1 - exponent(low)
        } else {
            0
        };
        Self {
            base: exponent(low) << bits,
            octaves: u32::try_from(octaves).unwrap_or(0),
            bits,
        }
    }

    fn counts(self) -> usize {
        ((self.octaves as usize) << self.bits) + 2
    }

    fn index(self, value: f64) -> usize {
        if value <= 0.0 {
            return 0;
        }
        // The number before it, so that a bound belongs to the bucket that it ends.
        let leading = (value.to_bits() - 1) >> (FRACTION - self.bits);
        let above = (leading + 1).saturating_sub(self.base);
        usize::try_from(above).map_or(self.counts() - 1, |above| above.min(self.counts() - 1))
    }

    fn upper(self, index: usize) -> f64 {
        f64::from_bits((self.base + index as u64) << (FRACTION - self.bits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_that_it_ends() {
        let buckets = Buckets::from(LogLinear::new(0.5, 4.0, 0.5));
        let bounds: Vec<f64> = (0..buckets.counts())
            .map_while(|i| buckets.upper(i))
            .collect();
        assert_eq!(bounds, [0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0]);
        assert_eq!(buckets.lines().collect::<Vec<_>>(), [0.5, 1.0, 2.0, 4.0]);
        for (index, &bound) in bounds.iter().enumerate() {
            assert_eq!(buckets.index(bound), index);
            assert_eq!(buckets.index(bound.next_up()), index + 1);
        }
        assert_eq!((buckets.index(-1.0), buckets.index(0.0)), (0, 0));
        assert_eq!(buckets.index(f64::INFINITY), buckets.counts() - 1);
    }

    #[test]
    fn what_cannot_be_sorted_by_is_refused() {
        for (low, high, error) in [
            (0.0, 1.0, 0.1),
            (1.0, 1.0, 0.1),
            (1.0, f64::INFINITY, 0.1),
            (2.0, 1.0, 0.1),
        ] {
            assert!(
                Buckets::from(LogLinear::new(low, high, error))
                    .flaw()
                    .is_some(),
                "{low} {high}"
            );
        }
        assert!(
            Buckets::from(LogLinear::new(1e-300, 1e300, 0.001))
                .flaw()
                .is_some(),
            "too many"
        );
        assert!(Buckets::from(&[1.0, 1.0][..]).flaw().is_some());
        assert!(Buckets::from(&[1.0, f64::INFINITY][..]).flaw().is_none());
    }

    proptest! {
        #[test]
        fn quantiles_are_right_to_within_the_error(
            mut values in prop::collection::vec(1e-6f64..3600.0, 1..300),
            q in 0.0f64..=1.0,
        ) {
            let error = 0.04;
            let buckets = Buckets::from(LogLinear::new(1e-6, 3600.0, error));
            let mut counts = vec![0; buckets.counts()];
            for &value in &values {
                counts[buckets.index(value)] += 1;
            }
            values.sort_by(f64::total_cmp);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
            let rank = ((q * as_float(values.len() as u64)).ceil() as usize).max(1);
            let (exact, found) = (values[rank - 1], buckets.quantile(q, &counts).unwrap());
            prop_assert!((found - exact).abs() <= exact * error, "{} for {}", found, exact);
        }
    }
}
