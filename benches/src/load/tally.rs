//! What calls came to, and how it is said.

use std::time::Duration;

/// The calls of one session, or of all; latencies in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    took: Vec<u64>,
    failed: u64,
}

impl Tally {
    /// Counts one call: how long it took, or that it failed.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "584 years of nanoseconds fit"
    )]
    pub fn add(&mut self, took: Duration, good: bool) {
        if good {
            self.took.push(took.as_nanos() as u64);
        } else {
            self.failed += 1;
        }
    }

    /// Adds another session's.
    pub fn merge(&mut self, other: Self) {
        self.took.extend(other.took);
        self.failed += other.failed;
    }

    /// One line of JSON: rate, latencies in microseconds, failures.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    pub fn json(&mut self, seconds: f64) -> String {
        self.took.sort_unstable();
        let at = |share: f64| {
            let index = (self.took.len() as f64 * share) as usize;
            let nanos = self.took.get(index.min(self.took.len().saturating_sub(1)));
            nanos.map_or(0.0, |nanos| *nanos as f64 / 1e3)
        };
        format!(
            "{{\"calls\":{},\"failed\":{},\"seconds\":{seconds:.4},\"rate\":{:.1},\"p50_us\":{:.1},\"p90_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1}}}",
            self.took.len(),
            self.failed,
            self.took.len() as f64 / seconds,
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_good_calls() {
        let mut tally = Tally::default();
        for micros in 1..=100 {
            tally.add(Duration::from_micros(micros), true);
        }
        tally.add(Duration::from_secs(1), false);
        let said: serde_json::Value = serde_json::from_str(&tally.json(2.0)).unwrap_or_default();
        assert_eq!(said["calls"], 100);
        assert_eq!(said["failed"], 1);
        assert_eq!(said["rate"], 50.0);
        assert_eq!(said["p50_us"], 51.0);
        assert_eq!(said["max_us"], 100.0);
    }
}
