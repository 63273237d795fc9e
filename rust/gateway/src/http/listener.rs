//! Listeners and connections: accepted within bounds, served by hyper, let go when they are idle, slow
//! or the gateway drains.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::compress::{Coding, compress};
use super::quick::{Ended, Entrance, Prefixed};
use super::{Door, Secured, Visit, serve};
use crate::core::Core;

/// How long a connection may take to say what it wants, at first and between two requests.
pub(super) const HEADER_TIME: Duration = Duration::from_secs(60);
/// Most bytes of a request's line and headers.
const MOST_HEADER_BYTES: usize = 32 << 10;
const MOST_HEADERS: usize = 100;
/// HTTP/2 streams of one connection.
const MOST_STREAMS: u32 = 1024;
/// After an error of `accept` that is not one connection's own (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a connection comes from, if that tells its client from others: everybody on this machine has the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

impl Peer {
    pub(super) fn of(address: IpAddr) -> Option<Self> {
        (!address.to_canonical().is_loopback()).then_some(Self(address))
    }
}

/// Tells connections to finish what they do and go.
pub(crate) type Draining = watch::Receiver<bool>;

/// Serves a TCP listener until the gateway drains.
pub(crate) async fn serve_tcp(
    core: Arc<Core>,
    door: Door,
    secured: Option<Secured>,
    listener: TcpListener,
    places: Arc<Semaphore>,
    mut draining: Draining,
) {
    let (door, secured) = (Arc::new(door), secured.map(Arc::new));
    while let Some(place) = place(&places, &mut draining).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                // A peer that vanished without a word is noticed by the kernel, not by a timer of ours.
                let keepalive = TcpKeepalive::new()
                    .with_time(Duration::from_secs(60))
                    .with_interval(Duration::from_secs(20));
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                let (core, door, draining) =
                    (Arc::clone(&core), Arc::clone(&door), draining.clone());
                let visit = Visit {
                    peer: Some(peer.ip()),
                    secure: secured.is_some(),
                };
                match &secured {
                    None => {
                        tokio::spawn(connection(core, door, visit, stream, place, draining));
                    }
                    Some(secured) => {
                        let secured = Arc::clone(secured);
                        tokio::spawn(async move {
                            if let Some(stream) = secured.accept(stream).await {
                                connection(core, door, visit, stream, place, draining).await;
                            }
                        });
                    }
                }
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Serves the trusted unix listener until the gateway drains.
pub(crate) async fn serve_unix(
    core: Arc<Core>,
    listener: UnixListener,
    places: Arc<Semaphore>,
    mut draining: Draining,
) {
    let door = Arc::new(Door::Trusted);
    while let Some(place) = place(&places, &mut draining).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(
                    Arc::clone(&core),
                    Arc::clone(&door),
                    Visit::default(),
                    stream,
                    place,
                    draining.clone(),
                ));
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// A place for one more connection. While there is none, connections wait in the listener's backlog.
async fn place(places: &Arc<Semaphore>, draining: &mut Draining) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        place = Arc::clone(places).acquire_owned() => place.ok(),
        _ = draining.wait_for(|draining| *draining) => None,
    }
}

async fn pause(error: &io::Error) {
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    ) {
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection<S>(
    core: Arc<Core>,
    door: Arc<Door>,
    visit: Visit,
    stream: S,
    place: OwnedSemaphorePermit,
    mut draining: Draining,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _place = place;
    let _counted = Counted::new(&core);
    let quick = match &*door {
        Door::Trusted => Some(None),
        Door::Guarded(guard) => Some(Some(guard)),
        Door::Published(..) => None,
    };
    let stream = match quick {
        None => Prefixed::new(Bytes::new(), stream),
        Some(guard) => {
            let entrance = Entrance {
                core: &core,
                guard,
                visit,
            };
            match entrance.serve(stream, &mut draining).await {
                Ended::Closed => return,
                Ended::Elsewhere(stream) => stream,
            }
        }
    };
    // Boxed, so that a connection that needs none of it has no room for it.
    Box::pin(by_hyper(core, door, visit, stream, draining)).await;
}

/// The way of everything that is not for [`super::quick`].
async fn by_hyper<S>(
    core: Arc<Core>,
    door: Arc<Door>,
    visit: Visit,
    stream: Prefixed<S>,
    mut draining: Draining,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let heard = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let heard = Arc::clone(&heard);
        move |mut request: Request<Incoming>| {
            if let Some(peer) = visit.peer.and_then(Peer::of) {
                request.extensions_mut().insert(peer);
            }
            heard.store(true, Ordering::Relaxed);
            let coding = Coding::of(visit, request.headers());
            let served = serve(Arc::clone(&core), Arc::clone(&door), visit, request);
            async move {
                let answer = served.await;
                Ok::<_, Infallible>(match coding {
                    Some(coding) => compress(coding, answer),
                    None => answer,
                })
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_HEADER_BYTES)
        .pipeline_flush(true)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(MOST_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(Some(64))
        .keep_alive_interval(Some(Duration::from_secs(60)));
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    // hyper's own clock starts when it knows which HTTP it is, so whoever never says is ours to end.
    let mut silence = pin!(tokio::time::sleep(HEADER_TIME));
    let mut told = false;
    loop {
        tokio::select! {
            _ = served.as_mut() => return,
            () = silence.as_mut(), if !heard.load(Ordering::Relaxed) && !silence.is_elapsed() => {
                if !heard.load(Ordering::Relaxed) {
                    return;
                }
            }
            _ = draining.wait_for(|draining| *draining), if !told => {
                told = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Counts one connection as long as it lives.
struct Counted(Arc<Core>);

impl Counted {
    fn new(core: &Arc<Core>) -> Self {
        core.metrics.connections.inc();
        Self(Arc::clone(core))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}
