//! A call to a server of which answers are kept: found, waited for, or fetched and kept; and what a call that writes
//! makes stale.

use std::sync::Arc;

use super::attempt::{Attempts, Ended};
use super::forward::travel;
use crate::answers::second::{Fetched, Look};
use crate::answers::{self, Fetch, Found, Question, Rules, Touches, bucket_of};
use crate::fleet::{Hints, Server};

/// Answers a call. `tool`: what the server itself calls it, where it is one.
pub(super) async fn answer<'a>(
    attempts: &Attempts<'a>,
    rules: &Arc<Rules>,
    tool: Option<&str>,
    hints: Hints,
) -> Ended<'a> {
    let (server, core) = (attempts.server, attempts.core);
    let own = match tool {
        Some(tool) => Some(tool.into()),
        None => attempts
            .rewrite
            .uri
            .map(Into::into)
            .or_else(|| attempts.request.uri()),
    };
    let session = &attempts.call.session;
    let question = own
        .as_deref()
        .and_then(|own| rules.question(attempts.request, session, own, tool.map(|_| hints)));
    let Some(question) = question else {
        let _touch = tool.map(|tool| Touch {
            server,
            touches: rules.touches(tool, hints),
        });
        return travel(attempts).await;
    };
    let signals = server.signals(&core.metrics);
    let fresh = server.freshness.of(question.name);
    match core.answers.find(&question, fresh) {
        Found::Kept(kept) => {
            signals.hits.inc();
            Ended::Answered(kept.reply.clone(), kept.own)
        }
        Found::Coming(told) => {
            signals.joined.inc();
            match answers::wait(told).await {
                Some(kept) => Ended::Answered(kept.reply.clone(), kept.own),
                None => travel(attempts).await,
            }
        }
        Found::Fetch(fetch) => fetch_one(attempts, rules, &question, fetch).await,
    }
}

/// Nobody here has the answer: another daemon may have, and else the server does.
async fn fetch_one<'a>(
    attempts: &Attempts<'a>,
    rules: &Rules,
    question: &Question<'_>,
    fetch: Fetch<'_>,
) -> Ended<'a> {
    let (server, core) = (attempts.server, attempts.core);
    let signals = server.signals(&core.metrics);
    let mut free = None;
    if let Some(second) = core.answers.second() {
        let bucket = bucket_of(question.name);
        match second.look(question, &server.service, bucket).await {
            Look::There(found) => {
                signals.second_hits.inc();
                let terms = (found.left, found.public);
                fetch.keep(question, &found.reply, found.own, terms, found.took);
                return Ended::Answered(found.reply, found.own);
            }
            Look::Nothing(slot) => free = Some((second, slot)),
            Look::Gone => {}
        }
    }
    signals.misses.inc();
    let ended = travel(attempts).await;
    let mut kept = None;
    if let Ended::Answered(reply, own) = &ended
        && let Some((left, public)) = rules.terms(reply)
    {
        let took = fetch.took();
        fetch.keep(question, reply, *own, (left, public), took);
        kept = free.is_some().then(|| Fetched {
            reply: reply.clone(),
            own: *own,
            left,
            took,
            public,
        });
    }
    if let Some((second, slot)) = free {
        let through = second.through;
        let put = async move { second.put(&slot, kept.as_ref()).await };
        if through {
            put.await;
        } else {
            core.runtime.spawn(put);
        }
    }
    ended
}

/// A call that may change something: after it, however it ends, what was answered before says nothing any more.
struct Touch<'a> {
    server: &'a Server,
    touches: Touches<'a>,
}

impl Drop for Touch<'_> {
    fn drop(&mut self) {
        self.server.touched(self.touches);
    }
}
