//! A request on its way through the gateway: asked again where that is harmless, its broken stream read on, and in
//! the end always an answer with its id.

use backstay_mcp::sse::Parser;
use backstay_mcp::{Envelope, Kind, Limits, RawJson, RpcError, jsonrpc};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::link::Failure;
use super::session::{Session, TRIES, unreachable};

/// How a stream ended.
pub(super) enum Ended {
    /// The answer that was waited for came.
    Answered,
    /// It broke off behind this event.
    Broken(String),
}

/// What becomes of a message on a stream.
pub(super) enum Heard {
    /// It is passed.
    Pass,
    /// It is not.
    Skip,
    /// These are passed in its place.
    Instead(Vec<Bytes>),
}

impl Session {
    /// Passes a request, and what is said on the way to its answer.
    pub(super) async fn ask(&self, request: &Envelope, id: &RawJson) -> Result<(), RpcError> {
        // Asking again for what changes nothing is harmless; a tool may do anything.
        let tries = if request.method() == "tools/call" {
            1
        } else {
            TRIES
        };
        let mut left = tries;
        let mut reopened = false;
        loop {
            let number = self.opened.lock().number;
            let response = match self.post(request.bytes().clone()).await {
                Ok(response) => response,
                Err(Failure::Lost) if left > 1 => {
                    left -= 1;
                    continue;
                }
                Err(failure) => return Err(unreachable(failure)),
            };
            if response.status() == StatusCode::NOT_FOUND && !reopened && self.knows_session() {
                reopened = true;
                self.reopen(number).await?;
                continue;
            }
            if !is_stream(&response) {
                return self.pass_whole(response, id).await;
            }
            let passed = self.pass_stream(response, Some(id), String::new(), |_| Heard::Pass);
            match passed.await {
                Ended::Answered => return Ok(()),
                Ended::Broken(last) => return self.resume(last, id).await,
            }
        }
    }

    /// The stream of an answer broke off: what is missing can be had where it stopped.
    async fn resume(&self, mut last: String, id: &RawJson) -> Result<(), RpcError> {
        for _ in 0..TRIES {
            if last.is_empty() {
                break;
            }
            let Ok(response) = self.get(Some(&last)).await else {
                break;
            };
            if !is_stream(&response) {
                break;
            }
            let passed = self.pass_stream(response, Some(id), last, |_| Heard::Pass);
            match passed.await {
                Ended::Answered => return Ok(()),
                Ended::Broken(further) => last = further,
            }
        }
        Err(RpcError::new(
            jsonrpc::CONNECTION_CLOSED,
            "the daemon restarted during the call; its answer is lost",
        ))
    }

    pub(super) async fn pass_whole(
        &self,
        response: Response<Incoming>,
        id: &RawJson,
    ) -> Result<(), RpcError> {
        let status = response.status();
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(|_| unreachable(Failure::Lost))?
            .to_bytes();
        let Ok(answer) = Envelope::parse(bytes, Limits::default()) else {
            return Err(RpcError::new(
                jsonrpc::INTERNAL_ERROR,
                format!("the gateway answered {status}"),
            ));
        };
        match (answer.kind(), answer.id(), answer.error()) {
            // It could not tell whose error it is; here it is known.
            (Kind::Error, None, Some(error)) => Err(RpcError::read(&error)),
            _ if answer.id().as_ref() == Some(id) => {
                self.say(answer.bytes().clone()).await;
                Ok(())
            }
            _ => Err(RpcError::new(
                jsonrpc::INTERNAL_ERROR,
                format!("the gateway answered {status} to something else"),
            )),
        }
    }

    /// Passes what a stream says until the answer to `id` came, or it ends.
    pub(super) async fn pass_stream(
        &self,
        response: Response<Incoming>,
        id: Option<&RawJson>,
        last: String,
        mut hear: impl FnMut(&Envelope) -> Heard,
    ) -> Ended {
        let mut parser = Parser::new(Limits::default().max_bytes);
        let mut body = response.into_body();
        let last_of = |parser: &Parser| {
            if parser.last_id().is_empty() {
                last.clone()
            } else {
                parser.last_id().to_owned()
            }
        };
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(mut piece) = frame.into_data() else {
                continue;
            };
            while !piece.is_empty() {
                let event = match parser.next(&mut piece) {
                    Ok(Some(event)) => event,
                    Ok(None) => continue,
                    Err(_) => return Ended::Broken(last_of(&parser)),
                };
                let Some(message) = Some(event).filter(backstay_mcp::sse::Event::is_message) else {
                    continue;
                };
                let Ok(message) = Envelope::parse(message.data, Limits::default()) else {
                    continue;
                };
                let answers = matches!(message.kind(), Kind::Response | Kind::Error)
                    && message.id().as_ref() == id;
                match hear(&message) {
                    Heard::Pass => self.say(message.bytes().clone()).await,
                    Heard::Skip => {}
                    Heard::Instead(others) => {
                        for other in others {
                            self.say(other).await;
                        }
                    }
                }
                if answers {
                    return Ended::Answered;
                }
            }
        }
        Ended::Broken(last_of(&parser))
    }
}

pub(super) fn is_stream(response: &Response<Incoming>) -> bool {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    response.status() == StatusCode::OK && kind.starts_with("text/event-stream")
}

/// The one answer that a response holds, as JSON or as an event; what else is said before it is of no use yet.
pub(super) async fn read_answer(
    response: Response<Incoming>,
    id: Option<&RawJson>,
) -> Result<Envelope, RpcError> {
    let streams = is_stream(&response);
    let mut body = response.into_body();
    if !streams {
        let bytes = body
            .collect()
            .await
            .map_err(|_| unreachable(Failure::Lost))?;
        return Envelope::parse(bytes.to_bytes(), Limits::default()).map_err(|error| {
            RpcError::new(
                jsonrpc::INTERNAL_ERROR,
                format!("the gateway's answer: {error}"),
            )
        });
    }
    let mut parser = Parser::new(Limits::default().max_bytes);
    while let Some(Ok(frame)) = body.frame().await {
        let mut piece = frame.into_data().unwrap_or_default();
        while let Ok(Some(event)) = parser.next(&mut piece) {
            if let Ok(message) = Envelope::parse(event.data, Limits::default())
                && matches!(message.kind(), Kind::Response | Kind::Error)
                && message.id().as_ref() == id
            {
                return Ok(message);
            }
        }
    }
    Err(unreachable(Failure::Lost))
}
