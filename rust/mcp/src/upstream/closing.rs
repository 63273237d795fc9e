//! Why connections end, and why they never began.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::jsonrpc::RpcError;
use crate::version::UnknownVersion;

/// Why a connection ended.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CloseReason {
    /// We closed it.
    #[error("closed from this side")]
    Closed,
    /// The process closed its stdout, which most do by ending.
    #[error("it closed its stdout")]
    StdoutClosed,
    /// The process closed its stdin.
    #[error("it closed its stdin")]
    StdinClosed,
    /// A pipe, the journal or a socket failed.
    #[error("{0}")]
    Io(String),
    /// The event stream of the 2024-11-05 transport ended.
    #[error("it ended its event stream")]
    StreamEnded,
    /// An HTTP server was replaced by one of the other era, which has to be greeted anew.
    #[error("it speaks another era of the protocol than when it was greeted")]
    OtherEra,
}

/// Why a server cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HandshakeError {
    /// The process ended, or closed its stdout, before it answered.
    #[error("`{instance}` ended before it answered `{asked}`{printed}")]
    Exited {
        /// The instance.
        instance: String,
        /// `initialize`, or `server/discover`.
        asked: &'static str,
        /// What it printed on stdout instead.
        printed: Printed,
    },
    /// No answer in time.
    #[error("`{instance}` did not answer `{asked}` within {after:?}{printed}")]
    TimedOut {
        /// The instance.
        instance: String,
        /// `initialize`, or `server/discover`.
        asked: &'static str,
        /// How long it had.
        after: Duration,
        /// What it printed on stdout instead.
        printed: Printed,
    },
    /// It printed so much else on stdout that it can be no MCP server.
    #[error("`{instance}` prints to stdout, where only MCP messages may go{printed}")]
    Garbage {
        /// The instance.
        instance: String,
        /// What it printed.
        printed: Printed,
    },
    /// It printed so much without a line break that it can be no MCP server.
    #[error(
        "`{instance}` wrote more than {} to stdout without a line break before it answered `initialize`, starting with\n  | {shown}",
        size(*.limit)
    )]
    Endless {
        /// The instance.
        instance: String,
        /// The most bytes of a first line.
        limit: usize,
        /// The line's start.
        shown: String,
    },
    /// It answered a request that nobody made.
    #[error("`{instance}` answered `{asked}` with the id {got} instead of {expected}")]
    WrongId {
        /// The instance.
        instance: String,
        /// `initialize`, or `server/discover`.
        asked: &'static str,
        /// Our id.
        expected: String,
        /// Its id.
        got: String,
    },
    /// It wants a version that nobody here speaks.
    #[error("`{instance}`: {version}")]
    BadVersion {
        /// The instance.
        instance: String,
        /// What it asked for.
        version: UnknownVersion,
    },
    /// A line, or a body, went over the limit.
    #[error("`{instance}` sent a message over the limit of {limit} bytes, starting with {shown:?}")]
    TooLarge {
        /// The instance.
        instance: String,
        /// The limit.
        limit: usize,
        /// Its start.
        shown: String,
    },
    /// It answered with an error.
    #[error("`{instance}` refused `{asked}`: {error}")]
    Refused {
        /// The instance.
        instance: String,
        /// `initialize`, or `server/discover`.
        asked: &'static str,
        /// The error.
        error: RpcError,
    },
    /// It answered with something that is no result of what was asked.
    #[error("`{instance}` answered `{asked}` with {shown}, {reason}")]
    BadResult {
        /// The instance.
        instance: String,
        /// `initialize`, or `server/discover`.
        asked: &'static str,
        /// What is wrong with it.
        reason: String,
        /// The start of the result.
        shown: String,
    },
    /// An HTTP server could not be reached, or broke off.
    #[error("`{instance}` cannot be reached: {reason}")]
    Unreachable {
        /// The instance.
        instance: String,
        /// Why.
        reason: String,
    },
    /// An HTTP server answered with a status that is no answer.
    #[error("`{instance}` answered `{asked}` with {status}: {reason}")]
    Http {
        /// The instance.
        instance: String,
        /// `initialize`, or `server/discover`.
        asked: &'static str,
        /// The status code.
        status: u16,
        /// What that means and what it said.
        reason: String,
    },
    /// An HTTP server's response ended without an answer in it.
    #[error("`{instance}` did not answer `{asked}`: {reason}")]
    NoAnswer {
        /// The instance.
        instance: String,
        /// `initialize`, or `server/discover`.
        asked: &'static str,
        /// What came instead.
        reason: String,
    },
    /// The address, a header, or a pipe cannot be used.
    #[error("`{instance}`: {reason}")]
    BadTarget {
        /// The instance.
        instance: String,
        /// Why.
        reason: String,
    },
}

