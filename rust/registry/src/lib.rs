//! Names to instances, and the watchers of their changes.
//!
//! A [`Registry`] knows which instances of which service exist, where they listen, and which labels they bear.
//! Looking up costs the same for ten services as for a hundred thousand, and a [`View`] that is still current
//! need not be looked up again; a [`Snapshot`] shares its data with the registry, so taking one stops nobody; a [`Watcher`] gets every change in order, or is told that it
//! missed some. Nothing here probes anybody: an instance is here because somebody said so.
//!
//! Its Python face is `rust/py/src/registry.rs` and `backstay.registry`.

mod change;
mod error;
mod groups;
mod instance;
mod registry;
mod shards;
mod snapshot;
mod tools;
mod view;
mod watch;

pub use change::{Change, What};
pub use error::{Lagged, RegistryError};
pub use instance::Instance;
pub use registry::{DEFAULT_LIMIT, Registry};
pub use snapshot::Snapshot;
pub use view::View;
pub use watch::{DEFAULT_QUEUE, Watcher};
