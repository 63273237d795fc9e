//! `_core.Daemon`: the Rust half of the daemon. It joins the keeper's client (`rust/supervisor`) and the
//! gateway (`rust/gateway`) on one runtime, and gives Python one ordered stream of events.
//!
//! What is decided is decided in `python/backstay/daemon`; nothing here waits for Python.

mod descriptor;
mod events;
mod wiring;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backstay_gateway::{EventQueue, GatewayConfig, Routes, runtime};
use backstay_supervisor::InstanceSpec;
use bytes::Bytes;
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

pub(crate) use descriptor::duplicate;

use crate::errors::Raise;
use wiring::{Order, Wiring};

/// Events that may wait for Python before the keeper is made to wait.
const MOST_EVENTS: usize = 65_536;
/// How long `close` lets requests finish.
const DRAIN: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    state_dir: PathBuf,
    #[serde(default)]
    generation: u32,
    #[serde(default = "default_workers")]
    workers: usize,
    #[serde(default)]
    gateway: GatewayConfig,
}

/// Half of the cores: the servers need theirs, and one thread serves tens of thousands of calls a second. Threads that
/// share a core take calls from each other and win nothing by it.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, 4))
}

/// The Rust half of the daemon: gateway, keeper client, one ordered stream of events.
#[pyclass(frozen, module = "backstay._core")]
pub(crate) struct Daemon {
    wiring: Arc<Wiring>,
    events: Arc<EventQueue>,
    /// Gone once closed. Held while it is used or taken, never across a wait of Python's.
    runtime: Mutex<Option<Runtime>>,
}

#[pymethods]
impl Daemon {
    /// Takes JSON: `{state_dir, generation, gateway: {…}}`.
    #[new]
    fn new(py: Python<'_>, config: &[u8]) -> PyResult<Self> {
        let config: Config = parse(config)?;
        py.detach(|| {
            let runtime = runtime(config.workers).map_err(PyOSError::new_err)?;
            let events = Arc::new(EventQueue::new(MOST_EVENTS).map_err(PyOSError::new_err)?);
            let gateway = GatewayConfig {
                state_dir: config.state_dir,
                generation: config.generation,
                ..config.gateway
            };
            let wiring = Wiring::new(gateway, Arc::clone(&events), runtime.handle())
                .map_err(PyOSError::new_err)?;
            Ok(Self {
                wiring,
                events,
                runtime: Mutex::new(Some(runtime)),
            })
        })
    }

    /// Connect to the keeper; what it holds and does arrives as events.
    ///
    /// Raises:
    ///     KeeperError: no keeper answers there.
    fn connect_keeper(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        py.detach(|| {
            let handle = self.handle()?;
            handle
                .block_on(self.wiring.connect_keeper(Path::new(path)))
                .or_raise()
        })
    }

    /// Serve a listening socket: `gateway` (TCP) or `gateway-local` (the trusted unix socket).
    ///
    /// The descriptor is duplicated; the caller keeps its own.
    fn listen(&self, py: Python<'_>, name: &str, fd: i32) -> PyResult<()> {
        let socket = descriptor::duplicate(fd).map_err(PyOSError::new_err)?;
        py.detach(|| match name {
            "gateway" => self.wiring.gateway.listen_tcp(socket).map(drop),
            "gateway-local" => self.wiring.gateway.listen_unix(socket),
            other => Err(std::io::Error::other(format!(
                "no listener is called `{other}`"
            ))),
        })
        .map_err(PyOSError::new_err)
    }

    /// Have an instance started: an `InstanceSpec` as JSON. What comes of it arrives as events.
    fn start(&self, spec: &[u8]) -> PyResult<()> {
        let spec: InstanceSpec = parse(spec)?;
        self.order(Order::Start(Box::new(spec)))
    }

    /// Have an instance stopped.
    fn stop(&self, instance: String) -> PyResult<()> {
        self.order(Order::Stop(instance))
    }

    /// Have an instance stopped and started again.
    fn restart(&self, instance: String) -> PyResult<()> {
        self.order(Order::Restart(instance))
    }

    /// Have a signal sent to an instance's main process.
    fn signal(&self, instance: String, signal: String) -> PyResult<()> {
        self.order(Order::Signal(instance, signal))
    }

    /// Have an instance stopped and forgotten.
    fn remove(&self, instance: String) -> PyResult<()> {
        self.order(Order::Remove(instance))
    }

    /// Serve these servers, and no others unless it says what has changed: `Routes` as JSON.
    fn set_routes(&self, py: Python<'_>, routes: &[u8]) -> PyResult<()> {
        let routes: Routes = parse(routes)?;
        py.detach(|| self.wiring.set_routes(routes));
        Ok(())
    }

