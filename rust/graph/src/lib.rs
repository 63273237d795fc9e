//! Dependencies: order, levels, cycles, impact.
//!
//! A [`Graph`] knows services by name and what each depends on. It answers in names: what to start first,
//! what may start together, what a change touches, and which services wait for one another in a circle.
//! It decides nothing about processes. Its Python face is `rust/py/src/graph.rs` and `backstay.graph`.

mod condition;
mod critical;
mod csr;
mod cycles;
mod error;
mod graph;
mod names;
mod order;
mod reach;
mod reduction;

pub use condition::Condition;
pub use error::GraphError;
pub use graph::{Dependency, Graph};
