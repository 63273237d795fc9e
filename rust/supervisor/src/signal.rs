//! Signals by the names people write: `SIGTERM`, `TERM`, `15`.

use std::fmt;

/// A signal's number, known to be one that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(rustix::process::Signal);

/// The names of Linux's standard signals. Real-time ones go by number.
const NAMES: [(&str, rustix::process::Signal); 30] = {
    use rustix::process::Signal as S;
    [
        ("HUP", S::HUP),
        ("INT", S::INT),
        ("QUIT", S::QUIT),
        ("ILL", S::ILL),
        ("TRAP", S::TRAP),
        ("ABRT", S::ABORT),
        ("BUS", S::BUS),
        ("FPE", S::FPE),
        ("KILL", S::KILL),
        ("USR1", S::USR1),
        ("SEGV", S::SEGV),
        ("USR2", S::USR2),
        ("PIPE", S::PIPE),
        ("ALRM", S::ALARM),
        ("TERM", S::TERM),
        ("CHLD", S::CHILD),
        ("CONT", S::CONT),
        ("STOP", S::STOP),
        ("TSTP", S::TSTP),
        ("TTIN", S::TTIN),
        ("TTOU", S::TTOU),
        ("URG", S::URG),
        ("XCPU", S::XCPU),
        ("XFSZ", S::XFSZ),
        ("VTALRM", S::VTALARM),
        ("PROF", S::PROF),
        ("WINCH", S::WINCH),
        ("IO", S::IO),
        ("PWR", S::POWER),
        ("SYS", S::SYS),
    ]
};

impl Signal {
    /// `SIGTERM`.
    pub const TERM: Self = Self(rustix::process::Signal::TERM);
    /// `SIGKILL`.
    pub const KILL: Self = Self(rustix::process::Signal::KILL);

    /// Reads a name, with or without `SIG`, in any case, or a number.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i32>() {
            return Self::from_number(number);
        }
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        NAMES
            .iter()
            .find(|(name, _)| *name == bare)
            .map(|(_, signal)| Self(*signal))
    }

    /// The standard signal of a number.
    pub fn from_number(number: i32) -> Option<Self> {
        rustix::process::Signal::from_named_raw(number).map(Self)
    }

    /// As the system calls want it.
    pub fn raw(self) -> rustix::process::Signal {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, signal)| *signal == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0.as_raw()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_signal_is_understood() {
        for text in ["SIGTERM", "term", "TERM", "15", "sigterm"] {
            assert_eq!(Signal::parse(text), Some(Signal::TERM), "{text}");
        }
        assert_eq!(Signal::parse("SIGINT").unwrap().to_string(), "SIGINT");
        for text in ["", "SIG", "NOPE", "0", "-9", "999"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }
}
