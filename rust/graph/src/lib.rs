//! Dependencies: order, levels, cycles, impact.
//!
//! A [`Graph`] knows services by name and what each depends on. It says what to start first, what may start
//! together, what a change touches, and which services wait for one another in a circle; it answers in
//! [`Node`]s, which [`Graph::name`] names. It decides nothing about processes. Its Python face is
//! `rust/py/src/graph.rs` and `backstay.graph`.

mod answers;
mod condition;
mod critical;
mod csr;
mod cycles;
mod edges;
mod error;
mod fetch;
mod graph;
mod head;
mod loose;
mod names;
mod node;
mod order;
mod passing;
mod reach;
mod reduction;
mod rows;
mod table;

pub use condition::Condition;
pub use error::GraphError;
pub use graph::{Dependency, Graph};
pub use node::Node;