    /// Shake hands with an HTTP server now: its probe is ready, or it is remote.
    fn connect(&self, py: Python<'_>, instance: &str) {
        py.detach(|| self.wiring.gateway.connect(instance));
    }

    /// A descriptor that is readable while events wait.
    fn fileno(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&*self.events)
    }

    /// Take out up to `limit` events, oldest first, as JSON.
    #[pyo3(signature = (limit = 1000) -> "list[bytes]")]
    fn drain<'py>(&self, py: Python<'py>, limit: usize) -> Vec<Bound<'py, PyBytes>> {
        let events = py.detach(|| self.events.drain(limit));
        events.iter().map(|event| PyBytes::new(py, event)).collect()
    }

    /// The gateway's and the processes' metrics, in Prometheus' text format.
    fn render_metrics<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let text = py.detach(|| self.wiring.render_metrics());
        PyBytes::new(py, &text)
    }

    /// Set one series of a gauge, shown beside the gateway's own metrics; an empty label is none.
    ///
    /// Raises:
    ///     ValueError: the name is not a metric's, or another kind of metric has it.
    fn set_gauge(&self, name: &str, help: &str, label: &str, of: &str, value: f64) -> PyResult<()> {
        self.wiring
            .set_gauge((name, help), labelled(label, of), value)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Add to one series of a counter, shown likewise.
    ///
    /// Raises:
    ///     ValueError: the name is not a metric's, or another kind of metric has it.
    fn add_count(
        &self,
        name: &str,
        help: &str,
        label: &str,
        of: &str,
        amount: f64,
    ) -> PyResult<()> {
        self.wiring
            .add_count((name, help), labelled(label, of), amount)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Add an observation, in seconds, to one series of a histogram, shown likewise.
    ///
    /// Raises:
    ///     ValueError: the name is not a metric's, or another kind of metric has it.
    fn observe(&self, name: &str, help: &str, label: &str, of: &str, value: f64) -> PyResult<()> {
        self.wiring
            .observe((name, help), labelled(label, of), value)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Check whether a server keeps to the protocol: a report as JSON, none while it is not ready.
    ///
    /// Waits for the server's answers, each for at most `patience` seconds.
    #[pyo3(signature = (service, patience = 10.0))]
    fn examine<'py>(
        &self,
        py: Python<'py>,
        service: &str,
        patience: f64,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let patience = Duration::try_from_secs_f64(patience)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let report = py.detach(|| {
            let handle = self.handle()?;
            let report = handle.block_on(self.wiring.gateway.examine(service, patience));
            report
                .map(|report| serde_json::to_vec(&report))
                .transpose()
                .map_err(|error| PyValueError::new_err(error.to_string()))
        })?;
        Ok(report.map(|report| PyBytes::new(py, &report)))
    }

    /// Say what keeps calls from instances now, as JSON: breakers that are not closed, instances that rest.
    fn troubles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let troubles = py.detach(|| serde_json::to_vec(&self.wiring.gateway.troubles()));
        let troubles = troubles.map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(PyBytes::new(py, &troubles))
    }

    /// End the keeper, and with it all instances and this daemon.
    ///
    /// Raises:
    ///     KeeperError: it does not answer.
    fn shutdown_keeper(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let handle = self.handle()?;
            handle.block_on(self.wiring.shutdown_keeper()).or_raise()
        })
    }

    /// Let requests finish, then end every connection and thread. The instances run on.
    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            let Some(runtime) = self.runtime.lock().take() else {
                return;
            };
            runtime.block_on(self.wiring.gateway.drain(DRAIN));
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
    }
}

impl Daemon {
    fn handle(&self) -> PyResult<tokio::runtime::Handle> {
        let runtime = self.runtime.lock();
        let runtime = runtime.as_ref();
        let closed = || PyRuntimeError::new_err("the daemon is closed");
        runtime
            .map(|runtime| runtime.handle().clone())
            .ok_or_else(closed)
    }

    fn order(&self, order: Order) -> PyResult<()> {
        self.wiring.order(order).or_raise()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

fn labelled<'a>(label: &'a str, of: &'a str) -> Option<(&'a str, &'a str)> {
    (!label.is_empty()).then_some((label, of))
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> PyResult<T> {
    serde_json::from_slice(json).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Passes MCP between stdin and stdout and a path of the gateway's trusted socket, until stdin ends.
#[pyfunction]
pub(crate) fn connect_bridge(py: Python<'_>, path: &str, url_path: &str) -> PyResult<()> {
    py.detach(|| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(PyOSError::new_err)?;
        let outcome = runtime.block_on(backstay_gateway::bridge(Path::new(path), url_path));
        // A read of stdin that nobody can interrupt must not hold the process.
        runtime.shutdown_background();
        outcome.map_err(PyOSError::new_err)
    })
}

/// Kept by the next daemon for a process of this one's.
pub(crate) type Note = Bytes;
