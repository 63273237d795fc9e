//! The checks of `backstay doctor`, for a server that is in no fleet: a process of Python's, or a URL.

use std::time::Duration;

use backstay_mcp::compliance::visit;
use backstay_mcp::version::{Era, MODERN, UnknownVersion};
use backstay_mcp::{Endpoint, Pipes, Target, UpstreamConfig, Version};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::runtime::Builder;

use crate::daemon::duplicate;

/// Greets the server at the other end of two pipes with `version`, checks it, and returns the report as JSON.
///
/// The pipes stay the caller's and open; they are made non-blocking. No answer is waited for longer than
/// `patience` seconds, the one to the greeting no longer than `start_timeout`.
#[pyfunction]
pub(crate) fn examine_pipes(
    py: Python<'_>,
    stdin: i32,
    stdout: i32,
    version: &str,
    patience: f64,
    start_timeout: f64,
) -> PyResult<Vec<u8>> {
    let pipes = Pipes {
        stdin: duplicate(stdin).map_err(PyOSError::new_err)?,
        stdout: duplicate(stdout).map_err(PyOSError::new_err)?,
        journal: memfd_create("backstay-doctor", MemfdFlags::CLOEXEC)
            .map_err(|error| PyOSError::new_err(error.to_string()))?,
    };
    examine(py, Target::Stdio(pipes), version, patience, start_timeout)
}

/// Greets the server at `url` with `version`, checks it, and returns the report as JSON.
#[pyfunction]
pub(crate) fn examine_url(
    py: Python<'_>,
    url: String,
    headers: Vec<(String, String)>,
    version: &str,
    patience: f64,
    start_timeout: f64,
) -> PyResult<Vec<u8>> {
    let target = Target::Http(Endpoint { url, headers });
    examine(py, target, version, patience, start_timeout)
}

fn examine(
    py: Python<'_>,
    target: Target,
    version: &str,
    patience: f64,
    start_timeout: f64,
) -> PyResult<Vec<u8>> {
    let (era, offer) = if version == MODERN {
        (Era::Modern, Version::LATEST)
    } else {
        let offer = version
            .parse()
            .map_err(|error: UnknownVersion| PyValueError::new_err(error.to_string()))?;
        (Era::Legacy, offer)
    };
    let seconds = |value: f64| {
        Duration::try_from_secs_f64(value).map_err(|error| PyValueError::new_err(error.to_string()))
    };
    let (patience, start_timeout) = (seconds(patience)?, seconds(start_timeout)?);
    py.detach(|| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(PyOSError::new_err)?;
        let config = UpstreamConfig {
            era: Some(era),
            offer,
            start_timeout,
            call_timeout: patience,
            ..UpstreamConfig::new("server", "server", target)
        };
        let report = runtime.block_on(visit(config, patience));
        runtime.shutdown_background();
        serde_json::to_vec(&report).map_err(|error| PyRuntimeError::new_err(error.to_string()))
    })
}
