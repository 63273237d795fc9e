//! Health: asking an instance whether it is ready, and whether it still is.
//!
//! [`pace`] decides when to ask and what the answers amount to; the other files
//! each ask in one way. An MCP server's handshake is a probe too, but the
//! gateway's (`rust/mcp`).

pub mod command;
pub mod http;
pub mod log;
pub mod notify;
pub mod pace;
pub mod tcp;

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::census::House;
use crate::spawn::Inheritance;
use crate::spec::{InstanceSpec, ProbeKind, ProbeSpec};
use notify::NotifySocket;
use pace::Pace;

/// A change of an instance's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers well.
    Ready,
    /// It does not, for the reason the last probe gave.
    Unhealthy(String),
}

/// What a probe needs besides its spec; made before the instance starts, so that
/// nothing it says is missed.
#[derive(Debug)]
pub enum Means {
    /// Nothing.
    None,
    /// Fires when the log has a matching line.
    Line(tokio::sync::oneshot::Receiver<()>),
    /// Hears what it sends.
    Notify(NotifySocket),
}

impl Means {
    /// Prepares a probe, and says what to put in the instance's environment.
    pub fn prepare(
        probe: Option<&ProbeSpec>,
        log: &crate::log::pump::Log,
    ) -> std::io::Result<(Self, Option<String>)> {
        match probe.map(|probe| &probe.kind) {
            Some(ProbeKind::Log { pattern }) => {
                // Checked when the spec was accepted; a pattern that matches nothing stands in for none.
                let pattern: Option<Regex> = log::compile_pattern(pattern).ok();
                Ok((
                    pattern.map_or(Self::None, |pattern| Self::Line(log.watch_for(pattern))),
                    None,
                ))
            }
            Some(ProbeKind::Notify {}) => {
                let socket = NotifySocket::bind()?;
                let address = socket.address();
                Ok((Self::Notify(socket), Some(address)))
            }
            _ => Ok((Self::None, None)),
        }
    }
}

/// Probes an instance until dropped, and tells every change of its health.
pub async fn watch(
    house: House,
    spec: Arc<InstanceSpec>,
    inheritance: Inheritance,
    means: Means,
    changes: mpsc::Sender<Health>,
) {
    let Some(probe) = &spec.probe else {
        let _nobody_listens = changes.send(Health::Ready).await;
        return;
    };
    match means {
        Means::Line(line) => {
            let line = async { line.await.is_ok() };
            hear(
                probe,
                line,
                "it has not logged a line that matches",
                &changes,
            )
            .await;
        }
        Means::Notify(socket) => {
            let ready = async { socket.ready().await.is_ok() };
            hear(probe, ready, "it has not sent READY=1", &changes).await;
            let _until_dropped = socket.drain().await;
        }
        Means::None => ask(&house, &spec, probe, inheritance, &changes).await,
    }
}

/// Waits for the one sign that is never asked for again.
async fn hear(
    probe: &ProbeSpec,
    sign: impl Future<Output = bool>,
    reason: &str,
    changes: &mpsc::Sender<Health>,
) {
    tokio::pin!(sign);
    let patience = Pace::new(probe).patience();
    let heard = if let Ok(heard) = timeout(patience, &mut sign).await {
        heard
    } else {
        let reason = format!("{reason} for {:.1} s", patience.as_secs_f64());
        let _nobody_listens = changes.send(Health::Unhealthy(reason)).await;
        sign.await
    };
    if heard {
        let _nobody_listens = changes.send(Health::Ready).await;
    }
}

async fn ask(
    house: &House,
    spec: &InstanceSpec,
    probe: &ProbeSpec,
    inheritance: Inheritance,
    changes: &mpsc::Sender<Health>,
) {
    let started = Instant::now();
    let mut pace = Pace::new(probe);
    loop {
        sleep(pace.delay()).await;
        let limit = Duration::from_millis(probe.timeout_ms.max(1));
        let once = async {
            match &probe.kind {
                ProbeKind::Tcp { port } => tcp::connect(*port).await.map(drop),
                ProbeKind::Http { port, path } => http::get(*port, path).await,
                ProbeKind::Command { argv } => command::run(house, spec, argv, inheritance).await,
                ProbeKind::Log { .. } | ProbeKind::Notify {} => {
                    Err("it cannot be asked".to_owned())
                }
            }
        };
        let too_long = || Err(format!("no answer within {} ms", probe.timeout_ms));
        let answer = timeout(limit, once).await.unwrap_or_else(|_| too_long());
        if let Some(change) = pace.record(answer, started.elapsed())
            && changes.send(change).await.is_err()
        {
            return;
        }
    }
}
