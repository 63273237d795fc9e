//! Calls that wait for a modern client to come back with what its server asked for.
//!
//! Each is found by a state that only the client got: a random name, so that one that was changed finds
//! nothing and one that was guessed does not exist. It is good once, for the same request on the same path, and
//! for a limited time; then the call is called off. The name carries the daemon's generation: a call does not
//! outlive its daemon, and its client is told that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::modern::{headers, input};
use backstay_mcp::{Envelope, RawJson, RpcError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::RngCore as _;
use tokio::sync::oneshot;

use crate::call::Call;
use crate::fault;
use crate::requests::Answer;
use crate::session::Scope;

/// Calls that may wait at a time. Without authentication there is one identity, whose cap this is.
pub(crate) const MOST: usize = 1024;
/// How long a client, and the human before it, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Before every state of ours.
const MARK: &str = "backstay-";

/// The rest of a call: its answer, some time.
pub(crate) type Running = BoxFuture<'static, Answer>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Parked {
    generation: u32,
    /// By state. Held for one map operation.
    waiting: Mutex<HashMap<String, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    scope: Scope,
    method: String,
    /// The tool, prompt or resource.
    target: String,
    call: Arc<Call>,
    answer: oneshot::Receiver<Answer>,
    /// Tells the keeping task that a client goes on with it.
    taken: oneshot::Sender<()>,
}

/// A call that a client goes on with.
pub(crate) struct Resumed {
    pub(crate) call: Arc<Call>,
    /// The client's answers by the questions' keys; none for a call that begins.
    pub(crate) answers: Vec<(String, RawJson)>,
    pub(crate) running: Running,
}

impl Parked {
    pub(crate) fn new(generation: u32) -> Self {
        Self {
            generation,
            waiting: Mutex::default(),
        }
    }

    /// Keeps a call going. Returns the state to come back with; none where too many wait already.
    pub(crate) fn park(
        self: &Arc<Self>,
        request: &Envelope,
        call: &Arc<Call>,
        running: Running,
    ) -> Result<String, Running> {
        let state = self.fresh();
        let (answered, answer) = oneshot::channel();
        let (taken, resumed) = oneshot::channel();
        let waiting = Waiting {
            scope: call.session.scope.clone(),
            method: request.method().into_owned(),
            target: target(request),
            call: Arc::clone(call),
            answer,
            taken,
        };
        {
            let mut all = self.waiting.lock();
            if all.len() >= MOST {
                return Err(running);
            }
            all.insert(state.clone(), waiting);
        }
        tokio::spawn(Arc::clone(self).keep(
            state.clone(),
            Arc::clone(call),
            running,
            answered,
            resumed,
        ));
        Ok(state)
    }

    /// Drives a call while nobody waits for it, and calls it off when nobody has come back in time.
    async fn keep(
        self: Arc<Self>,
        state: String,
        call: Arc<Call>,
        mut running: Running,
        answered: oneshot::Sender<Answer>,
        mut resumed: oneshot::Receiver<()>,
    ) {
        let deadline = tokio::time::sleep(PATIENCE);
        tokio::pin!(deadline);
        let mut answer = None;
        loop {
            tokio::select! {
                biased;
                _ = &mut resumed => break,
                early = &mut running, if answer.is_none() => answer = Some(early),
                () = &mut deadline => {
                    if self.waiting.lock().remove(&state).is_some() {
                        call.call_off(Some("the client did not come back with what was asked"));
                    }
                    break;
                }
            }
        }
        let answer = match answer {
            Some(answer) => answer,
            None => running.await,
        };
        let _ = answered.send(answer);
    }

    /// The call that a retry goes on with; none where its state is not one of ours.
    pub(crate) fn take(
        &self,
        scope: &Scope,
        request: &Envelope,
    ) -> Result<Option<Resumed>, RpcError> {
        let Some(state) = request
            .request_state()
            .and_then(|state| state.read::<String>().ok())
            .filter(|state| state.starts_with(MARK))
        else {
            return Ok(None);
        };
        let mut all = self.waiting.lock();
        let Some(waiting) = all.get(&state) else {
            return Ok(None);
        };
        let same = waiting.scope == *scope
            && waiting.method == request.method()
            && waiting.target == target(request);
        if !same {
            return Err(fault::invalid_params(
                "this `requestState` belongs to another request; retry the one it came with",
            ));
        }
        // Before the state is spent.
        let answers = match request.input_responses() {
            None => Vec::new(),
            Some(raw) => input::responses(&raw)
                .ok_or_else(|| fault::invalid_params("`inputResponses` is not an object"))?,
        };
        let Some(waiting) = all.remove(&state) else {
            return Ok(None);
        };
        drop(all);
        let _ = waiting.taken.send(());
        let answer = waiting.answer;
        Ok(Some(Resumed {
            call: waiting.call,
            answers,
            running: Box::pin(async move { answer.await.unwrap_or(Answer::Nothing) }),
        }))
    }

