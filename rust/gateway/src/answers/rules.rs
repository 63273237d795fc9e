//! What of one server may be kept, for how long, under which key, and what a call makes stale.

use std::time::Duration;

use backstay_mcp::modern::result::{CACHE_SCOPE, ResultKind, TTL_MS};
use backstay_mcp::{Envelope, Reply};
use sha2::{Digest as _, Sha256};

use super::canonical::{self, Members};
use super::route::CacheRoute;
use crate::config::SessionMode;
use crate::fleet::Hints;
use crate::glob;
use crate::session::Session;

/// Names one answer: a hash over who may have it and the one spelling of what was asked.
pub(crate) type Key = [u8; 32];

/// Members of a request's parameters that are part of the key, or need not be. A request with others is special: a
/// task, or the next round of one that asked for something first.
const KNOWN: [&str; 4] = ["name", "arguments", "uri", "_meta"];

/// See the module.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) route: CacheRoute,
    mode: SessionMode,
    service: Box<str>,
}

/// What was asked, where its answer may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// The tool's or the resource's own name: what is made stale by.
    pub(crate) name: &'a str,
    /// The key among those who may share an answer with this client.
    pub(crate) own: Key,
    /// A hash over what was asked.
    asked: Key,
}

impl Question<'_> {
    /// The key among all.
    pub(crate) fn shared(&self) -> Key {
        under(ALL, &self.asked)
    }
}

/// Who all are, among those who may have an answer.
const ALL: &[u8] = b"all";

/// The key of an answer to what has this hash, for those of a scope.
fn under(scope: &[u8], asked: &Key) -> Key {
    let scoped = Sha256::new().chain_update(asked).chain_update(scope);
    scoped.finalize().into()
}

impl Rules {
    pub(crate) fn new(service: &str, route: CacheRoute, mode: SessionMode) -> Self {
        Self {
            route,
            mode,
            service: service.into(),
        }
    }

    /// Whether a tool only reads: by the operator's word where that was given, else by its own.
    fn reads(&self, tool: &str, hints: Hints) -> bool {
        match &self.route.tools {
            Some(tools) => glob::any(tools, tool),
            None => hints.read_only,
        }
    }

    /// What is asked, if the answer may be kept: the tool or resource `name`, by its own name.
    pub(crate) fn question<'a>(
        &self,
        request: &Envelope,
        session: &Session,
        name: &'a str,
        tool: Option<Hints>,
    ) -> Option<Question<'a>> {
        let kept = match tool {
            Some(hints) => self.reads(name, hints) && !self.route.invalidates.contains_key(name),
            None => request.method() == "resources/read" && glob::any(&self.route.resources, name),
        };
        if !kept {
            return None;
        }
        let params = request.params()?;
        let Members(members) = serde_json::from_str(params.as_str()).ok()?;
        if !members.iter().all(|(name, _)| KNOWN.contains(&&**name)) {
            return None;
        }
        let mut asked = Vec::with_capacity(256);
        let kind = if tool.is_some() { "tool" } else { "resource" };
        for part in [&*self.service, &*self.route.revision, kind, name] {
            // The length before each part keeps the parts apart.
            asked.extend_from_slice(&(part.len() as u64).to_le_bytes());
            asked.extend_from_slice(part.as_bytes());
        }
        if let Some(arguments) = request.arguments()
            && !canonical::write(arguments.as_str(), &mut asked)
        {
            return None;
        }
        let asked: Key = Sha256::digest(&asked).into();
        let shared = || under(ALL, &asked);
        let own_of = |scope: &[u8]| under(scope, &asked);
        let own = match self.mode {
            _ if self.route.shared => shared(),
            SessionMode::Global => shared(),
            // Who somebody is will be authentication's to say; until then, all are one.
            SessionMode::Shared => own_of(b"anybody"),
            SessionMode::Isolated if session.is_modern() => own_of(b"anybody"),
            SessionMode::Isolated => own_of(session.id.as_bytes()),
        };
        Some(Question { name, own, asked })
    }

    /// How long an answer may be kept, and whether by all; `None` where it may not.
    pub(crate) fn terms(&self, reply: &Reply) -> Option<(Duration, bool)> {
        let negative = Duration::from_millis(self.route.negative_ms);
        let Ok(result) = reply.outcome() else {
            return (!negative.is_zero()).then_some((negative, false));
        };
        if ResultKind::of(result.as_bytes()) != ResultKind::Complete {
            return None;
        }
        let is_error = result.member("isError");
        if is_error.is_some_and(|it| it.as_bytes() == b"true") {
            return (!negative.is_zero()).then_some((negative, false));
        }
        let said: Option<f64> = result.member(TTL_MS).and_then(|ttl| ttl.read().ok());
        let ttl = match said {
            Some(ms) => Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default(),
            None => Duration::from_millis(self.route.ttl_ms),
        };
        let scope = result.member(CACHE_SCOPE);
        let public = scope.is_some_and(|scope| scope.as_bytes() == br#""public""#);
        (!ttl.is_zero()).then_some((ttl, public))
    }

    /// What a call of this tool makes stale.
    pub(crate) fn touches(&self, tool: &str, hints: Hints) -> Touches<'_> {
        match self.route.invalidates.get(tool) {
            Some(patterns) => Touches::These(patterns),
            None if self.reads(tool, hints) => Touches::Nothing,
            None => Touches::Everything,
        }
    }
}

/// What a call makes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touches<'a> {
    Nothing,
    /// Tools and resources, by these patterns.
    These(&'a [String]),
    Everything,
}
