//! Calls an MCP endpoint over streamable HTTP from many sessions, and says how it went, as one line of JSON.
//!
//! `load URL TOOL [--sessions N] [--seconds S] [--warmup S] [--rate R] [--token T] [--bytes N] [--arguments JSON]`
//!
//! Each session has a connection of its own, kept alive. Without `--rate` each has one call in flight at any time
//! (closed loop). With it, R calls a second are due over all sessions, whether the earlier ones were answered or
//! not, and a call's latency counts from when it was due (open loop): what waits behind a stall is not left out.
//!
//! One thread, and no HTTP library: what is measured is the other side.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a program of its own that prints its findings and ends where it cannot go on"
)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Sessions that are opened at the same time.
const OPENING: usize = 64;

struct Options {
    address: SocketAddr,
    path: String,
    tool: String,
    sessions: usize,
    seconds: f64,
    warmup: f64,
    rate: Option<f64>,
    token: Option<String>,
    arguments: String,
}

impl Options {
    fn read() -> Self {
        let mut words = std::env::args().skip(1);
        let url = words.next().expect("load URL TOOL");
        let rest = url.strip_prefix("http://").expect("an http:// address");
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut options = Self {
            address: address.parse().expect("an address and a port"),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            tool: words.next().expect("a tool's name"),
            sessions: 1,
            seconds: 2.0,
            warmup: 0.5,
            rate: None,
            token: None,
            arguments: arguments(100),
        };
        while let Some(option) = words.next() {
            let value = words.next().expect("a value after each option");
            match option.as_str() {
                "--sessions" => options.sessions = value.parse().unwrap(),
                "--seconds" => options.seconds = value.parse().unwrap(),
                "--warmup" => options.warmup = value.parse().unwrap(),
                "--rate" => options.rate = Some(value.parse().unwrap()),
                "--token" => options.token = Some(value),
                "--bytes" => options.arguments = arguments(value.parse().unwrap()),
                "--arguments" => options.arguments = value,
                other => panic!("there is no option {other}"),
            }
        }
        options
    }

    fn post(&self, session: &str, body: &str) -> Vec<u8> {
        let session = if session.is_empty() {
            String::new()
        } else {
            format!("mcp-session-id: {session}\r\n")
        };
        let token = self
            .token
            .as_ref()
            .map(|token| format!("authorization: Bearer {token}\r\n"));
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n{session}{}content-length: {}\r\n\r\n{body}",
            self.path,
            self.address,
            token.unwrap_or_default(),
            body.len(),
        )
        .into_bytes()
    }

    fn call(&self, session: &str) -> Vec<u8> {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{}","arguments":{}}}}}"#,
            self.tool, self.arguments
        );
        self.post(session, &body)
    }
}

