//! The rounds of one call of a modern client: what its server asks, and which request of the client waits for
//! it now.
//!
//! A legacy server asks in the middle of a call and waits. The client hears of it as the result of its
//! request, and goes on with another one; to the server it stays one call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use backstay_mcp::RawJson;
use backstay_mcp::modern::input::{InputRequest, MOST_INPUTS};
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::session::{EventStream, Keep};

/// See the module.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// Held for a few instructions, never across a wait.
    state: Mutex<State>,
    /// Wakes the request that waits.
    woken: Notify,
    /// What its server asked for and the client cannot do, as client capabilities.
    lacked: OnceLock<RawJson>,
    /// Whether the request is of a kind whose result may ask.
    may_ask: bool,
    /// The client's `Mcp-Param-*` headers.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// More than one request was made for the call.
    resumed: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// The client's id of the request that waits, or waited last.
    id: RawJson,
    /// The progress token of that request.
    token: Option<RawJson>,
    /// Whether one waits.
    waits: bool,
    stream: Option<Arc<EventStream>>,
    open: Vec<Open>,
}

/// A question without an answer.
#[derive(Debug)]
struct Open {
    request: InputRequest,
    /// The client knows of it.
    told: bool,
}

/// What a waiting request is woken by.
#[derive(Debug)]
pub(crate) enum Woken {
    /// Something was said before the answer, so that the answer is a stream.
    Streams(Arc<EventStream>),
    /// The server asks.
    Asked,
}

impl Rounds {
    pub(crate) fn new(
        id: RawJson,
        token: Option<RawJson>,
        may_ask: bool,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        let state = State {
            id,
            token,
            waits: true,
            stream: None,
            open: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            woken: Notify::new(),
            lacked: OnceLock::new(),
            may_ask,
            headers,
            resumed: AtomicBool::new(false),
        }
    }

    /// The client's `Mcp-Param-*` headers, which a modern HTTP server is to see.
    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// Whether an answer may have been written for an earlier request.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed.load(Ordering::Acquire)
    }

    /// The client's id of the request that waits.
    pub(crate) fn id(&self) -> RawJson {
        self.state.lock().id.clone()
    }

    /// The progress token of the request that waits.
    pub(crate) fn token(&self) -> Option<RawJson> {
        let state = self.state.lock();
        state.token.clone().filter(|_| state.waits)
    }

    /// Sends what belongs to the call; while nobody waits, there is nobody to hear it.
    pub(crate) fn send(&self, message: &[u8], keep: Keep) {
        if self.state.lock().waits {
            self.open().push(message, keep);
        }
    }

    /// Makes the answer to the waiting request a stream.
    pub(crate) fn open(&self) -> Arc<EventStream> {
        let mut state = self.state.lock();
        let stream = Arc::clone(state.stream.get_or_insert_with(EventStream::bare));
        drop(state);
        self.woken.notify_one();
        stream
    }

    /// The stream that the answer became, if it did.
    pub(crate) fn stream(&self) -> Option<Arc<EventStream>> {
        self.state.lock().stream.clone()
    }

    /// Waits until there is something to do. `streaming`: that the answer is a stream is known already.
    pub(crate) async fn woken(&self, streaming: bool) -> Woken {
        loop {
            {
                let state = self.state.lock();
                if state.open.iter().any(|open| !open.told) {
                    return Woken::Asked;
                }
                if let Some(stream) = state.stream.as_ref().filter(|_| !streaming) {
                    return Woken::Streams(Arc::clone(stream));
                }
            }
            self.woken.notified().await;
        }
    }

    /// The server asks something. False where it asks too much at a time, or where nothing may be asked.
    pub(crate) fn ask(&self, request: InputRequest) -> bool {
        let mut state = self.state.lock();
        if !self.may_ask || state.open.len() >= MOST_INPUTS {
            return false;
        }
        state.open.push(Open {
            request,
            told: false,
        });
        drop(state);
        self.woken.notify_one();
        true
    }

    /// The question has its answer, or nobody waits for one any more.
    pub(crate) fn close(&self, key: &str) {
        self.state
            .lock()
            .open
            .retain(|open| open.request.key != key);
    }

    /// The waiting request ends with what is asked; none where nothing is any more.
    pub(crate) fn pause(&self) -> Option<Vec<InputRequest>> {
        let mut state = self.state.lock();
        if state.open.is_empty() {
            return None;
        }
        state.waits = false;
        state.stream = None;
        let tell = |open: &mut Open| {
            open.told = true;
            open.request.clone()
        };
        Some(state.open.iter_mut().map(tell).collect())
    }

    /// Another request goes on with the call. What it left unanswered is asked again.
    pub(crate) fn go_on(&self, id: RawJson, token: Option<RawJson>) {
        self.resumed.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.id = id;
        state.token = token;
        state.waits = true;
        for open in &mut state.open {
            open.told = false;
        }
    }

    /// The server asked for what the client cannot do.
    pub(crate) fn lack(&self, required: RawJson) {
        let _ = self.lacked.set(required);
    }

    /// What the server asked for first that the client cannot do.
    pub(crate) fn lacked(&self) -> Option<&RawJson> {
        self.lacked.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(token: Option<RawJson>) -> Rounds {
        Rounds::new(RawJson::number(1), token, true, Vec::new())
    }

    fn question(key: &str) -> InputRequest {
        InputRequest {
            key: key.into(),
            method: "roots/list".into(),
            params: None,
        }
    }

    fn keys(questions: &[InputRequest]) -> Vec<&str> {
        questions.iter().map(|it| it.key.as_str()).collect()
    }

    #[tokio::test]
    async fn what_is_asked_wakes_the_request_and_what_is_left_unanswered_is_asked_again() {
        let rounds = rounds(None);
        assert!(rounds.ask(question("a")) && rounds.ask(question("b")));
        assert!(matches!(rounds.woken(false).await, Woken::Asked));
        assert_eq!(keys(&rounds.pause().unwrap()), ["a", "b"]);
        rounds.close("a");
        rounds.go_on(RawJson::number(2), None);
        assert_eq!(rounds.id(), RawJson::number(2));
        assert!(matches!(rounds.woken(false).await, Woken::Asked));
        assert_eq!(keys(&rounds.pause().unwrap()), ["b"]);
    }

    #[tokio::test]
    async fn what_is_said_while_nobody_waits_is_for_nobody() {
        let rounds = rounds(Some(RawJson::number(7)));
        rounds.ask(question("a"));
        rounds.pause();
        rounds.close("a");
        rounds.send(b"{}", Keep::IfRoom);
        assert!(rounds.stream().is_none() && rounds.token().is_none());
        rounds.go_on(RawJson::number(2), Some(RawJson::number(8)));
        rounds.send(b"{}", Keep::IfRoom);
        assert!(matches!(rounds.woken(false).await, Woken::Streams(_)));
        assert_eq!(rounds.token(), Some(RawJson::number(8)));
    }

    #[test]
    fn a_server_cannot_ask_without_end() {
        let rounds = rounds(None);
        let asked = (0..1000).filter(|at| rounds.ask(question(&at.to_string())));
        assert_eq!(asked.count(), MOST_INPUTS);
    }
}
