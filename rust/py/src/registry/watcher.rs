//! Watching from Python: by waiting, or by a file descriptor.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backstay_registry as core;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

use super::records::Change;
use crate::errors::Raise;

/// Hears every change of a registry, in order, through a bounded queue.
#[pyclass(frozen, module = "backstay.registry")]
pub(crate) struct Watcher {
    watcher: core::Watcher,
    /// Readable while changes wait; made when first asked for.
    event: OnceLock<Arc<OwnedFd>>,
}

impl Watcher {
    pub(super) fn new(watcher: core::Watcher) -> Self {
        Self {
            watcher,
            event: OnceLock::new(),
        }
    }

    fn settle(&self) {
        let Some(event) = self.event.get() else {
            return;
        };
        let _ = rustix::io::read(event.as_fd(), &mut [0; 8]);
        if !self.watcher.is_empty() {
            ring(event);
        }
    }
}

fn ring(event: &OwnedFd) {
    // Fails only when the counter is full: then it is readable already.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

fn change(next: Option<Result<core::Change, core::Lagged>>) -> PyResult<Option<Change>> {
    next.transpose().or_raise().map(|change| change.map(Change))
}

#[pymethods]
impl Watcher {
    /// The next change, or None when there is none within `timeout` seconds; at once without one.
    ///
    /// Raises:
    ///     WatchLagged: changes were dropped because the queue was full: take a new snapshot.
    #[pyo3(signature = (timeout = None))]
    fn get(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Change>> {
        let Some(timeout) = timeout.filter(|&seconds| seconds != 0.0) else {
            let next = self.watcher.try_next();
            self.settle();
            return change(next);
        };
        let timeout = Duration::try_from_secs_f64(timeout);
        let mut timeout = timeout.map_err(|error| PyValueError::new_err(error.to_string()))?;
        loop {
            // In short waits, so that Ctrl-C is heard.
            let wait = timeout.min(Duration::from_millis(200));
            let next = py.detach(|| self.watcher.next(wait));
            timeout -= wait;
            if next.is_some() || timeout.is_zero() {
                self.settle();
                return change(next);
            }
            py.check_signals()?;
        }
    }

    /// A file descriptor that is readable while changes wait.
    fn fileno(&self) -> PyResult<i32> {
        if self.event.get().is_none() {
            let event = Arc::new(
                eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                    .map_err(std::io::Error::from)?,
            );
            let bell = Arc::clone(self.event.get_or_init(|| event));
            self.watcher.on_change(move || ring(&bell));
            self.settle();
        }
        let event = self
            .event
            .get()
            .ok_or_else(|| PyValueError::new_err("no event"))?;
        Ok(event.as_raw_fd())
    }

    /// How many changes wait.
    fn __len__(&self) -> usize {
        self.watcher.len()
    }

    fn __repr__(&self) -> String {
        format!("<Watcher, {} changes wait>", self.watcher.len())
    }
}
