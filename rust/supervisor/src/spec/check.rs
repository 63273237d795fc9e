//! Whether a spec could be run at all, whatever the machine's state.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{InstanceSpec, ProbeKind};
use crate::probe::log::compile_pattern;
use crate::signal::Signal;

/// Names of log files the keeper itself uses, so no instance may have them.
const RESERVED: [&str; 2] = ["daemon", "keeper"];
/// A name becomes a file name, with `.log.N` behind it.
const NAME_MAX: usize = 128;

/// Why a spec cannot be run, whatever the machine's state.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecError {
    /// The name cannot be a file name, or is one of the keeper's own.
    #[error(
        "`{name}` cannot name an instance: use letters, digits, `.`, `_` and `-`, at most 128, not starting with a dot"
    )]
    Name {
        /// The name given.
        name: String,
    },
    /// There is no program to run.
    #[error("`{name}` has an empty command")]
    EmptyCommand {
        /// The instance.
        name: String,
    },
    /// An argument, variable or path has a NUL byte, or a variable's name has an `=`.
    #[error("`{name}`: {what} has a character that no process can be given")]
    Character {
        /// The instance.
        name: String,
        /// Where it is.
        what: String,
    },
    /// The stop signal is not one.
    #[error("`{name}`: `{signal}` is not a signal")]
    Signal {
        /// The instance.
        name: String,
        /// What was given.
        signal: String,
    },
    /// The log probe's expression does not compile.
    #[error("`{name}`: the log probe's pattern is not a regular expression: {reason}")]
    Pattern {
        /// The instance.
        name: String,
        /// What the compiler says.
        reason: String,
    },
}

impl InstanceSpec {
    /// Checks what no machine could run, so that nothing is half-started.
    pub fn validate(&self) -> Result<(), SpecError> {
        let name = self.name.clone();
        if !is_name(&self.name) {
            return Err(SpecError::Name { name });
        }
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(SpecError::EmptyCommand { name });
        }
        if let Some(what) = self.unpassable() {
            return Err(SpecError::Character { name, what });
        }
        if Signal::parse(&self.stop.signal).is_none() {
            return Err(SpecError::Signal {
                name,
                signal: self.stop.signal.clone(),
            });
        }
        match self.probe.as_ref().map(|probe| &probe.kind) {
            Some(ProbeKind::Command { argv }) if argv.first().is_none_or(String::is_empty) => {
                Err(SpecError::EmptyCommand { name })
            }
            Some(ProbeKind::Command { argv }) if argv.iter().any(|arg| arg.contains('\0')) => {
                Err(SpecError::Character {
                    name,
                    what: "the probe's command".to_owned(),
                })
            }
            Some(ProbeKind::Http { path, .. })
                if path.chars().any(|c| c.is_control() || c == ' ') =>
            {
                Err(SpecError::Character {
                    name,
                    what: "the probe's path".to_owned(),
                })
            }
            Some(ProbeKind::Log { pattern }) => {
                compile_pattern(pattern)
                    .map(drop)
                    .map_err(|error| SpecError::Pattern {
                        name,
                        reason: error.to_string(),
                    })
            }
            _ => Ok(()),
        }
    }

    fn unpassable(&self) -> Option<String> {
        if let Some(index) = self.argv.iter().position(|arg| arg.contains('\0')) {
            return Some(format!("argument {index}"));
        }
        let variable = self.env.iter().find(|(key, value)| {
            key.is_empty() || key.contains(['=', '\0']) || value.contains('\0')
        });
        if let Some((key, _)) = variable {
            return Some(format!("variable `{}`", key.escape_default()));
        }
        let dir = self.working_dir.as_os_str().as_encoded_bytes();
        dir.contains(&0).then(|| "the working directory".to_owned())
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.starts_with('.')
        && name.chars().all(plain)
        && !RESERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> InstanceSpec {
        serde_json::from_str(
            r#"{"name": "files.1", "service": "files", "revision": 1, "argv": ["node", "cli.js"],
                "env": {"PATH": "/usr/bin"}, "working_dir": "/", "stdio": "mcp"}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_name_that_would_leave_the_log_directory_is_refused() {
        for name in [
            "../x",
            "a/b",
            "",
            ".hidden",
            "daemon",
            "keeper",
            "é",
            &"x".repeat(129),
        ] {
            let spec = InstanceSpec {
                name: name.to_owned(),
                ..spec()
            };
            assert!(
                matches!(spec.validate(), Err(SpecError::Name { .. })),
                "{name} passed"
            );
        }
        assert_eq!(spec().validate(), Ok(()));
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        let mut nul = spec();
        nul.argv.push("a\0b".to_owned());
        assert!(matches!(nul.validate(), Err(SpecError::Character { .. })));
        let mut assigned = spec();
        assigned.env.insert("A=B".to_owned(), String::new());
        assert!(matches!(
            assigned.validate(),
            Err(SpecError::Character { .. })
        ));
        let mut signal = spec();
        signal.stop.signal = "SIGNOPE".to_owned();
        assert!(matches!(signal.validate(), Err(SpecError::Signal { .. })));
        let mut empty = spec();
        empty.argv.clear();
        assert!(matches!(
            empty.validate(),
            Err(SpecError::EmptyCommand { .. })
        ));
    }
}
