//! The load generator as a program: says how it went as lines of JSON.
//!
//! The first line is printed when all sessions are open; who measures processor time from outside does so between
//! it and the second.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of its own that prints its findings and ends where it cannot go on"
)]

use std::io::Read as _;
use std::sync::Arc;

use backstay_benches::load::{Options, call, open};

async fn run(options: Arc<Options>) {
    let sessions = open(&options).await.unwrap();
    let (open, refused) = (sessions.open(), sessions.refused);
    println!("{{\"open\":{open},\"refused\":{refused}}}");
    if options.hold {
        let until_end = || std::io::stdin().read_to_end(&mut Vec::new());
        tokio::task::spawn_blocking(until_end)
            .await
            .unwrap()
            .unwrap();
    }
    let (mut tally, seconds) = call(&options, sessions).await;
    println!("{}", tally.json(seconds));
}

fn main() {
    let options = Arc::new(Options::read(std::env::args().skip(1)));
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(run(options));
}
