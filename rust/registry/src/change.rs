//! What watchers hear.

use std::sync::Arc;

use crate::Instance;

/// One change of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Counts changes from 1, without gaps: the registry as it was after this one.
    pub revision: u64,
    /// What happened.
    pub what: What,
    /// The instance: as it is now, or as it was last.
    pub instance: Arc<Instance>,
}

/// What happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Registered,
    /// It was registered again, with another address or other labels.
    Replaced,
    /// It is gone.
    Deregistered,
}

impl What {
    /// The word that Python and JSON use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Replaced => "replaced",
            Self::Deregistered => "deregistered",
        }
    }
}
