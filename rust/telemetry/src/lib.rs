//! Counters, gauges, histograms and their exposition.
//!
//! Writing is wait-free in practice: every thread adds to its own row of cells, so cores do not fight over a
//! cache line. Reading sums the rows. Label values exist once a family; a series renders its labels to bytes when
//! it is born. The exposition is one text, kept, in which only what changed is written anew.
//!
//! Every family is capped: what comes after the cap lands in one overflow series, whose labels all read
//! [`OVERFLOW`], so nothing is lost and memory stays bounded.
//!
//! The Python face is `rust/py/src/metrics.rs` and `backstay.metrics`.

mod block;
mod buckets;
mod collect;
mod counter;
mod definition;
mod error;
mod exposition;
mod family;
mod gauge;
mod histogram;
mod intern;
mod name;
mod page;
mod registry;
mod series;
mod store;
mod text;
mod value;

pub use buckets::{Buckets, LATENCY_SECONDS, LogLinear, exponential, linear};
pub use collect::{FamilySamples, Sample};
pub use counter::{Counter, CounterFamily};
pub use definition::{DEFAULT_SERIES_CAP, OVERFLOW};
pub use error::MetricError;
pub use exposition::Exposition;
pub use family::{Family, Handle, Place};
pub use gauge::{Gauge, GaugeFamily};
pub use histogram::{Histogram, HistogramFamily};
pub use registry::{Options, Registry};
pub use series::Kind;
pub use text::Format;
