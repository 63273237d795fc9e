//! What time it is, and what lasts how long.

use std::sync::atomic::Ordering;

use backstay_cache::Lifetime;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::CacheCore;

impl CacheCore {
    /// The time in milliseconds, where anything depends on it.
    #[inline]
    pub(super) fn now(&self, py: Python<'_>) -> PyResult<u64> {
        if self.timed.load(Ordering::Relaxed) {
            self.tell_time(py)
        } else {
            Ok(0)
        }
    }

    #[inline(never)]
    fn tell_time(&self, py: Python<'_>) -> PyResult<u64> {
        match &self.timer {
            Some(timer) => milliseconds(timer.bind(py).call0()?.extract()?, "the timer's time"),
            None => Ok(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

pub(super) fn lifetime(ttl: Option<f64>, idle: Option<f64>) -> PyResult<Lifetime> {
    Ok(Lifetime {
        ttl_ms: ttl.map(|ttl| milliseconds(ttl, "ttl")).transpose()?,
        idle_ms: idle.map(|idle| milliseconds(idle, "idle")).transpose()?,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be in range"
)]
fn milliseconds(seconds: f64, what: &str) -> PyResult<u64> {
    const MOST: f64 = 1e11;
    if (0.0..MOST).contains(&seconds) {
        return Ok((seconds * 1000.0).round() as u64);
    }
    Err(PyValueError::new_err(format!(
        "{what} must be a number of seconds from 0 to 10**11, not {seconds}"
    )))
}
