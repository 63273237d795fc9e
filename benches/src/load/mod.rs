//! Calls an MCP endpoint over streamable HTTP from many sessions.
//!
//! Over HTTP/1.1 each session has a connection of its own, kept alive; over HTTP/2 sessions share some. Without
//! a rate each has one call in flight at any time (closed loop). With it, so many calls a second are due over all
//! sessions, whether the earlier ones were answered or not, and a call's latency counts from when it was due (open
//! loop): what waits behind a stall is not left out.
//!
//! One thread, and over HTTP/1.1 no HTTP library: what is measured is the other side.

mod client;
mod http1;
mod http2;
mod options;
mod tally;
mod tls;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use client::Client;
pub use options::{Options, USAGE};
pub use tally::Tally;
use tls::Secure;

/// Sessions that are opened at the same time.
const OPENING: usize = 64;

/// Sessions that are open, and how many could not be.
pub struct Sessions {
    clients: Vec<Client>,
    /// How many were refused.
    pub refused: u64,
}

impl Sessions {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.clients.len()
    }
}

/// Opens all sessions.
///
/// # Errors
/// Where the certificates cannot be read; what a session meets is counted.
pub async fn open(options: &Arc<Options>) -> io::Result<Sessions> {
    let secure = match (&options.ca, options.secure) {
        (Some(ca), true) => Some(Secure::new(ca, options.http2)?),
        _ => None,
    };
    let places = Arc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    let mut left = options.sessions;
    while left > 0 {
        let many = if options.http2 {
            left.min(options::SESSIONS_A_CONNECTION)
        } else {
            1
        };
        left -= many;
        let (places, options) = (Arc::clone(&places), Arc::clone(options));
        let secure = secure.clone();
        opening.spawn(async move {
            let _place = places.acquire_owned().await;
            (many, connection(&options, secure.as_ref(), many).await)
        });
    }
    let mut sessions = Sessions {
        clients: Vec::new(),
        refused: 0,
    };
    while let Some(opened) = opening.join_next().await {
        match opened {
            Ok((_, Ok(clients))) => sessions.clients.extend(clients),
            Ok((many, Err(_))) => sessions.refused += many as u64,
            Err(panicked) => return Err(io::Error::other(panicked)),
        }
    }
    Ok(sessions)
}

/// Opens the sessions of one connection.
async fn connection(
    options: &Options,
    secure: Option<&Secure>,
    many: usize,
) -> io::Result<Vec<Client>> {
    let stream = client::connect(options, secure).await?;
    if !options.http2 {
        return Ok(vec![Client::http1(options, stream).await?]);
    }
    let connection = http2::Connection::open(stream).await?;
    let mut clients = Vec::with_capacity(many);
    for _ in 0..many {
        clients.push(Client::http2(options, connection.clone()).await?);
    }
    Ok(clients)
}

/// When calls are made: from `start` on they count, until `end`.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

/// Calls from all sessions; what that came to, and the seconds it took.
pub async fn call(options: &Options, sessions: Sessions) -> (Tally, f64) {
    let start = Instant::now() + Duration::from_secs_f64(options.warmup);
    let window = Window {
        start,
        end: start + Duration::from_secs_f64(options.seconds),
    };
    let mut calling = JoinSet::new();
    let begun = Instant::now();
    let many = u32::try_from(sessions.clients.len()).unwrap_or(u32::MAX);
    for (index, client) in (0_u32..).zip(sessions.clients) {
        match options.rate {
            None => calling.spawn(closed_loop(client, window)),
            Some(rate) => {
                let every = Duration::from_secs_f64(f64::from(many) / rate);
                let first = begun + every.mul_f64(f64::from(index) / f64::from(many));
                calling.spawn(open_loop(client, window, first, every))
            }
        };
    }
    let mut all = Tally::default();
    while let Some(Ok(tally)) = calling.join_next().await {
        all.merge(tally);
    }
    (all, window.start.elapsed().as_secs_f64())
}

async fn closed_loop(mut client: Client, window: Window) -> Tally {
    let mut tally = Tally::default();
    loop {
        let began = Instant::now();
        if began >= window.end {
            client.end().await;
            return tally;
        }
        let made = client.make().await;
        if began >= window.start {
            tally.add(began.elapsed(), matches!(made, Ok(true)));
        }
        if made.is_err() {
            return tally;
        }
    }
}

/// Calls that are due at `first` and every `every` from then on.
async fn open_loop(mut client: Client, window: Window, first: Instant, every: Duration) -> Tally {
    let mut tally = Tally::default();
    let mut due = first;
    while due < window.end {
        tokio::time::sleep_until(due.into()).await;
        let made = client.make().await;
        if due >= window.start {
            tally.add(due.elapsed(), matches!(made, Ok(true)));
        }
        if made.is_err() {
            return tally;
        }
        due += every;
    }
    client.end().await;
    tally
}
