//! A request of a session on its way: the future of its answer, which is JSON until something has to be said before it
//! or it takes long.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use backstay_mcp::Envelope;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::answer;
use super::body::Body;
use super::mcp::Accepts;
use super::post::{LONG, begin};
use crate::call::Call;
use crate::core::Core;
use crate::requests::{self, Answer};
use crate::session::{EventStream, Keep, Session};

/// What a request is answered with.
pub(super) enum Answered {
    /// JSON, in pieces that are sent one after the other.
    Json([Bytes; 3]),
    Other(Box<Response<Body>>),
}

impl From<Response<Body>> for Answered {
    fn from(response: Response<Body>) -> Self {
        Self::Other(Box::new(response))
    }
}

impl Answered {
    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Self::Json(pieces) => answer::pieces(pieces),
            Self::Other(response) => *response,
        }
    }
}

/// An answer that is waited for.
pub(super) trait Coming: Future<Output = Answered> + Unpin {
    /// It has taken so long that the answer becomes a stream, if it may: this is it, or it is there when this is polled
    /// next.
    fn takes_long(&mut self) -> Option<Answered>;
}

/// Waits for an answer, which is a stream when it takes long.
pub(super) async fn wait(mut coming: impl Coming) -> Answered {
    match tokio::time::timeout(LONG, &mut coming).await {
        Ok(answered) => answered,
        Err(_) => match coming.takes_long() {
            Some(answered) => answered,
            None => coming.await,
        },
    }
}

/// See the module. Dropped before its end, what was asked for is finished without the client.
pub(super) struct Asking {
    call: Arc<Call>,
    answer: Finish<Answer>,
    /// Whether the answer may be a stream.
    events: bool,
}

impl Asking {
    /// Begins; the error is an answer at once.
    pub(super) fn begin(
        core: &Arc<Core>,
        session: &Arc<Session>,
        accepts: Accepts,
        message: Envelope,
    ) -> Result<Self, Answered> {
        let call = begin(core, session, &message, accepts.events).map_err(|(status, error)| {
            let answer = answer::error(status, message.id().as_ref(), &error);
            Answered::from(if status == StatusCode::TOO_MANY_REQUESTS {
                answer::later(answer, 1)
            } else {
                answer
            })
        })?;
        if !accepts.json {
            call.open();
        }
        let answer = Finish::new({
            let (core, call) = (Arc::clone(core), Arc::clone(&call));
            async move {
                let answer = requests::answer(&core, &call, &message).await;
                call.session.end(&call.id);
                answer
            }
        });
        Ok(Self {
            call,
            answer,
            events: accepts.events,
        })
    }

    /// The answer is a stream, on which the rest follows.
    fn streamed(&mut self, stream: Arc<EventStream>) -> Answered {
        let (call, answer) = (Arc::clone(&self.call), self.answer.take());
        let reader = stream.read(0);
        tokio::spawn(async move {
            let answer = answer.await;
            finish(&call, &stream, answer);
        });
        Answered::from(answer::events(reader))
    }

    fn answered(&self, answer: Answer) -> Answered {
        let call = &self.call;
        // What came before the answer, came on a stream; then the answer does too.
        if let Some(stream) = call.stream() {
            finish(call, &stream, answer);
            return Answered::from(answer::events(stream.read(0)));
        }
        match answer {
            Answer::Whole(bytes) | Answer::Failed(bytes, _) => {
                Answered::Json([bytes, Bytes::new(), Bytes::new()])
            }
            Answer::Pieces(pieces) => Answered::Json(pieces),
            Answer::Refused(refused) => Answered::from(answer::refused(*refused)),
            Answer::Nothing => {
                let stream = call.open();
                call.session.close_stream(stream);
                Answered::from(answer::events(stream.read(0)))
            }
        }
    }
}

impl Coming for Asking {
    fn takes_long(&mut self) -> Option<Answered> {
        if !self.events {
            return None;
        }
        let stream = Arc::clone(self.call.open());
        Some(self.streamed(stream))
    }
}

impl Future for Asking {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
            return Poll::Ready(self.answered(answer));
        }
        if self.events
            && let Poll::Ready(stream) = self.call.poll_stream(cx)
        {
            return Poll::Ready(self.streamed(stream));
        }
        Poll::Pending
    }
}

fn finish(call: &Call, stream: &EventStream, answer: Answer) {
    let bytes = answer.into_bytes();
    if !bytes.is_empty() {
        stream.push(&bytes, Keep::Always);
    }
    call.session.close_stream(stream);
}

/// Runs to its end even when nobody waits for it any more.
pub(super) struct Finish<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Finish<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }

    /// Takes it away from whoever waited.
    fn take(&mut self) -> Self {
        Self(self.0.take())
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.0 else {
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let (Some(future), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(future);
        }
    }
}
