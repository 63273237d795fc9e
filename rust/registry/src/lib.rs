//! Names to instances, and the watchers of their changes.
