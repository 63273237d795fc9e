//! Why a question about the graph has no answer.

use thiserror::Error;

/// Why a graph could not answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// Services depend on one another in a circle, so no order exists.
    #[error("services depend on one another in a circle: {}", path.join(" -> "))]
    Cycle {
        /// Each depends on the next; the first stands again at the end.
        path: Vec<String>,
    },
    /// No service of this name.
    #[error("there is no service `{name}`")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The answer would take memory out of proportion to its use.
    #[error("a graph of {nodes} services is too large for this; the most is {most}")]
    TooLarge {
        /// How many services it has.
        nodes: usize,
        /// How many it may have.
        most: usize,
    },
    /// A duration that is negative or not a number.
    #[error("the duration of `{name}` is not a number of seconds")]
    InvalidDuration {
        /// The service.
        name: String,
    },
}
