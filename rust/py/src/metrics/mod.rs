//! `backstay.metrics`: the binding of `rust/telemetry`, with prometheus_client's interface.
//!
//! A file a class; what they do alike stands once, in `metric`.

mod buckets;
mod children;
mod counter;
mod gauge;
mod helper;
mod histogram;
mod labelled;
mod metric;
mod quick;
mod registry;

pub(crate) use buckets::{LogLinear, exponential, linear};
pub(crate) use counter::Counter;
pub(crate) use gauge::Gauge;
pub(crate) use histogram::Histogram;
pub(crate) use quick::quicken_all;
pub(crate) use registry::MetricRegistry;
