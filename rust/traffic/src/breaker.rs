//! A circuit breaker: what fails again and again is not asked for a while.
//!
//! Closed, it counts outcomes over a window of two halves; when enough came and too many of them failed it opens.
//! Open, it refuses at once, each time longer, up to a bound. Then one call is let through to see
//! (half-open): its success closes the breaker, its failure opens it again. All state is in three words.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::time::Duration;

use crate::time::{Time, nanos};

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// It never opens on fewer outcomes than this in the window.
    pub least: u32,
    /// The share of failures at which it opens, from 0 to 1.
    pub share: f64,
    /// How far back outcomes count.
    pub window: Duration,
    /// How long it stays open the first time; each time in a row doubles it.
    pub open_for: Duration,
    /// The longest it stays open.
    pub open_at_most: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            least: 5,
            share: 0.5,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(1),
            open_at_most: Duration::from_secs(60),
        }
    }
}

/// What a breaker does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls go through.
    Closed,
    /// Calls are refused.
    Open,
    /// One call is out to see whether it works again.
    HalfOpen,
}

/// The breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// When a call will be let through to see.
    pub retry_after: Duration,
}

/// Marks `until` while the one call of a half-open breaker is out.
const TRYING: u64 = u64::MAX;
/// Bits of a count in a half's word; above them stands which half of all time it is.
const COUNT: u32 = 20;
const MOST: u64 = (1 << COUNT) - 1;

