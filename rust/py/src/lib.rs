//! `backstay._core`: the Python face of the Rust rooms; conversions only.
//!
//! Each file is the binding of one room. What Python sees of it is re-exported by the module of the same name
//! in `python/backstay`, and typed by the generated `python/backstay/_core.pyi`.

// What everything depends on does not end for a reason that it could have told: tests may, the code may not.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]
#![allow(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "the doc comments of this crate are Python's docstrings"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands converted arguments over by value"
)]

mod attached;
mod cache;
mod compliance;
mod daemon;
mod errors;
mod fast;
mod graph;
mod ledger;
mod metrics;
mod ports;
mod recent;
mod registry;
mod shapes;
mod text;
mod with_block;

/// The extension module; each submodule file adds its classes here.
#[pyo3::pymodule(gil_used = true)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::cache::{CacheCore, CacheStats};
    #[pymodule_export]
    use crate::compliance::{examine_pipes, examine_url};
    #[pymodule_export]
    use crate::daemon::{Daemon, connect_bridge};
    #[pymodule_export]
    use crate::graph::Graph;
    #[pymodule_export]
    use crate::ledger::{Batch, Claim, Lease, Ledger, Resources, Usage, format_size, parse_size};
    #[pymodule_export]
    use crate::metrics::{
        Counter, Gauge, Histogram, LogLinear, MetricRegistry, exponential, linear,
    };
    #[pymodule_export]
    use crate::ports::{PortLease, Ports, port_is_free};
    #[pymodule_export]
    use crate::registry::{Change, Instance, Registry, Snapshot, Watcher};

    /// Puts the quick methods in their places.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::attached::demand_lock(py)?;
        crate::cache::quicken_all(module)?;
        crate::ledger::quicken_all(py)?;
        crate::ports::quicken_all(py)?;
        crate::metrics::quicken_all(py)
    }

    /// The version of the extension, equal to the wheel's.
    #[pyfunction]
    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}
