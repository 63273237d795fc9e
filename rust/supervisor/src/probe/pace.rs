//! When to probe, and what the answers amount to. No clock, no process.
//!
//! Until the first success probes are a millisecond apart, then twice that, up to
//! the start interval: a server that is ready in 20 ms is known to be in 30. Failures in
//! that phase cannot be counted, there are too many; so it lasts, after the start
//! period, as long as `retries` intervals would. From the first success on it is
//! one probe an interval, and `retries` failures in a row.

use std::time::Duration;

use super::Health;
use crate::spec::ProbeSpec;

/// The first delay.
const FIRST: Duration = Duration::from_millis(1);

/// The state of one instance's probing.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    start_interval: Duration,
    retries: u32,
    patience: Duration,
    phase: Phase,
    unhealthy: bool,
}

#[derive(Debug)]
enum Phase {
    /// No success yet; the delay before the next probe.
    Starting { delay: Duration },
    /// It has succeeded; failures in a row since.
    Running { failures: u32 },
}

impl Pace {
    /// Nothing asked yet.
    pub fn new(probe: &ProbeSpec) -> Self {
        let interval = Duration::from_millis(probe.interval_ms.max(1));
        let retries = probe.retries.max(1);
        let patience = Duration::from_millis(probe.start_period_ms)
            .saturating_add(interval.saturating_mul(retries));
        Self {
            interval,
            start_interval: Duration::from_millis(probe.start_interval_ms.max(1)),
            retries,
            patience,
            phase: Phase::Starting { delay: FIRST },
            unhealthy: false,
        }
    }

    /// Time it has for its first success before it counts as unhealthy.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Time to wait before the next probe.
    pub fn delay(&self) -> Duration {
        match self.phase {
            Phase::Starting { delay } => delay.min(self.start_interval),
            Phase::Running { .. } => self.interval,
        }
    }

    /// Takes in an answer that came `elapsed` after the start; tells what changed by it.
    pub fn record(&mut self, answer: Result<(), String>, elapsed: Duration) -> Option<Health> {
        let Err(reason) = answer else {
            let changed = self.unhealthy || matches!(self.phase, Phase::Starting { .. });
            self.unhealthy = false;
            self.phase = Phase::Running { failures: 0 };
            return changed.then_some(Health::Ready);
        };
        let too_bad = match &mut self.phase {
            Phase::Starting { delay } => {
                *delay = delay.saturating_mul(2);
                elapsed >= self.patience
            }
            Phase::Running { failures } => {
                *failures = failures.saturating_add(1);
                *failures >= self.retries
            }
        };
        let changed = too_bad && !self.unhealthy;
        self.unhealthy |= too_bad;
        changed.then_some(Health::Unhealthy(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ProbeKind;

    fn pace() -> Pace {
        Pace::new(&ProbeSpec {
            kind: ProbeKind::Tcp { port: 1 },
            interval_ms: 100,
            timeout_ms: 10,
            retries: 2,
            start_period_ms: 1_000,
            start_interval_ms: 50,
        })
    }

    fn fail(pace: &mut Pace, ms: u64) -> Option<Health> {
        pace.record(Err("refused".to_owned()), Duration::from_millis(ms))
    }

    #[test]
    fn probes_begin_a_millisecond_apart_and_slow_down_to_the_start_interval() {
        let mut pace = pace();
        let delays: Vec<_> = (0..9)
            .map(|_| {
                let delay = pace.delay().as_millis();
                fail(&mut pace, 0);
                delay
            })
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 50, 50, 50]);
        pace.record(Ok(()), Duration::ZERO);
        assert_eq!(pace.delay().as_millis(), 100);
    }

    #[test]
    fn one_that_never_answers_is_unhealthy_after_start_period_and_retries_once() {
        let mut pace = pace();
        assert_eq!(fail(&mut pace, 1_199), None);
        assert_eq!(
            fail(&mut pace, 1_200),
            Some(Health::Unhealthy("refused".to_owned()))
        );
        assert_eq!(fail(&mut pace, 1_300), None, "told once");
        assert_eq!(
            pace.record(Ok(()), Duration::from_secs(9)),
            Some(Health::Ready)
        );
    }

    #[test]
    fn a_ready_one_is_unhealthy_after_so_many_failures_in_a_row() {
        let mut pace = pace();
        assert_eq!(pace.record(Ok(()), Duration::ZERO), Some(Health::Ready));
        assert_eq!(fail(&mut pace, 1), None);
        assert_eq!(pace.record(Ok(()), Duration::ZERO), None);
        assert_eq!(fail(&mut pace, 2), None);
        assert_eq!(
            fail(&mut pace, 3),
            Some(Health::Unhealthy("refused".to_owned()))
        );
        assert_eq!(pace.record(Ok(()), Duration::ZERO), Some(Health::Ready));
    }
}