/// See the module.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    /// Zero: closed. [`TRYING`]: half-open. Else the time until which it is open.
    until: AtomicU64,
    /// When a trial that never came back is given up.
    trial_ends: AtomicU64,
    /// How often in a row it opened.
    times: AtomicU64,
    /// The two halves of the window, by parity: `half << 40 | failures << 20 | outcomes`.
    halves: [AtomicU64; 2],
}

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            until: AtomicU64::new(0),
            trial_ends: AtomicU64::new(0),
            times: AtomicU64::new(0),
            halves: Default::default(),
        }
    }

    /// Whether a call may go. Who is let through must report the outcome, [`success`](Self::success) or
    /// [`failure`](Self::failure).
    ///
    /// # Errors
    /// [`Open`].
    pub fn check(&self, now: Time) -> Result<(), Open> {
        let until = self.until.load(Acquire);
        if until == 0 {
            return Ok(());
        }
        self.check_slowly(until, now)
    }

    #[cold]
    fn check_slowly(&self, until: u64, now: Time) -> Result<(), Open> {
        let due = if until == TRYING {
            self.trial_ends.load(Acquire)
        } else {
            until
        };
        if now.0 < due {
            let retry_after = Duration::from_nanos(due - now.0);
            return Err(Open { retry_after });
        }
        // A trial whose outcome nobody reported is given up after as long as the breaker would stay open.
        let again = now.after(self.config.open_for);
        let mine = if until == TRYING {
            self.trial_ends
                .compare_exchange(due, again.0, AcqRel, Acquire)
        } else {
            self.trial_ends.store(again.0, Release);
            self.until.compare_exchange(until, TRYING, AcqRel, Acquire)
        };
        match mine {
            Ok(_) => Ok(()),
            Err(_) => Err(Open {
                retry_after: self.config.open_for,
            }),
        }
    }

    /// How long until it would let a call through; `None`: now. Asking is not trying: nobody has to report.
    pub fn opens_in(&self, now: Time) -> Option<Duration> {
        let until = match self.until.load(Acquire) {
            0 => return None,
            TRYING => self.trial_ends.load(Acquire),
            until => until,
        };
        (now.0 < until).then(|| Duration::from_nanos(until - now.0))
    }

    /// What it refuses is another now (a new process, say): the next call may try it at once.
    pub fn try_now(&self, now: Time) {
        let until = self.until.load(Acquire);
        if until != 0 && until != TRYING && until > now.0 {
            let _ = self
                .until
                .compare_exchange(until, now.0.max(1), AcqRel, Relaxed);
        }
    }

    /// What it does now.
    pub fn state(&self) -> State {
        match self.until.load(Acquire) {
            0 => State::Closed,
            TRYING => State::HalfOpen,
            _ => State::Open,
        }
    }

    /// A call that was let through has worked. True: the breaker has closed for that.
    pub fn success(&self, now: Time) -> bool {
        if self.until.load(Relaxed) == TRYING
            && self
                .until
                .compare_exchange(TRYING, 0, AcqRel, Relaxed)
                .is_ok()
        {
            self.times.store(0, Relaxed);
            self.halves.iter().for_each(|half| half.store(0, Relaxed));
            return true;
        }
        self.count(now, 0);
        false
    }

    /// A call that was let through has failed. True: the breaker has opened for that.
    pub fn failure(&self, now: Time) -> bool {
        if self.until.load(Relaxed) == TRYING {
            return self.open(TRYING, now);
        }
        let (outcomes, failures) = self.count(now, 1);
        let enough = outcomes >= u64::from(self.config.least);
        #[expect(clippy::cast_precision_loss, reason = "counts are below 2^21")]
        let too_many = failures as f64 >= self.config.share * outcomes as f64;
        enough && too_many && self.open(0, now)
    }

    fn open(&self, from: u64, now: Time) -> bool {
        let times = self.times.load(Relaxed).min(30);
        let time = nanos(self.config.open_for)
            .saturating_mul(1 << times)
            .min(nanos(self.config.open_at_most));
        // Neither of the two marks can be an end.
        let until = now.0.saturating_add(time).clamp(1, TRYING - 1);
        let opened = self
            .until
            .compare_exchange(from, until, AcqRel, Relaxed)
            .is_ok();
        if opened {
            self.times.fetch_add(1, Relaxed);
        }
        opened
    }

    /// Count one outcome; returns outcomes and failures of the window.
    fn count(&self, now: Time, failed: u64) -> (u64, u64) {
        let length = (nanos(self.config.window) / 2).max(1);
        let half = now.0 / length;
        let stamp = half & (u64::MAX >> (2 * COUNT));
        let word = &self.halves[usize::from(half % 2 == 1)];
        let mut seen = word.load(Relaxed);
        let counted = loop {
            let (outcomes, failures) = if seen >> (2 * COUNT) == stamp {
                (seen & MOST, seen >> COUNT & MOST)
            } else {
                (0, 0) // what stands there is older than the window
            };
            // Full counters stay full: the share is what counts.
            let counted = if outcomes == MOST {
                (outcomes, failures)
            } else {
                (outcomes + 1, failures + failed)
            };
            let next = stamp << (2 * COUNT) | counted.1 << COUNT | counted.0;
            match word.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => break counted,
                Err(other) => seen = other,
            }
        };
        let other = self.halves[usize::from(half.is_multiple_of(2))].load(Relaxed);
        let before = half.wrapping_sub(1) & (u64::MAX >> (2 * COUNT));
        if half > 0 && other >> (2 * COUNT) == before {
            (
                counted.0 + (other & MOST),
                counted.1 + (other >> COUNT & MOST),
            )
        } else {
            counted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn breaker() -> Breaker {
        Breaker::new(BreakerConfig::default())
    }

    fn opened() -> Breaker {
        let breaker = breaker();
        let opened: Vec<bool> = (0..5).map(|_| breaker.failure(Time(SECOND))).collect();
        assert_eq!(opened, [false, false, false, false, true]);
        breaker
    }

    #[test]
    fn it_opens_when_half_of_enough_fail_and_not_before() {
        let breaker = breaker();
        for _ in 0..10 {
            breaker.success(Time(SECOND));
        }
        for _ in 0..9 {
            assert!(!breaker.failure(Time(SECOND)));
        }
        assert!(breaker.failure(Time(SECOND)));
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn open_it_refuses_then_lets_one_through() {
        let breaker = opened();
        let refused = breaker.check(Time(SECOND + 1)).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_nanos(SECOND - 1));
        assert_eq!(breaker.check(Time(2 * SECOND)), Ok(()));
        assert_eq!(breaker.state(), State::HalfOpen);
        assert!(breaker.check(Time(2 * SECOND + 1)).is_err());
        breaker.success(Time(2 * SECOND + 2));
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(breaker.check(Time(2 * SECOND + 3)), Ok(()));
        assert!(
            !breaker.failure(Time(2 * SECOND + 3)),
            "it forgot what was before"
        );
    }

    #[test]
    fn each_failed_trial_keeps_it_open_longer() {
        let breaker = opened();
        let mut now = 2 * SECOND;
        for wait in [2, 4, 8, 16, 32, 60, 60] {
            breaker.check(Time(now)).unwrap();
            assert!(breaker.failure(Time(now)));
            let refused = breaker.check(Time(now)).unwrap_err();
            assert_eq!(refused.retry_after, Duration::from_secs(wait));
            now += wait * SECOND;
        }
    }

    #[test]
    fn a_trial_that_never_reports_does_not_wedge_it() {
        let breaker = opened();
        breaker.check(Time(2 * SECOND)).unwrap();
        assert!(breaker.check(Time(2 * SECOND + 1)).is_err());
        assert_eq!(breaker.check(Time(3 * SECOND)), Ok(()));
        breaker.success(Time(3 * SECOND));
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let breaker = breaker();
        for _ in 0..4 {
            breaker.failure(Time(SECOND));
        }
        assert!(!breaker.failure(Time(20 * SECOND)));
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn one_of_many_threads_gets_the_trial() {
        for _ in 0..50 {
            let breaker = opened();
            let through: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| usize::from(breaker.check(Time(2 * SECOND)).is_ok())))
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .sum()
            });
            assert_eq!(through, 1);
        }
    }
}