fn arguments(bytes: usize) -> String {
    format!(r#"{{"message":"{}"}}"#, "x".repeat(bytes))
}

/// One client: a session on a connection of its own.
struct Client {
    stream: TcpStream,
    call: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    async fn open(options: &Options) -> io::Result<Self> {
        let stream = TcpStream::connect(options.address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            call: Vec::new(),
            buffer: Vec::with_capacity(4096),
        };
        let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#;
        let head = client.ask(&options.post("", initialize)).await?;
        let session = header(&head, "mcp-session-id")
            .unwrap_or_default()
            .to_owned();
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        client.ask(&options.post(&session, initialized)).await?;
        client.call = options.call(&session);
        Ok(client)
    }

    /// Sends a request and reads its answer whole; the body is in the buffer then. Returns the head.
    async fn ask(&mut self, request: &[u8]) -> io::Result<String> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).into_owned();
        self.buffer.drain(..head);
        if let Some(length) = header(&text, "content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            while self.buffer.len() < length {
                self.read().await?;
            }
        } else if header(&text, "transfer-encoding").is_some() {
            while !self.buffer.ends_with(b"0\r\n\r\n") {
                self.read().await?;
            }
        }
        Ok(text)
    }

    async fn read(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// One call; false where its answer is no result.
    async fn make(&mut self) -> io::Result<bool> {
        let call = std::mem::take(&mut self.call);
        let head = self.ask(&call).await;
        self.call = call;
        let good = head?.starts_with("HTTP/1.1 200");
        Ok(good && find(&self.buffer, b"\"result\"").is_some())
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// What the calls of one session, or of all, came to; latencies in nanoseconds.
#[derive(Default)]
struct Tally {
    took: Vec<u64>,
    failed: u64,
}

/// When calls are made: from `start` on they count, until `end`.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

async fn closed(mut client: Client, window: Window) -> Tally {
    let mut tally = Tally::default();
    loop {
        let began = Instant::now();
        if began >= window.end {
            return tally;
        }
        let made = client.make().await;
        if began >= window.start {
            match made {
                Ok(true) => tally.took.push(began.elapsed().as_nanos() as u64),
                _ => tally.failed += 1,
            }
        }
        if made.is_err() {
            return tally;
        }
    }
}

/// Calls that are due at `first` and every `every` from then on.
async fn open(mut client: Client, window: Window, first: Instant, every: Duration) -> Tally {
    let mut tally = Tally::default();
    let mut due = first;
    while due < window.end {
        tokio::time::sleep_until(due.into()).await;
        let made = client.make().await;
        if due >= window.start {
            match made {
                Ok(true) => tally.took.push(due.elapsed().as_nanos() as u64),
                _ => tally.failed += 1,
            }
        }
        if made.is_err() {
            return tally;
        }
        due += every;
    }
    tally
}

async fn run(options: Arc<Options>) {
    let places = Arc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    for _ in 0..options.sessions {
        let (places, options) = (Arc::clone(&places), Arc::clone(&options));
        opening.spawn(async move {
            let _place = places.acquire_owned().await;
            Client::open(&options).await
        });
    }
    let mut clients = Vec::new();
    let mut refused = 0_u64;
    while let Some(opened) = opening.join_next().await {
        match opened.unwrap() {
            Ok(client) => clients.push(client),
            Err(_) => refused += 1,
        }
    }
    let start = Instant::now() + Duration::from_secs_f64(options.warmup);
    let window = Window {
        start,
        end: start + Duration::from_secs_f64(options.seconds),
    };
    // Who measures processor time from outside does so between these two lines.
    println!("{{\"open\":{},\"refused\":{refused}}}", clients.len());
    let mut calling = JoinSet::new();
    let begun = Instant::now();
    let many = clients.len();
    for (index, client) in clients.into_iter().enumerate() {
        match options.rate {
            None => calling.spawn(closed(client, window)),
            Some(rate) => {
                let every = Duration::from_secs_f64(many as f64 / rate);
                let first = begun + every.mul_f64(index as f64 / many as f64);
                calling.spawn(open(client, window, first, every))
            }
        };
    }
    let mut all = Tally::default();
    while let Some(tally) = calling.join_next().await {
        let tally = tally.unwrap();
        all.took.extend(tally.took);
        all.failed += tally.failed;
    }
    let seconds = window.start.elapsed().as_secs_f64();
    say(&mut all, seconds);
}

fn say(all: &mut Tally, seconds: f64) {
    all.took.sort_unstable();
    let at = |share: f64| {
        let index = (all.took.len() as f64 * share) as usize;
        let nanos = all.took.get(index.min(all.took.len().saturating_sub(1)));
        nanos.map_or(0.0, |nanos| *nanos as f64 / 1e3)
    };
    println!(
        "{{\"calls\":{},\"failed\":{},\"seconds\":{seconds:.4},\"rate\":{:.1},\"p50_us\":{:.1},\"p90_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1}}}",
        all.took.len(),
        all.failed,
        all.took.len() as f64 / seconds,
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0),
    );
}

fn main() {
    let options = Arc::new(Options::read());
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(run(options));
}
