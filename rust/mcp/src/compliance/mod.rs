//! Does a server keep to the protocol? The checks of `backstay doctor`.
//!
//! They look at a server that runs and was greeted, through the same [`Upstream`] that serves it, and change nothing
//! in it: they list, ask for what cannot be there, and watch how it answers. No tool is called. [`visit`] greets a
//! server that nobody serves first, in the version asked for.
//! What can harm a server or needs the raw pipe (its end by EOF and TERM, sizes, framing) is not theirs: that is
//! `python/backstay/compliance`.

mod errors;
mod lifecycle;
mod lists;
mod stream;
mod visit;

use std::time::Duration;

use serde::Serialize;

use crate::jsonrpc::RpcError;
use crate::raw::RawJson;
use crate::upstream::{Call, CallError, HandshakeError, Reply, Upstream};
use crate::version::Version;
pub use visit::visit;

/// What the checks found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `serverInfo.name`.
    pub server: String,
    /// `serverInfo.version`.
    pub server_version: String,
    /// The protocol version spoken.
    pub protocol: String,
    /// How long the handshake took, where it was made for these checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greeted_ms: Option<u64>,
    /// Every check, in the order they were made.
    pub checks: Vec<Check>,
}

/// One check and how it went.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// A stable name: `tools.schema`.
    pub id: &'static str,
    /// What is asked of a server, as a sentence.
    pub rule: &'static str,
    /// Where the specification (2025-11-25) says so.
    pub section: &'static str,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What to do if it did not go well.
    pub cure: &'static str,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It keeps the rule.
    Passed,
    /// It breaks a MUST.
    Failed {
        /// What it did.
        found: String,
    },
    /// It breaks a SHOULD, or makes life harder for its clients.
    Warned {
        /// What it did.
        found: String,
    },
    /// The rule does not apply to it.
    Skipped {
        /// Why.
        found: String,
    },
}

impl Report {
    /// The share of the checks that apply which went without a failure, of 100.
    pub fn score(&self) -> u8 {
        let applying = self
            .checks
            .iter()
            .filter(|check| !matches!(check.outcome, Outcome::Skipped { .. }))
            .count();
        let failed = self
            .checks
            .iter()
            .filter(|check| matches!(check.outcome, Outcome::Failed { .. }))
            .count();
        u8::try_from((applying - failed) * 100 / applying.max(1)).unwrap_or(100)
    }

    /// The report on a server that could not even be greeted.
    pub fn of_failure(error: &HandshakeError) -> Self {
        let check = Check {
            id: "lifecycle.initialize",
            rule: "the server answers `initialize`",
            section: "basic/lifecycle#initialization",
            outcome: Outcome::Failed {
                found: error.to_string(),
            },
            cure: error.hint(),
        };
        Self {
            server: String::new(),
            server_version: String::new(),
            protocol: String::new(),
            greeted_ms: None,
            checks: vec![check],
        }
    }
}

/// Makes every check. No single answer is waited for longer than `patience`.
pub async fn check(upstream: &Upstream, patience: Duration) -> Report {
    check_as(upstream, Version::LATEST, false, patience).await
}

async fn check_as(
    upstream: &Upstream,
    offered: Version,
    expendable: bool,
    patience: Duration,
) -> Report {
    let info = upstream.info();
    let mut doctor = Doctor {
        upstream,
        offered,
        expendable,
        patience,
        checks: Vec::new(),
        misspelled: None,
        end: End::NotYet,
    };
    lifecycle::check(&mut doctor).await;
    errors::check(&mut doctor).await;
    lists::check(&mut doctor).await;
    // Last: it judges by what all the others made the server say.
    stream::check(&mut doctor).await;
    Report {
        server: info.name.clone(),
        server_version: info.server_version.clone(),
        protocol: info.protocol().to_owned(),
        greeted_ms: None,
        checks: doctor.checks,
    }
}

/// What the checks share.
struct Doctor<'a> {
    upstream: &'a Upstream,
    /// What `initialize` asked for.
    offered: Version,
    /// Whether nobody minds if it dies of a check.
    expendable: bool,
    patience: Duration,
    checks: Vec<Check>,
    /// The first id that came back spelled in another way than it went.
    misspelled: Option<String>,
    end: End,
}

/// Whether the connection ended under a question, and whether that was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    Come,
    Told,
}

/// How an ask ended.
type Asked = Result<Result<RawJson, RpcError>, CallError>;

impl Doctor<'_> {
    /// Sends a request; the answer is its result or its error.
    async fn ask(&mut self, method: &str, params: Option<RawJson>) -> Asked {
        let call = Call {
            timeout: Some(self.patience),
            ..Call::new(method, params)
        };
        let reply = self.upstream.call(call).await;
        if self.end == End::NotYet && matches!(reply, Err(CallError::Closed { .. })) {
            self.end = End::Come;
        }
        let reply = reply?;
        self.look_at_id(&reply);
        Ok(reply.outcome().map_err(|error| RpcError::read(&error)))
    }

    fn look_at_id(&mut self, reply: &Reply) {
        let id = reply.id_bytes();
        if !id.iter().all(u8::is_ascii_digit) {
            self.misspelled
                .get_or_insert_with(|| String::from_utf8_lossy(id).into_owned());
        }
    }

    fn note(
        &mut self,
        id: &'static str,
        rule: &'static str,
        section: &'static str,
        outcome: Outcome,
        cure: &'static str,
    ) {
        // What it died of is told once; what was sent until then can still be judged.
        let outcome = match self.end {
            End::Told if !id.starts_with("stream.") => skipped("the server had ended"),
            _ => outcome,
        };
        if self.end == End::Come {
            self.end = End::Told;
        }
        self.checks.push(Check {
            id,
            rule,
            section,
            outcome,
            cure,
        });
    }
}

fn failed(found: impl Into<String>) -> Outcome {
    Outcome::Failed {
        found: found.into(),
    }
}

fn warned(found: impl Into<String>) -> Outcome {
    Outcome::Warned {
        found: found.into(),
    }
}

fn skipped(why: &str) -> Outcome {
    Outcome::Skipped {
        found: why.to_owned(),
    }
}

/// Judges an answer that should be an error of that code.
fn should_refuse(asked: Asked, code: i64, strict: bool) -> Outcome {
    let lesser = |found: String| if strict { failed(found) } else { warned(found) };
    match asked {
        Ok(Err(error)) if error.code == code => Outcome::Passed,
        Ok(Err(error)) => lesser(format!(
            "it answered with {} ({})",
            error.code, error.message
        )),
        Ok(Ok(result)) => lesser(format!(
            "it answered as if all were well: {}",
            crate::envelope::excerpt(result.as_bytes())
        )),
        Err(error) => failed(error.to_string()),
    }
}
