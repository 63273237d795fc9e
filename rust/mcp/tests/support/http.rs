//! An HTTP server that does what a test's handler says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::hello;

pub type Answer = Response<BoxBody<Bytes, Infallible>>;
type Handler = Arc<dyn Fn(Asked) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// A request that came.
#[derive(Debug)]
pub struct Asked {
    pub parts: Parts,
    pub body: Value,
}

impl Asked {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.parts
            .headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// `POST tools/list`, `GET`.
    pub fn what(&self) -> String {
        format!(
            "{} {}",
            self.parts.method,
            self.body["method"].as_str().unwrap_or_default()
        )
        .trim_end()
        .to_owned()
    }
}

/// Serves until the test ends; gives the address and a log of `what` came.
pub async fn serve<F>(
    handler: impl Fn(Asked) -> F + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>)
where
    F: Future<Output = Answer> + Send + 'static,
{
    let log = Arc::new(Mutex::new(Vec::new()));
    let handler: Handler = Arc::new(move |asked| Box::pin(handler(asked)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::clone(&log);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let asked = Asked {
                        parts,
                        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                    };
                    seen.lock().push(asked.what());
                    Ok::<_, Infallible>(handler(asked).await)
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (address, log)
}

/// A status and a text.
pub fn status(status: u16, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// A JSON body.
pub fn json(value: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())).boxed());
    answer.headers_mut().insert(
        "content-type",
        "application/json; charset=utf-8".parse().unwrap(),
    );
    answer
}

/// The answer to a request.
#[allow(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
pub fn result(asked: &Asked, result: Value) -> Answer {
    json(&json!({"jsonrpc": "2.0", "id": asked.body["id"], "result": result}))
}

/// The answer to `initialize`, with a session.
pub fn opened(asked: &Asked, session: &str, version: &str) -> Answer {
    with(result(asked, hello(version)), "mcp-session-id", session)
}

/// With a header.
pub fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().insert(name, value.parse().unwrap());
    answer
}

/// An event stream that a test goes on writing to; it ends when the sender is dropped.
pub fn stream() -> (Answer, mpsc::UnboundedSender<String>) {
    let (tell, told) = mpsc::unbounded_channel::<String>();
    let frames = futures_util::stream::unfold(told, |mut told| async move {
        told.recv()
            .await
            .map(|text| (Ok(Frame::data(Bytes::from(text))), told))
    });
    let mut answer = Response::new(BodyExt::boxed(StreamBody::new(frames.boxed_sync())));
    answer
        .headers_mut()
        .insert("content-type", "text/event-stream".parse().unwrap());
    (answer, tell)
}

trait BoxedSync: futures_util::Stream + Sized {
    fn boxed_sync(self) -> Pin<Box<dyn futures_util::Stream<Item = Self::Item> + Send + Sync>>
    where
        Self: Send + Sync + 'static,
    {
        Box::pin(self)
    }
}

impl<S: futures_util::Stream> BoxedSync for S {}

/// An event stream that says this and ends.
pub fn events(text: &str) -> Answer {
    let (answer, tell) = stream();
    tell.send(text.to_owned()).unwrap();
    answer
}

/// One message as an event.
pub fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}
