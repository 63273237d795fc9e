//! Outlier ejection: an instance that fails again and again, whatever it is asked, rests while others work.
//!
//! A breaker knows one tool of one instance; this knows the instance. So many failures in a row eject it, for
//! longer each time; a success in between begins the count anew. Whether an ejection is respected is
//! [`Balance`](crate::Balance)'s: when most instances fail, it is not the instances. All state is in three words.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::time::Duration;

use crate::time::{Time, nanos};

/// When an instance is ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionConfig {
    /// Failures in a row.
    pub failures: u32,
    /// How long it rests the first time; each time doubles it.
    pub rests_for: Duration,
    /// The longest it rests.
    pub at_most: Duration,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ejection {
    streak: AtomicU32,
    /// How often it was ejected.
    times: AtomicU32,
    /// Zero: not ejected. Else the time until which it is, which may have passed.
    until: AtomicU64,
}

impl Ejection {
    /// A call has worked.
    pub fn success(&self) {
        // Read first: a word that all threads only read is in all their caches.
        if self.streak.load(Relaxed) != 0 {
            self.streak.store(0, Relaxed);
        }
    }

    /// A call has failed. Returns for how long it is ejected, where that was the failure too much.
    pub fn failure(&self, config: &EjectionConfig, now: Time) -> Option<Duration> {
        let streak = self.streak.fetch_add(1, Relaxed) + 1;
        if streak < config.failures || self.until.load(Acquire) != 0 {
            return None;
        }
        let times = self.times.load(Relaxed).min(30);
        let rest = nanos(config.rests_for)
            .saturating_mul(1 << times)
            .min(nanos(config.at_most));
        let until = now.0.saturating_add(rest).max(1);
        self.until
            .compare_exchange(0, until, AcqRel, Relaxed)
            .is_ok()
            .then(|| {
                self.times.store(times + 1, Relaxed);
                self.streak.store(0, Relaxed);
                Duration::from_nanos(rest)
            })
    }

    /// Whether it rests.
    pub fn is_out(&self, now: Time) -> bool {
        let until = self.until.load(Relaxed);
        until != 0 && now.0 < until
    }

    /// How much longer it rests; none where it does not.
    pub fn rests_for(&self, now: Time) -> Option<Duration> {
        let left = self.until.load(Relaxed).checked_sub(now.0)?;
        (left > 0).then(|| Duration::from_nanos(left))
    }

    /// True once after each ejection, when its time is over.
    pub fn returns(&self, now: Time) -> bool {
        let until = self.until.load(Relaxed);
        until != 0
            && now.0 >= until
            && self
                .until
                .compare_exchange(until, 0, AcqRel, Relaxed)
                .is_ok()
    }

    /// It is another process now. True where the former one rested.
    pub fn forget(&self) -> bool {
        self.streak.store(0, Relaxed);
        self.times.store(0, Relaxed);
        self.until.swap(0, AcqRel) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: EjectionConfig = EjectionConfig {
        failures: 3,
        rests_for: Duration::from_nanos(100),
        at_most: Duration::from_nanos(250),
    };

    fn fail(ejection: &Ejection, times: u32, now: u64) -> Option<Duration> {
        (0..times).fold(None, |_, _| ejection.failure(&CONFIG, Time(now)))
    }

    #[test]
    fn so_many_failures_in_a_row_eject_and_a_success_begins_anew() {
        let ejection = Ejection::default();
        assert_eq!(fail(&ejection, 2, 1), None);
        ejection.success();
        assert_eq!(fail(&ejection, 2, 2), None);
        assert_eq!(fail(&ejection, 1, 3), Some(Duration::from_nanos(100)));
        assert!(ejection.is_out(Time(102)));
        assert_eq!(ejection.rests_for(Time(102)), Some(Duration::from_nanos(1)));
        assert_eq!(ejection.rests_for(Time(103)), None);
        assert!(!ejection.is_out(Time(103)));
    }

    #[test]
    fn it_comes_back_once_and_rests_longer_each_time_up_to_a_bound() {
        let ejection = Ejection::default();
        let mut now = 1;
        let mut rests = Vec::new();
        for _ in 0..4 {
            let rest = fail(&ejection, 3, now).unwrap();
            assert_eq!(
                fail(&ejection, 9, now),
                None,
                "who rests is not ejected again"
            );
            assert!(!ejection.returns(Time(now)));
            now += nanos(rest);
            assert!(ejection.returns(Time(now)));
            assert!(!ejection.returns(Time(now)));
            ejection.success();
            rests.push(nanos(rest));
        }
        assert_eq!(rests, [100, 200, 250, 250]);
    }

    #[test]
    fn a_new_process_has_no_past() {
        let ejection = Ejection::default();
        fail(&ejection, 3, 1);
        assert!(ejection.forget());
        assert!(!ejection.forget());
        assert!(!ejection.is_out(Time(2)));
        assert_eq!(fail(&ejection, 3, 2), Some(Duration::from_nanos(100)));
    }
}
