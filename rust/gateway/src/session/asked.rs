//! What servers ask of one client: sampling, elicitation, roots. Each question gets an id of ours;
//! the client's answer finds its way back by it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::{Envelope, Limits, RawJson, Rewrite, RpcError, jsonrpc};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Questions one client may have open.
const MOST: usize = 256;

/// A client's answer.
pub(crate) type Answer = Result<RawJson, RpcError>;

/// The open questions of one session.
#[derive(Debug)]
pub(crate) struct Asked {
    generation: u32,
    /// Held for one map operation.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    closed: bool,
    waiting: HashMap<RawJson, Waiting>,
}

/// Hears how far a client is with a question: the notification's parameters, with the server's token in them.
pub(crate) type Report = Arc<dyn Fn(&RawJson) + Send + Sync>;

struct Waiting {
    answer: oneshot::Sender<Answer>,
    /// The server's own progress token, and who wants to know.
    report: Option<(RawJson, Report)>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Waiting")
    }
}

/// Why no question was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The session ended.
    Closed,
    /// So many are open.
    TooMany,
}

/// A question on its way; dropping it forgets it.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    asked: &'a Asked,
    /// What the request is to be sent with.
    pub(crate) id: RawJson,
    answer: oneshot::Receiver<Answer>,
}

impl Asked {
    pub(crate) fn new(generation: u32) -> Self {
        Self {
            generation,
            open: Mutex::default(),
        }
    }

    /// Opens a question. Its id carries the daemon's generation, so that an answer to a dead daemon's
    /// question finds nobody.
    pub(crate) fn open(&self, report: Option<(RawJson, Report)>) -> Result<Question<'_>, Refused> {
        let (send, answer) = oneshot::channel();
        let mut open = self.open.lock();
        if open.closed {
            return Err(Refused::Closed);
        }
        if open.waiting.len() >= MOST {
            return Err(Refused::TooMany);
        }
        open.next += 1;
        let id = RawJson::string(&format!("{}.{}", self.generation, open.next));
        open.waiting.insert(
            id.clone(),
            Waiting {
                answer: send,
                report,
            },
        );
        Ok(Question {
            asked: self,
            id,
            answer,
        })
    }

    /// Takes an answer of the client. False where nobody waits for it.
    pub(crate) fn answer(&self, message: &Envelope) -> bool {
        let Some(id) = message.id() else { return false };
        let answer = match message.result() {
            Some(result) => Ok(result),
            None => Err(message.error().map_or_else(
                || {
                    RpcError::new(
                        jsonrpc::INTERNAL_ERROR,
                        "the client answered with neither result nor error",
                    )
                },
                |error| RpcError::read(&error),
            )),
        };
        self.settle(&id, answer)
    }

    /// Takes the answer to the question of this id. False where nobody waits for it.
    pub(crate) fn settle(&self, id: &RawJson, answer: Answer) -> bool {
        let waiting = self.open.lock().waiting.remove(id);
        waiting.is_some_and(|waiting| waiting.answer.send(answer).is_ok())
    }

    /// A client reports how far it is with a question: its token is the question's id.
    pub(crate) fn progress(&self, notification: &Envelope) {
        let Some(token) = notification.reported_token() else {
            return;
        };
        let wanted = self
            .open
            .lock()
            .waiting
            .get(&token)
            .and_then(|waiting| waiting.report.clone());
        let Some((own, report)) = wanted else { return };
        let bytes = notification.rewrite(&Rewrite {
            reported_token: Some(&own),
            ..Rewrite::default()
        });
        if let Some(params) = Envelope::parse(bytes, Limits::default())
            .ok()
            .and_then(|message| message.params())
        {
            report(&params);
        }
    }

    pub(super) fn close(&self) {
        let mut open = self.open.lock();
        open.closed = true;
        open.waiting.clear();
    }
}

impl Question<'_> {
    /// Waits for the client.
    pub(crate) async fn answer(mut self, patience: Duration) -> Answer {
        match tokio::time::timeout(patience, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(RpcError::new(
                jsonrpc::CONNECTION_CLOSED,
                "the client ended its session",
            )),
            Err(_) => Err(RpcError::new(
                jsonrpc::REQUEST_TIMEOUT,
                format!("the client did not answer in {patience:?}"),
            )),
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.asked.open.lock().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: String) -> Envelope {
        Envelope::parse(text, Limits::default()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_finds_its_question_once() {
        let asked = Asked::new(7);
        let question = asked.open(None).unwrap();
        assert_eq!(question.id.as_str(), "\"7.1\"");
        let text = r#"{"jsonrpc":"2.0","id":"7.1","result":{"roots":[]}}"#;
        assert!(asked.answer(&message(text.into())));
        assert_eq!(
            question
                .answer(Duration::from_secs(1))
                .await
                .unwrap()
                .as_str(),
            r#"{"roots":[]}"#
        );
        assert!(
            !asked.answer(&message(text.into())),
            "nobody waits any more"
        );
        assert!(
            !asked.answer(&message(text.replace("7.1", "6.1"))),
            "another daemon's question"
        );
    }

    #[tokio::test]
    async fn the_end_of_the_session_ends_its_questions() {
        let asked = Asked::new(1);
        let question = asked.open(None).unwrap();
        asked.close();
        assert_eq!(
            question
                .answer(Duration::from_secs(1))
                .await
                .unwrap_err()
                .code,
            jsonrpc::CONNECTION_CLOSED
        );
        assert_eq!(asked.open(None).unwrap_err(), Refused::Closed);
    }
}
