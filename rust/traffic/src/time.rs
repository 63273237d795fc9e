//! The time as the structures here take it.

use std::time::{Duration, Instant};

/// Nanoseconds since an origin that all askers of one structure share. Never runs backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub u64);

impl Time {
    /// The time since `origin`.
    pub fn since(origin: Instant) -> Self {
        Self(nanos(origin.elapsed()))
    }

    /// Later by so much.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    /// How long until `later`; zero if that has been.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

/// A duration in nanoseconds; five centuries at most.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
