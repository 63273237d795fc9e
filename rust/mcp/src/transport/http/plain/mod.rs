//! HTTP/1.1 to one server without TLS, which is what a server on this machine speaks.
//!
//! A library's client is a task of its own for each connection, to which requests and from which answers travel
//! through channels. A call through the gateway is one small request and one small answer, so here the task that
//! asks does it all: it takes an idle connection, writes the request in one system call, reads the answer out of
//! the connection's buffer without a copy, and gives the connection back. What has TLS goes through hyper.

mod connection;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Uri;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::connection::{Broken, Connection};
use self::framing::{Cutter, Framing, Piece};
pub(crate) use self::head::Headers;
pub(super) use self::head::write as write_head;
use self::pool::Pool;
use super::body::Body;
use super::client::{Prepared, Response, Undone};

const CONNECT: Duration = Duration::from_secs(10);
/// Larger bodies are not copied to be one piece with their head.
const JOINED: usize = 16 << 10;
/// What the length of a body takes in a head.
const LENGTH: usize = 48;

/// The connections to one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    pool: Arc<Pool>,
}

impl Plain {
    /// Sends a request and waits for the beginning of its answer.
    pub(crate) async fn send(&self, prepared: &Prepared, body: Bytes) -> Result<Response, Undone> {
        let joined = if body.len() <= JOINED { body.len() } else { 0 };
        let mut head = Vec::with_capacity(prepared.head.len() + LENGTH + joined);
        head.extend_from_slice(&prepared.head);
        head::finish(prepared.request.method(), body.len(), &mut head);
        let mut body = body;
        if body.len() <= JOINED {
            head.extend_from_slice(&body);
            body.clear();
        }
        loop {
            let (connection, used) = match self.pool.take() {
                Some(connection) => (connection, true),
                // Boxed: most requests find a connection.
                None => (Box::pin(connect(prepared.request.uri())).await?, false),
            };
            match self.ask(connection, &head, &body).await {
                // It had been closed, so nobody has seen the request.
                Err(broken) if used && !broken.sent => {}
                asked => return asked.map_err(Undone::from),
            }
        }
    }

    async fn ask(
        &self,
        mut connection: Connection,
        head: &[u8],
        body: &[u8],
    ) -> Result<Response, Broken> {
        let (answer, bytes) = connection.ask(head, body).await?;
        let mut body = Rest {
            cutter: answer.framing.into(),
            until_close: answer.framing == Framing::UntilClose,
            connection: Some(connection),
            pool: answer.reusable.then(|| Arc::clone(&self.pool)),
        };
        body.end_if_done();
        Ok(Response {
            status: answer.status,
            headers: Headers::Raw(bytes),
            body: Body::Plain(body),
        })
    }
}

impl From<Broken> for Undone {
    fn from(broken: Broken) -> Self {
        Self {
            reason: broken.why.to_string(),
            sent: broken.sent,
        }
    }
}

async fn connect(uri: &Uri) -> Result<Connection, Undone> {
    let host = uri.host().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let failed = |reason| Undone {
        reason,
        sent: false,
    };
    let connecting = TcpStream::connect((host, uri.port_u16().unwrap_or(80)));
    let stream = timeout(CONNECT, connecting)
        .await
        .map_err(|_| failed(format!("no connection within {CONNECT:?}")))?
        .map_err(|error| failed(error.to_string()))?;
    // A request is one write, so nothing is gained by waiting for more of it.
    let _ = stream.set_nodelay(true);
    Ok(Connection::new(stream))
}

/// The body of an answer, and the connection that it comes on. Dropped before its end, it takes the connection with
/// it: the rest of the answer is in its way.
#[derive(Debug)]
pub(crate) struct Rest {
    cutter: Cutter,
    until_close: bool,
    /// Gone when the body has ended.
    connection: Option<Connection>,
    /// Where the connection may go then.
    pool: Option<Arc<Pool>>,
}

impl Rest {
    /// Bytes that are known to come.
    pub(crate) fn least(&self) -> u64 {
        self.cutter.least()
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            let connection = self.connection.as_mut()?;
            match self.cutter.next(&mut connection.buffer) {
                Ok(Piece::Data(data)) => {
                    self.end_if_done();
                    return Some(Ok(data));
                }
                Ok(Piece::End) => {
                    self.end();
                    return None;
                }
                Ok(Piece::Wanting) => match connection.fill().await {
                    Ok(0) if self.until_close => {
                        self.connection = None;
                        return None;
                    }
                    Ok(0) => {
                        return Some(Err(
                            self.broken("it closed the connection in the middle of its answer")
                        ));
                    }
                    Ok(_) => {}
                    Err(error) => return Some(Err(self.broken(&error.to_string()))),
                },
                Err(bad) => return Some(Err(self.broken(&bad.to_string()))),
            }
        }
    }

    fn broken(&mut self, why: &str) -> String {
        self.connection = None;
        why.to_owned()
    }

    /// Whoever knows the length of a body need not ask for its end.
    fn end_if_done(&mut self) {
        if matches!(self.cutter, Cutter::Length(0)) {
            self.end();
        }
    }

    fn end(&mut self) {
        if let (Some(connection), Some(pool)) = (self.connection.take(), &self.pool) {
            pool.give_back(connection);
        }
    }
}
