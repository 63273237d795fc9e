//! What the load generator is asked for.

use std::net::SocketAddr;
use std::path::PathBuf;

/// How the program is called.
pub const USAGE: &str =
    "load URL TOOL [--sessions N] [--seconds S] [--warmup S] [--rate R] [--token T] [--bytes N]
     [--arguments JSON] [--method METHOD] [--modern] [--http2] [--ca FILE] [--vary] [--hold] [--end]";

/// The versions that are spoken.
pub(super) const LEGACY: &str = "2025-11-25";
pub(super) const MODERN: &str = "2026-07-28";

/// Sessions that share a connection over HTTP/2.
pub(super) const SESSIONS_A_CONNECTION: usize = 64;

/// Whom to call, with what, how often.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a command line's switches")]
pub struct Options {
    /// Where it listens.
    pub address: SocketAddr,
    /// The endpoint's path.
    pub path: String,
    /// Whether the connection is secured; the URL says so.
    pub secure: bool,
    /// The tool called.
    pub tool: String,
    /// What is asked instead of `tools/call`, without parameters.
    pub method: Option<String>,
    /// Sessions at the same time.
    pub sessions: usize,
    /// How long calls count.
    pub seconds: f64,
    /// How long calls are made before they count.
    pub warmup: f64,
    /// Calls a second over all sessions, due whether earlier ones were answered or not.
    pub rate: Option<f64>,
    /// A bearer token.
    pub token: Option<String>,
    /// The arguments of each call, a JSON object.
    pub arguments: String,
    /// Whether 2026-07-28 is spoken, over HTTP/1.1: there a session is only a connection.
    pub modern: bool,
    /// Whether several sessions share a connection, over HTTP/2.
    pub http2: bool,
    /// Certificates that are trusted besides none.
    pub ca: Option<PathBuf>,
    /// Whether no two calls have the same arguments.
    pub vary: bool,
    /// Whether to wait for the end of standard input before sessions are let go.
    pub hold: bool,
    /// Whether sessions are ended when the calls are over.
    pub end: bool,
}

impl Options {
    /// What is asked.
    pub(super) fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("tools/call")
    }

    /// Reads a command line, without the program's name.
    ///
    /// # Panics
    /// On words that it does not know: this is a program for benches.
    #[expect(
        clippy::unwrap_used,
        reason = "a program of its own that ends where it cannot go on"
    )]
    pub fn read(mut words: impl Iterator<Item = String>) -> Self {
        let url = words.next().expect(USAGE);
        let (scheme, rest) = url.split_once("://").expect(USAGE);
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut options = Self {
            address: address.parse().expect("an address and a port"),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            secure: scheme == "https",
            tool: words.next().expect(USAGE),
            method: None,
            sessions: 1,
            seconds: 2.0,
            warmup: 0.5,
            rate: None,
            token: None,
            arguments: arguments(100),
            modern: false,
            http2: false,
            ca: None,
            vary: false,
            hold: false,
            end: false,
        };
        while let Some(option) = words.next() {
            let mut value = || words.next().expect("a value after this option");
            match option.as_str() {
                "--sessions" => options.sessions = value().parse().unwrap(),
                "--seconds" => options.seconds = value().parse().unwrap(),
                "--warmup" => options.warmup = value().parse().unwrap(),
                "--rate" => options.rate = Some(value().parse().unwrap()),
                "--token" => options.token = Some(value()),
                "--bytes" => options.arguments = arguments(value().parse().unwrap()),
                "--arguments" => options.arguments = value(),
                "--method" => options.method = Some(value()),
                "--ca" => options.ca = Some(value().into()),
                "--modern" => options.modern = true,
                "--http2" => options.http2 = true,
                "--vary" => options.vary = true,
                "--end" => options.end = true,
                "--hold" => options.hold = true,
                other => panic!("there is no option {other}\n{USAGE}"),
            }
        }
        options
    }
}

fn arguments(bytes: usize) -> String {
    format!(r#"{{"message":"{}"}}"#, "x".repeat(bytes))
}