    /// Why a state finds nothing, for a server that has none of its own.
    pub(crate) fn why_unknown(&self, state: &RawJson) -> RpcError {
        let generation = state
            .read::<String>()
            .ok()
            .and_then(|state| {
                let (generation, _) = state.strip_prefix(MARK)?.split_once('-')?;
                generation.parse::<u32>().ok()
            })
            .filter(|generation| *generation != self.generation);
        fault::invalid_params(if generation.is_some() {
            "the gateway was restarted since it asked, and the call ended with it; make the call again without `requestState`"
        } else {
            "this `requestState` is not known: it was used before, it is older than the gateway keeps one, or it was changed; make the call again without it"
        })
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    /// 192 random bits, and the generation in plain.
    fn fresh(&self) -> String {
        let mut secret = [0; 24];
        rand::rng().fill_bytes(&mut secret);
        format!(
            "{MARK}{}-{}",
            self.generation,
            URL_SAFE_NO_PAD.encode(secret)
        )
    }
}

fn target(request: &Envelope) -> String {
    headers::name(request).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use backstay_mcp::{CallTag, Limits};

    use super::*;
    use crate::modern::rounds::Rounds;
    use crate::session::Session;

    fn request(name: &str, state: Option<&str>) -> Envelope {
        let state = state.map_or(String::new(), |state| {
            format!(r#","requestState":"{state}""#)
        });
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"{state}}}}}"#
        );
        Envelope::parse(text, Limits::default()).unwrap()
    }

    fn call() -> Arc<Call> {
        let empty = RawJson::EMPTY_OBJECT;
        let session = Session::passing(1, 1, Scope::Fleet, empty.clone(), empty, None);
        let rounds = Rounds::new(RawJson::number(1), None, true, Vec::new());
        Call::modern(session, CallTag::default(), rounds)
    }

    #[tokio::test]
    async fn a_state_is_good_once_and_only_for_its_request() {
        let parked = Arc::new(Parked::new(3));
        let running = Box::pin(async { Answer::Whole("done".into()) });
        let state = parked
            .park(&request("a", None), &call(), running)
            .ok()
            .unwrap();
        assert!(
            parked
                .take(&Scope::Fleet, &request("b", Some(&state)))
                .is_err()
        );
        let elsewhere = Scope::Service("x".into());
        assert!(
            parked
                .take(&elsewhere, &request("a", Some(&state)))
                .is_err()
        );
        let changed = format!("{state}x");
        let found = parked.take(&Scope::Fleet, &request("a", Some(&changed)));
        assert!(found.unwrap().is_none());
        let resumed = parked.take(&Scope::Fleet, &request("a", Some(&state)));
        let answer = resumed.unwrap().unwrap().running.await;
        assert_eq!(answer.into_bytes(), "done");
        let again = parked.take(&Scope::Fleet, &request("a", Some(&state)));
        assert!(again.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_nobody_comes_back_for_is_called_off() {
        let parked = Arc::new(Parked::new(3));
        let call = call();
        let running: Running = Box::pin({
            let call = Arc::clone(&call);
            async move {
                call.called_off().await;
                Answer::Nothing
            }
        });
        assert!(parked.park(&request("a", None), &call, running).is_ok());
        tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
        assert_eq!(parked.len(), 0);
        call.called_off().await;
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let parked = Arc::new(Parked::new(3));
        let park = || {
            let running: Running = Box::pin(std::future::pending());
            parked.park(&request("a", None), &call(), running)
        };
        assert!((0..MOST).all(|_| park().is_ok()));
        assert!(park().is_err());
    }

    #[test]
    fn a_state_of_a_former_daemon_is_told_from_one_that_was_changed() {
        let parked = Parked::new(3);
        let former = RawJson::string(&Parked::new(2).fresh());
        assert!(parked.why_unknown(&former).message.contains("restarted"));
        let own = RawJson::string(&parked.fresh());
        assert!(parked.why_unknown(&own).message.contains("not known"));
    }
}
