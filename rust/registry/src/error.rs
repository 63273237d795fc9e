//! What the registry refuses, and what a watcher may have missed.

use thiserror::Error;

/// Why a registration was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// Another service has an instance of this name.
    #[error("`{name}` is an instance of service `{service}`")]
    NameTaken {
        /// The name of the instance.
        name: String,
        /// The service it belongs to.
        service: String,
    },
    /// The registry holds as many instances as it may.
    #[error(
        "the registry is full: it holds {limit} instances; take some out or give it a higher limit"
    )]
    Full {
        /// How many it may hold.
        limit: usize,
    },
    /// No instance of this service is registered.
    #[error("there is no service `{service}`")]
    UnknownService {
        /// The name asked for.
        service: String,
    },
}

/// A watcher did not keep up: changes were dropped, and a new snapshot is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{missed} changes were missed: take a new snapshot")]
pub struct Lagged {
    /// How many changes were dropped.
    pub missed: u64,
}
