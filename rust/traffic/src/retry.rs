//! Whether to try again, and when: a budget that keeps retries a share of the calls, and a jittered backoff.
//!
//! Without a budget, retries multiply the load on what is failing for the load it has. Whether a call may be
//! tried again at all (it was never sent, or its tool says that twice is as good as once) is the caller's to know.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Retries for each call made, from a balance that calls pay into and retries are paid from.
///
/// Finagle's scheme with a bound: a call deposits `share` of a retry, at most `most` retries are ever saved up,
/// and the balance begins full, so that the first calls may be retried too.
#[derive(Debug)]
pub struct Budget {
    /// Thousandths of a retry.
    balance: AtomicU64,
    deposit: u64,
    most: u64,
}

impl Budget {
    /// At most `share` retries a call (0.2: one in five calls) and `most` in a row.
    pub fn new(share: f64, most: u32) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=1000"
        )]
        let deposit = (share.clamp(0.0, 1.0) * 1000.0).round() as u64;
        let most = u64::from(most) * 1000;
        Self {
            balance: AtomicU64::new(most),
            deposit,
            most,
        }
    }

    /// A call is made for the first time.
    pub fn deposit(&self) {
        let add =
            |balance: u64| (balance < self.most).then(|| (balance + self.deposit).min(self.most));
        let _ = self.balance.fetch_update(Relaxed, Relaxed, add);
    }

    /// Take one retry. False: there is none to be had now.
    pub fn withdraw(&self) -> bool {
        self.balance
            .fetch_update(Relaxed, Relaxed, |balance| balance.checked_sub(1000))
            .is_ok()
    }
}

/// How long to wait before the n-th retry: between nothing and a bound that doubles ("full jitter").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound before the first retry.
    pub first: Duration,
    /// The bound never exceeds this.
    pub most: Duration,
}

impl Backoff {
    /// The wait before retry number `retry` (from 0); `chance` is a random number from 0 to 1.
    pub fn wait(&self, retry: u32, chance: f64) -> Duration {
        let bound = self
            .first
            .saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX))
            .min(self.most);
        bound.mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_a_share_of_the_calls() {
        let budget = Budget::new(0.2, 10);
        let mut retries = 0;
        for _ in 0..1000 {
            budget.deposit();
            retries += u32::from(budget.withdraw());
        }
        assert!((200..=210).contains(&retries), "{retries}");
        assert!(!budget.withdraw());
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = Budget::new(1.0, 3);
        (0..100).for_each(|_| budget.deposit());
        assert_eq!((0..10).filter(|_| budget.withdraw()).count(), 3);
    }

    #[test]
    fn the_bound_doubles_up_to_the_most() {
        let backoff = Backoff {
            first: Duration::from_millis(10),
            most: Duration::from_millis(60),
        };
        let bounds = [0, 1, 2, 3, 40].map(|retry| backoff.wait(retry, 1.0).as_millis());
        assert_eq!(bounds, [10, 20, 40, 60, 60]);
        assert_eq!(backoff.wait(3, 0.0), Duration::ZERO);
        assert_eq!(backoff.wait(1, 0.5), Duration::from_millis(10));
    }
}
