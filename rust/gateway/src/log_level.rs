//! Log levels, as `logging/setLevel` names them (RFC 5424).

use std::str::FromStr;

/// Least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    /// As it is kept: 0 is none.
    pub(crate) fn code(self) -> u8 {
        self as u8 + 1
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL
            .get(usize::from(code.checked_sub(1)?))
            .map(|(level, _)| *level)
    }

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl FromStr for LogLevel {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(level, _)| *level)
            .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_comes_back_from_its_name_and_its_code() {
        for (level, name) in LogLevel::ALL {
            assert_eq!(name.parse(), Ok(level));
            assert_eq!(level.as_str(), name);
            assert_eq!(LogLevel::from_code(level.code()), Some(level));
        }
        assert_eq!(LogLevel::from_code(0), None);
        assert!(LogLevel::Debug < LogLevel::Emergency);
    }
}
