//! A request's way through a pool.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::{Counted, Failed, Pool, Protocol, Reply, Why};

/// How long a connection whose answer was just read may take to be ready for the next request.
const READY: Duration = Duration::from_millis(20);
/// A peer of an HTTP/2 connection that does not answer a ping for so long is gone.
const PING: Duration = Duration::from_secs(30);

type Error = Box<dyn std::error::Error + Send + Sync>;

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Error>,
{
    /// Sends a request and waits for the beginning of its answer.
    ///
    /// # Errors
    /// [`Failed`], with the request where it was never sent.
    pub async fn send(
        self: &Arc<Self>,
        request: Request<B>,
    ) -> Result<Response<Reply<B>>, Failed<B>> {
        match self.config.protocol {
            Protocol::Http1 => self.send_http1(request).await,
            Protocol::Http2 => self.send_http2(request).await,
        }
    }

    async fn send_http1(
        self: &Arc<Self>,
        mut request: Request<B>,
    ) -> Result<Response<Reply<B>>, Failed<B>> {
        while let Some(mut connection) = self.take() {
            if !connection.is_ready() {
                let ready = tokio::time::timeout(READY, connection.ready()).await;
                if !matches!(ready, Ok(Ok(()))) {
                    continue;
                }
            }
            match connection.try_send_request(request).await {
                Ok(answer) => return Ok(self.reply(answer, Some(connection))),
                Err(error) => request = unsent(error)?,
            }
        }
        let mut connection = match self.connect_http1().await {
            Ok(connection) => connection,
            Err(why) => return Err(not_sent(request, why)),
        };
        match connection.try_send_request(request).await {
            Ok(answer) => Ok(self.reply(answer, Some(connection))),
            Err(error) => Err(failed(error)),
        }
    }

    fn reply(
        self: &Arc<Self>,
        answer: Response<hyper::body::Incoming>,
        connection: Option<http1::SendRequest<B>>,
    ) -> Response<Reply<B>> {
        // What is upgraded is no HTTP connection any more.
        let connection =
            connection.filter(|_| answer.status() != http::StatusCode::SWITCHING_PROTOCOLS);
        answer.map(|body| Reply::new(body, connection.map(|one| (Arc::clone(self), one))))
    }

    async fn send_http2(
        self: &Arc<Self>,
        mut request: Request<B>,
    ) -> Result<Response<Reply<B>>, Failed<B>> {
        let mut tried = false;
        loop {
            let mut connection = match self.shared().await {
                Ok(connection) => connection,
                Err(why) => return Err(not_sent(request, why)),
            };
            match connection.try_send_request(request).await {
                Ok(answer) => return Ok(self.reply(answer, None)),
                Err(error) if !tried => {
                    tried = true;
                    request = unsent(error)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    async fn shared(&self) -> Result<http2::SendRequest<B>, Why> {
        if let Some(connection) = self.living() {
            return Ok(connection);
        }
        let _mine = self.setting_up.lock().await;
        if let Some(connection) = self.living() {
            return Ok(connection);
        }
        let connection = self.connect_http2().await?;
        *self.shared.lock() = Some(connection.clone());
        Ok(connection)
    }

    fn living(&self) -> Option<http2::SendRequest<B>> {
        let shared = self.shared.lock();
        shared.as_ref().filter(|one| !one.is_closed()).cloned()
    }

    async fn connect_http1(&self) -> Result<http1::SendRequest<B>, Why> {
        let (stream, counted) = self.connect().await?;
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Why::Broken)?;
        tokio::spawn(async move {
            let _counted = counted;
            // What went wrong on it is told to whoever waits for its answer.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    async fn connect_http2(&self) -> Result<http2::SendRequest<B>, Why> {
        let (stream, counted) = self.connect().await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .adaptive_window(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Why::Broken)?;
        tokio::spawn(async move {
            let _counted = counted;
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn connect(&self) -> Result<(TcpStream, Counted), Why> {
        let counted =
            Counted::below(&self.open, self.config.most).ok_or(Why::Full(self.config.most))?;
        let connecting = TcpStream::connect(self.address);
        let stream = tokio::time::timeout(self.config.connect, connecting)
            .await
            .map_err(|_| Why::ConnectTime(self.address))?
            .map_err(|error| Why::Connect(self.address, error))?;
        // Without it answers in parts wait for acknowledgements; a socket that refuses it still works.
        let _ = stream.set_nodelay(true);
        Ok((stream, counted))
    }
}

/// The request again, if it may go out on another connection.
fn unsent<B>(mut error: TrySendError<Request<B>>) -> Result<Request<B>, Failed<B>> {
    match error.take_message() {
        Some(request) => Ok(request),
        None => Err(failed(error)),
    }
}

fn not_sent<B>(request: Request<B>, why: Why) -> Failed<B> {
    Failed {
        why,
        unsent: Some(Box::new(request)),
    }
}

fn failed<B>(mut error: TrySendError<Request<B>>) -> Failed<B> {
    let unsent = error.take_message().map(Box::new);
    Failed {
        why: Why::Broken(error.into_error()),
        unsent,
    }
}