impl HandshakeError {
    /// What to try.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exited { printed, .. }
            | Self::TimedOut { printed, .. }
            | Self::Garbage { printed, .. }
                if printed.lines > 0 =>
            {
                "an MCP server logs to stderr; look for a print, or for a wrapper that prints before it"
            }
            Self::Endless { .. } => {
                "stdout is for the protocol, one message a line; an MCP server logs to stderr"
            }
            Self::TimedOut { printed, .. } if printed.unended.is_some() => {
                "one message is one line and ends with a line break; prompts and logs go to stderr"
            }
            Self::Exited { .. } => "its log says why: a missing argument, variable or module",
            Self::TimedOut { .. } => {
                "see its log; raise `start_timeout` if it is slow, check `transport` if it waits for HTTP"
            }
            Self::Garbage { .. }
            | Self::WrongId { .. }
            | Self::BadResult { .. }
            | Self::NoAnswer { .. } => "the program does not speak MCP; check `command` and `args`",
            Self::BadVersion { .. } => {
                "pin a release of the server that speaks one of these versions"
            }
            Self::TooLarge { .. } => {
                "raise the gateway's message limit, or check that the program speaks MCP on stdout"
            }
            Self::Refused { .. } => "the error is the server's own; its documentation says more",
            Self::Unreachable { reason, .. } if reason.contains("certificate") => {
                "this machine does not trust its certificate; SSL_CERT_FILE names others to trust"
            }
            Self::Unreachable { .. } => "is it running, and is the address right?",
            Self::Http { status: 401, .. } => {
                "show it a token of yours: `headers: {Authorization: \"Bearer {{ secrets.NAME }}\"}`; OAuth is not done for you"
            }
            Self::Http { .. } => {
                "check the path, the transport (`streamable-http` or `sse`) and the credentials"
            }
            Self::BadTarget { .. } => "check the url and headers of the service",
        }
    }
}

/// What a server printed on stdout that is no message, as an error shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// How many lines.
    pub lines: u64,
    /// The first few, shortened.
    pub first: Vec<String>,
    /// What it began before its first message and did not end: a prompt, or a message without its line break.
    pub unended: Option<Unended>,
}

/// A line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unended {
    /// How long it is so far.
    pub bytes: usize,
    /// Its start, shortened.
    pub shown: String,
}

impl fmt::Display for Printed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines {
            0 => {}
            1 => out.write_str("; on stdout it printed 1 line that is no MCP message")?,
            lines => write!(
                out,
                "; on stdout it printed {lines} lines that are no MCP message"
            )?,
        }
        for line in &self.first {
            write!(out, "\n  | {line}")?;
        }
        if let Some(Unended { bytes, shown }) = &self.unended {
            let joint = match self.lines {
                0 => "; on stdout it",
                _ => "\nand it",
            };
            write!(
                out,
                "{joint} began a line of {} that has no end yet\n  | {shown}",
                size(*bytes)
            )?;
        }
        Ok(())
    }
}

/// A size as a message says it.
fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        whole => format!("{whole} MiB"),
    }
}
