//! What is to run: the whole, frozen description of one instance.
//!
//! Python writes it as JSON (`Daemon.start(spec)`), the keeper holds it and
//! restarts by it without asking again. Nothing here is a template and nothing
//! is looked up later: `env` is the *whole* environment and `argv` is final.
//! What no machine could run is refused by `check.rs`.

mod check;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use check::SpecError;

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
    /// The longest time between probes before the first success.
    #[serde(default = "ProbeSpec::default_start_interval_ms")]
    pub start_interval_ms: u64,
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

    fn default_start_interval_ms() -> u64 {
        5_000
    }
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
            start_interval_ms: 5,
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
}
