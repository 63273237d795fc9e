//! Probes.
pub mod log;
