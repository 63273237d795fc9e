//! What a dependant waits for.

use std::fmt;

/// When a dependency counts as met, in Compose's words; the later ones ask for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Condition {
    /// `service_started`
    Started,
    /// `service_healthy`
    #[default]
    Healthy,
    /// `service_completed_successfully`
    Completed,
}

impl Condition {
    /// The word of the stack file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::Completed => "service_completed_successfully",
        }
    }

    /// The condition that the stack file calls `word`.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Started, Self::Healthy, Self::Completed]
            .into_iter()
            .find(|c| c.as_str() == word)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
