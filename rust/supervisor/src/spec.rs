//! What is to run: the whole, frozen description of one instance.
//!
//! Python writes it as JSON (`Daemon.start(spec)`), the keeper holds it and
//! restarts by it without asking again. Nothing here is a template and nothing
//! is looked up later: `env` is the *whole* environment and `argv` is final.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::probe::log::compile_pattern;
use crate::signal::Signal;

/// Names of log files the keeper itself uses, so no instance may have them.
const RESERVED: [&str; 2] = ["daemon", "keeper"];
/// A name becomes a file name, with `.log.N` behind it.
const NAME_MAX: usize = 128;

/// One instance: what to run, where, and what to do when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// The instance's name, `files.1`; also the name of its log file.
    pub name: String,
    /// The service it is a copy of.
    pub service: String,
    /// The revision of the service it runs.
    pub revision: u64,
    /// The program and its arguments. The program is looked up in `env`'s `PATH`.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited. The keeper adds only its
    /// markers and, for a notify probe, `NOTIFY_SOCKET`.
    pub env: BTreeMap<String, String>,
    /// Where it starts; must exist.
    pub working_dir: PathBuf,
    /// What its standard streams are connected to.
    pub stdio: Stdio,
    /// Its ports by name, for display only: they are already in `env` and `argv`.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// When to start it again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// How to end it.
    #[serde(default)]
    pub stop: StopPolicy,
    /// How to know that it is ready; without one it is ready once it runs.
    #[serde(default)]
    pub probe: Option<ProbeSpec>,
    /// How much of its output to keep.
    #[serde(default)]
    pub log: LogPolicy,
}

/// What an instance's standard streams are connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdio {
    /// Standard output and error go to the log; standard input is empty.
    Logs,
    /// Standard input and output are pipes for the gateway; error goes to the log.
    Mcp,
}

/// When an instance that ended is started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestartPolicy {
    /// After which exits.
    pub condition: RestartCondition,
    /// Restarts in a row before giving up; `None` never gives up.
    pub max_attempts: Option<u32>,
    /// Delay of the second restart in a row; the first has none. Doubles from then on.
    pub delay_ms: u64,
    /// The longest delay.
    pub max_delay_ms: u64,
    /// An instance that lived this long counts as recovered: the next restart is a first one.
    pub window_ms: u64,
}

/// After which exits to restart, in Compose's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// Never.
    No,
    /// After a non-zero exit code or a signal.
    OnFailure,
    /// After every exit.
    Always,
    /// After every exit that was not asked for. The keeper never restarts what it
    /// was asked to stop, so here it means the same as `Always`.
    UnlessStopped,
}

/// How an instance is ended. Each step has its own time; the last is `SIGKILL` to all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopPolicy {
    /// Close standard input first and wait `eof_grace_ms`: how an MCP server is asked to end.
    pub eof: bool,
    /// The signal that asks it to end, by name or number.
    pub signal: String,
    /// Time from the signal to `SIGKILL`.
    pub grace_ms: u64,
    /// Time from end-of-file to the signal.
    pub eof_grace_ms: u64,
}

/// How and how often an instance's health is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSpec {
    /// What is asked.
    pub kind: ProbeKind,
    /// Time between probes once one has succeeded.
    #[serde(default = "ProbeSpec::default_interval_ms")]
    pub interval_ms: u64,
    /// Time one probe may take.
    #[serde(default = "ProbeSpec::default_timeout_ms")]
    pub timeout_ms: u64,
    /// Failures in a row that make it unhealthy.
    #[serde(default = "ProbeSpec::default_retries")]
    pub retries: u32,
    /// Time after the start in which failures do not count.
    #[serde(default)]
    pub start_period_ms: u64,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ProbeKind {
    /// Does a loopback port accept a connection?
    Tcp {
        /// The port.
        port: u16,
    },
    /// Does `GET path` on a loopback port answer with 200 to 399?
    Http {
        /// The port.
        port: u16,
        /// The path, with its leading slash.
        path: String,
    },
    /// Does a command, run as the instance is run, exit with 0?
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// Has a line of its log matched a regular expression? Never asked again once it has.
    Log {
        /// The expression, in the syntax of Rust's `regex`.
        pattern: String,
    },
    /// Has it sent `READY=1` to `NOTIFY_SOCKET`? Never asked again once it has.
    Notify {},
}

/// How much of an instance's output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogPolicy {
    /// Size at which the current file is put aside.
    pub max_bytes: u64,
    /// Files kept, the current one included.
    pub max_files: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            condition: RestartCondition::Always,
            max_attempts: None,
            delay_ms: 100,
            max_delay_ms: 30_000,
            window_ms: 10_000,
        }
    }
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self {
            eof: false,
            signal: "SIGTERM".to_owned(),
            grace_ms: 10_000,
            eof_grace_ms: 2_000,
        }
    }
}

impl Default for LogPolicy {
    fn default() -> Self {
        Self {
            max_bytes: 10 << 20,
            max_files: 3,
        }
    }
}

impl ProbeSpec {
    fn default_interval_ms() -> u64 {
        10_000
    }

    fn default_timeout_ms() -> u64 {
        5_000
    }

    fn default_retries() -> u32 {
        3
    }
}

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
    fn a_spec_survives_its_json() {
        let mut spec = spec();
        spec.probe = Some(ProbeSpec {
            kind: ProbeKind::Notify {},
            interval_ms: 1,
            timeout_ms: 2,
            retries: 3,
            start_period_ms: 4,
        });
        spec.restart.condition = RestartCondition::UnlessStopped;
        let json = serde_json::to_string(&spec).unwrap();
        assert!(json.contains(r#""kind":{"notify":{}}"#), "{json}");
        assert!(json.contains(r#""condition":"unless-stopped""#), "{json}");
        assert_eq!(serde_json::from_str::<InstanceSpec>(&json).unwrap(), spec);
    }

    #[test]
    fn an_unknown_key_is_refused_at_every_level() {
        for (key, value) in [
            ("argvv", "[]"),
            ("restart", r#"{"maximum": 1}"#),
            ("probe", r#"{"kind": {"tcp": {"prot": 1}}}"#),
        ] {
            let mut json = serde_json::to_value(spec()).unwrap();
            json[key] = serde_json::from_str(value).unwrap();
            assert!(
                serde_json::from_value::<InstanceSpec>(json).is_err(),
                "{key} passed"
            );
        }
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
