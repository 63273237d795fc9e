//! The keeper: parent of all instances, holder of their pipes, logs and sockets.
//!
//! ```text
//! backstay-keeper --state-dir DIR [--listen NAME=ADDRESS]... [--unix NAME=PATH]... [-- DAEMON ARGUMENT...]
//! ```
//!
//! It decides nothing: the daemon tells it what to run (`backstay_supervisor::client`
//! is the other half of the connection), and it keeps that running, daemon or no
//! daemon. It is small and does little, because everything dies with it.
//! `docs/keeper.md` tells who survives whom.

// What everything depends on does not end for a reason that it could have told: tests may, the code may not.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]

mod closing;
mod command_line;
mod connection;
mod daemon;
mod fleet;
mod held;
mod inherited;
mod instance;
mod keep;
mod leftovers;
mod listeners;
mod port_holder;
mod records;
mod ring;
mod signals;
mod start;
mod state_dir;
mod vanished;

use std::io::Write;
use std::process::ExitCode;

use command_line::CommandLine;
use start::Started;

fn main() -> ExitCode {
    let command_line = match CommandLine::parse(std::env::args_os().skip(1)) {
        Ok(command_line) => command_line,
        Err(error) => return refuse(&error),
    };
    let reserved = match inherited::close_and_reserve(command_line.listeners.len()) {
        Ok(reserved) => reserved,
        Err(source) => return refuse(&start::StartError::System { source }),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Only the records are written on another thread; it need not stay.
        .max_blocking_threads(1)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => return refuse(&start::StartError::System { source }),
    };
    runtime.block_on(async {
        match start::start(command_line, reserved).await {
            Ok(started) => run(started).await,
            Err(error) => refuse(&error),
        }
    })
}

async fn run(started: Started) -> ExitCode {
    say(&started.ready_line());
    match started.detach() {
        Ok(keeping) => keeping.run().await,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The one line that whoever started the keeper waits for.
fn say(line: &serde_json::Value) {
    let mut stdout = std::io::stdout();
    // Nobody need be listening: the keeper goes on without.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn refuse(error: &start::StartError) -> ExitCode {
    say(&error.line());
    ExitCode::from(2)
}
