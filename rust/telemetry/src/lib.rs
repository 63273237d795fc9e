//! Counters, gauges, histograms and their exposition.
//!
//! Writing is wait-free in practice: every thread adds to its own row of cells, so cores do not fight over a
//! cache line. Reading sums the rows. Labels are rendered to bytes once, when a series is born, and whole
//! blocks of unchanged series are copied from the last exposition.
//!
//! Every family is capped: what comes after the cap lands in one overflow series, whose labels all read
//! [`OVERFLOW`], so nothing is lost and memory stays bounded.
//!
//! The Python face is `rust/py/src/metrics.rs` and `backstay.metrics`.

mod block;
mod collect;
mod counter;
mod error;
mod exposition;
mod family;
mod gauge;
mod histogram;
mod name;
mod registry;
mod series;
mod store;
mod text;

pub use collect::{FamilySamples, Sample};
pub use counter::{Counter, CounterFamily};
pub use error::MetricError;
pub use exposition::Exposition;
pub use family::{Family, Place};
pub use gauge::{Gauge, GaugeFamily};
pub use histogram::{Histogram, HistogramFamily, LATENCY_SECONDS, exponential, linear};
pub use registry::{Options, Registry};
pub use series::Kind;
pub use store::{DEFAULT_SERIES_CAP, OVERFLOW};
pub use text::Format;
