//! Rate limits by the generic cell rate algorithm (ITU-T I.371): one word a limit, no timer, no bucket to fill.
//!
//! A limit remembers when the next call would be due if calls came evenly (the *theoretical arrival time*). A
//! call is let through if it comes no earlier than the burst allows before that, and moves it on by one interval.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ahash::RandomState;
use parking_lot::RwLock;

use crate::time::{Time, nanos};

/// So many calls a period, of which so many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval: u64,
    /// How far ahead of the even pace a call may come.
    ahead: u64,
}

impl Rate {
    /// `calls` in each `period`, `burst` of them at once.
    pub fn new(calls: NonZeroU32, period: Duration, burst: NonZeroU32) -> Self {
        let interval = (nanos(period) / u64::from(calls.get())).max(1);
        Self {
            interval,
            ahead: interval.saturating_mul(u64::from(burst.get()) - 1),
        }
    }
}

/// The call came too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// When it could be let through.
    pub retry_after: Duration,
}

/// Takes back one call that was let through and did not go after all. Where time has passed the call's
/// place by meanwhile, there is nothing to take back: a due time that lies in the past says nothing.
fn give_back(rate: Rate, due: &AtomicU64) {
    let back = |due: u64| Some(due.saturating_sub(rate.interval));
    let _ = due.fetch_update(Relaxed, Relaxed, back);
}

/// Moves the due time in `due` on by one call, or says how long to wait.
fn admit(rate: Rate, due: &AtomicU64, now: Time) -> Result<(), Limited> {
    let mut seen = due.load(Relaxed);
    loop {
        let base = seen.max(now.0);
        let early = base - now.0;
        if early > rate.ahead {
            let retry_after = Duration::from_nanos(early - rate.ahead);
            return Err(Limited { retry_after });
        }
        match due.compare_exchange_weak(seen, base + rate.interval, Relaxed, Relaxed) {
            Ok(_) => return Ok(()),
            Err(other) => seen = other,
        }
    }
}

/// One rate for all.
#[derive(Debug)]
pub struct Meter {
    rate: Rate,
    due: AtomicU64,
}

impl Meter {
    /// A limit that has seen no call.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            due: AtomicU64::new(0),
        }
    }

    /// Let a call through now, or say when.
    ///
    /// # Errors
    /// [`Limited`] when it came too early; nothing is counted then.
    pub fn check(&self, now: Time) -> Result<(), Limited> {
        admit(self.rate, &self.due, now)
    }

    /// The call that was let through did not go after all.
    pub fn give_back(&self) {
        give_back(self.rate, &self.due);
    }
}

/// One rate for each of many keys (clients, tools), bounded.
///
/// A key whose time has come has nothing to remember and may be forgotten, which is what makes room. When every
/// one of `most` keys is in the middle of something, new keys share one limit: what cannot be told apart any
/// more is held back together rather than let through.
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    most: usize,
    /// Read for known keys, written for new ones and never held across a wait.
    due: RwLock<std::collections::HashMap<K, AtomicU64, RandomState>>,
    shared: AtomicU64,
}

impl<K: Hash + Eq> Limiter<K> {
    /// A limit for each key; at most `most` keys are told apart.
    pub fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            most,
            due: RwLock::default(),
            shared: AtomicU64::new(0),
        }
    }

    /// Let a call of `key` through now, or say when.
    ///
    /// # Errors
    /// [`Limited`] when it came too early; nothing is counted then.
    pub fn check<Q>(&self, key: &Q, now: Time) -> Result<(), Limited>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(due) = self.due.read().get(key) {
            return admit(self.rate, due, now);
        }
        let mut due = self.due.write();
        if due.len() >= self.most && !due.contains_key(key) {
            due.retain(|_, due| due.load(Relaxed) > now.0);
            if due.len() >= self.most {
                return admit(self.rate, &self.shared, now);
            }
        }
        let due = due.entry(key.to_owned()).or_default();
        admit(self.rate, due, now)
    }

    /// The call of `key` that was let through did not go after all.
    pub fn give_back<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.due.read().get(key) {
            Some(due) => give_back(self.rate, due),
            None => give_back(self.rate, &self.shared),
        }
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.due.read().len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(calls: u32, burst: u32) -> Rate {
        Rate::new(
            NonZeroU32::new(calls).unwrap(),
            Duration::from_secs(1),
            NonZeroU32::new(burst).unwrap(),
        )
    }

    const MILLI: u64 = 1_000_000;

    #[test]
    fn a_burst_goes_through_and_then_the_pace() {
        let limiter = Limiter::<String>::new(rate(10, 3), 10);
        for _ in 0..3 {
            limiter.check("a", Time(0)).unwrap();
        }
        let Limited { retry_after } = limiter.check("a", Time(0)).unwrap_err();
        assert_eq!(retry_after, Duration::from_millis(100));
        limiter.check("b", Time(0)).unwrap();
        limiter.check("a", Time(100 * MILLI)).unwrap();
        limiter.check("a", Time(100 * MILLI)).unwrap_err();
    }

    #[test]
    fn keys_are_bounded_and_strangers_share() {
        let limiter = Limiter::<u32>::new(rate(1, 1), 2);
        limiter.check(&1, Time(0)).unwrap();
        limiter.check(&2, Time(0)).unwrap();
        limiter.check(&3, Time(0)).unwrap();
        limiter.check(&4, Time(0)).unwrap_err();
        assert_eq!(limiter.len(), 2);
        // A second later the first two have nothing to remember.
        limiter.check(&4, Time(1_000 * MILLI)).unwrap();
        assert_eq!(limiter.len(), 1);
    }

    #[test]
    fn what_did_not_go_does_not_count() {
        let limiter = Limiter::<u32>::new(rate(10, 1), 10);
        limiter.check(&1, Time(0)).unwrap();
        limiter.give_back(&1);
        limiter.check(&1, Time(0)).unwrap();
        limiter.check(&1, Time(0)).unwrap_err();
        let meter = Meter::new(rate(10, 1));
        meter.check(Time(0)).unwrap();
        meter.check(Time(0)).unwrap_err();
        meter.give_back();
        meter.check(Time(0)).unwrap();
    }

    proptest! {
        /// Whenever calls come: in any span of time no more go through than the rate and one burst.
        #[test]
        fn no_more_than_the_rate_and_one_burst(
            steps in prop::collection::vec(0_u64..80, 1..200),
            calls in 1_u32..100,
            burst in 1_u32..10,
        ) {
            let limiter = Limiter::<u8>::new(rate(calls, burst), 4);
            let mut now = 0;
            let mut through: Vec<u64> = Vec::new();
            for step in steps {
                now += step * MILLI;
                match limiter.check(&0, Time(now)) {
                    Ok(()) => through.push(now),
                    Err(Limited { retry_after }) => {
                        // What it says is true: then it would go through, and not before.
                        let wait = nanos(retry_after);
                        prop_assert!(wait > 0);
                    }
                }
            }
            let interval = 1_000_000_000 / u64::from(calls);
            for (i, first) in through.iter().enumerate() {
                for (j, last) in through.iter().enumerate().skip(i) {
                    let most = (last - first) / interval + u64::from(burst) + 1;
                    prop_assert!((j - i + 1) as u64 <= most);
                }
            }
        }
    }
}
