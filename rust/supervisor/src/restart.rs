//! Whether and when an instance that ended is started again.
//!
//! A pure function of the policy, what happened so far, the exit and the time.

use crate::spec::{RestartCondition, RestartPolicy};
use crate::watch::Exit;

/// What the decision needs of an instance's past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Restarts in a row, none of which lived through the policy's window.
    pub in_a_row: u32,
    /// When the process that ended had started, on any clock that only goes forward.
    pub started_at_ms: u64,
}

/// What to do with an instance that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start it again.
    Restart {
        /// After this time.
        after_ms: u64,
        /// What to remember, but for the time of the start.
        in_a_row: u32,
    },
    /// Leave it: it ended well and no more is asked of it.
    Complete,
    /// Leave it: it failed, and the policy says no, or no more.
    GiveUp {
        /// Why, for people.
        reason: String,
    },
}

/// Decides. `dice` in `0.0..1.0` spreads the delay over 75 to 125 %, so that what
/// fell together does not rise together.
pub fn decide(
    policy: &RestartPolicy,
    history: History,
    exit: Exit,
    now_ms: u64,
    dice: f64,
) -> Decision {
    let wanted = match policy.condition {
        RestartCondition::No => false,
        RestartCondition::OnFailure => !exit.is_success(),
        RestartCondition::Always | RestartCondition::UnlessStopped => true,
    };
    if !wanted && exit.is_success() {
        return Decision::Complete;
    }
    if !wanted {
        return Decision::GiveUp {
            reason: format!("it {exit}"),
        };
    }
    let recovered = now_ms.saturating_sub(history.started_at_ms) >= policy.window_ms;
    let so_far = if recovered { 0 } else { history.in_a_row };
    match policy.max_attempts {
        Some(max) if so_far >= max => {
            let times = if so_far == 1 {
                "once".to_owned()
            } else {
                format!("{so_far} times")
            };
            Decision::GiveUp {
                reason: format!("it {exit}, after being restarted {times}"),
            }
        }
        _ => Decision::Restart {
            after_ms: delay(policy, so_far, dice),
            in_a_row: so_far.saturating_add(1),
        },
    }
}

/// The dice for [`decide`].
pub fn roll() -> f64 {
    rand::random()
}

/// None for the first restart in a row, then doubling from `delay_ms` to `max_delay_ms`.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn delay(policy: &RestartPolicy, so_far: u32, dice: f64) -> u64 {
    let Some(doublings) = so_far.checked_sub(1) else {
        return 0;
    };
    let doubled = policy
        .delay_ms
        .saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX));
    let base = doubled.min(policy.max_delay_ms);
    // Milliseconds of any sensible delay are exact in an f64; the cap holds after the jitter too.
    let jittered = (base as f64 * (0.75 + 0.5 * dice)).round() as u64;
    jittered.min(policy.max_delay_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(condition: RestartCondition, max_attempts: Option<u32>) -> RestartPolicy {
        RestartPolicy {
            condition,
            max_attempts,
            delay_ms: 100,
            max_delay_ms: 1_000,
            window_ms: 5_000,
        }
    }

    fn after(in_a_row: u32) -> History {
        History {
            in_a_row,
            started_at_ms: 0,
        }
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_next_ones_double_up_to_the_cap() {
        let policy = policy(RestartCondition::Always, None);
        let delays: Vec<_> = (0..7)
            .map(
                |in_a_row| match decide(&policy, after(in_a_row), Exit::Code(1), 10, 0.5) {
                    Decision::Restart { after_ms, .. } => after_ms,
                    other => panic!("{other:?}"),
                },
            )
            .collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn an_instance_that_lived_through_the_window_starts_from_zero() {
        let policy = policy(RestartCondition::Always, Some(3));
        let fallen = decide(&policy, after(3), Exit::Signal(9), 4_999, 0.5);
        assert!(matches!(fallen, Decision::GiveUp { .. }), "{fallen:?}");
        let recovered = decide(&policy, after(3), Exit::Signal(9), 5_000, 0.5);
        assert_eq!(
            recovered,
            Decision::Restart {
                after_ms: 0,
                in_a_row: 1
            }
        );
    }

    #[test]
    fn conditions_mean_what_compose_means() {
        use RestartCondition::{Always, No, OnFailure, UnlessStopped};
        let restarts = |condition, exit| {
            matches!(
                decide(&policy(condition, None), after(0), exit, 0, 0.0),
                Decision::Restart { .. }
            )
        };
        for (condition, well, badly) in [
            (No, false, false),
            (OnFailure, false, true),
            (Always, true, true),
            (UnlessStopped, true, true),
        ] {
            assert_eq!(
                restarts(condition, Exit::Code(0)),
                well,
                "{condition:?} after a good exit"
            );
            assert_eq!(
                restarts(condition, Exit::Code(3)),
                badly,
                "{condition:?} after a bad exit"
            );
            assert_eq!(
                restarts(condition, Exit::Signal(11)),
                badly,
                "{condition:?} after a crash"
            );
        }
        assert_eq!(
            decide(&policy(No, None), after(0), Exit::Code(0), 0, 0.0),
            Decision::Complete
        );
    }

    #[test]
    fn giving_up_says_how_it_ended_and_how_often_it_was_tried() {
        let decision = decide(
            &policy(RestartCondition::Always, Some(2)),
            after(2),
            Exit::Code(1),
            10,
            0.0,
        );
        let reason = "it exited with code 1, after being restarted 2 times".to_owned();
        assert_eq!(decision, Decision::GiveUp { reason });
    }

    proptest! {
        #[test]
        fn no_delay_is_over_the_cap_and_no_count_over_the_limit(
            delay_ms in 0_u64..=u64::MAX / 2,
            max_delay_ms in 0_u64..1 << 50,
            max_attempts in proptest::option::of(0_u32..10),
            in_a_row in any::<u32>(),
            now in any::<u64>(),
            window_ms in any::<u64>(),
            dice in 0.0..1.0_f64,
        ) {
            let policy = RestartPolicy { condition: RestartCondition::Always, max_attempts, delay_ms, max_delay_ms, window_ms };
            match decide(&policy, after(in_a_row), Exit::Code(1), now, dice) {
                Decision::Restart { after_ms, in_a_row: next } => {
                    prop_assert!(after_ms <= max_delay_ms);
                    prop_assert!(max_attempts.is_none_or(|max| next <= max));
                    prop_assert!(next > 0);
                }
                Decision::GiveUp { .. } => prop_assert!(max_attempts.is_some_and(|max| in_a_row >= max)),
                Decision::Complete => prop_assert!(false, "a failure is never complete"),
            }
        }
    }
}
