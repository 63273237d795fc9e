//! One live connection to one instance of a server.
//!
//! [`Upstream::connect`] shakes hands (or takes over a former daemon's handshake), and from then on
//! many tasks call through one `Arc<Upstream>`: answers find their caller by id, progress finds its sink, and what
//! the server wants of us goes to [`Inbound`].
//!
//! Ids are ours: eight bits of the daemon's generation under a counter, so they stay small (servers exist that read
//! 32 bits) and an answer to a call of a daemon that has died since is recognised and dropped.

mod call;
mod closing;
mod config;
mod core;
mod doubt;
mod exchange;
mod handshake;
mod inbound;
mod info;
mod link;
mod over_http;
mod over_sse;
mod over_stdio;
mod pending;
mod serving;
mod subscription;
mod translate;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;

use self::core::{Core, Shared};
pub use call::{Call, CallError, CallSink, CallTag, ModernCall, Outgoing, Reply};
pub use closing::{CloseReason, HandshakeError, Printed};
pub use config::{Endpoint, Pipes, Target, UpstreamConfig};
use exchange::Patience;
use handshake::Greeting;
pub use inbound::Inbound;
pub use info::ServerInfo;
pub use over_http::RejectedTool;

use crate::envelope::Envelope;
use crate::jsonrpc;
use crate::modern::meta::ModernMeta;
use crate::raw::RawJson;

/// One live connection to one instance of a server.
pub struct Upstream {
    core: Arc<Core>,
    patience: Patience,
    tasks: Vec<JoinHandle<()>>,
}

/// What a connection counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers to calls of a former daemon.
    pub former_generation: u64,
    /// Answers to calls that had ended (timed out, cancelled, answered twice), and progress of them.
    pub late: u64,
    /// Answers to calls that nobody made.
    pub unknown: u64,
    /// Lines or events that are no MCP message.
    pub garbage: u64,
    /// Messages over the limit, thrown away.
    pub oversize: u64,
    /// Notifications and answers of ours that could not be sent.
    pub dropped: u64,
    /// Calls in flight now.
    pub in_flight: usize,
}

/// How long a closing connection has to send what was accepted.
const FAREWELL: Duration = Duration::from_secs(1);

impl Upstream {
    /// Connects and shakes hands.
    ///
    /// A server that takes no messages at a streamable HTTP address is tried as one of 2024-11-05, which has its event
    /// stream there (2025-11-25, "Backwards Compatibility").
    pub async fn connect(
        config: UpstreamConfig,
        inbound: Arc<dyn Inbound>,
    ) -> Result<Arc<Self>, HandshakeError> {
        let greeting = Greeting::new(&config);
        let patience = Patience {
            silence: config.call_timeout,
            total: config.max_call_time,
        };
        let shared = Shared {
            instance: config.instance,
            limits: config.limits,
            generation: config.generation,
            own: ModernMeta::new(config.client_info, config.client_capabilities, None),
        };
        let former = config.resume.and_then(|note| ServerInfo::from_note(&note));
        let start = config.start_timeout;
        let (core, tasks) = match config.target {
            Target::Stdio(pipes) => {
                over_stdio::open(shared, pipes, start, inbound, former.is_some()).await?
            }
            Target::Sse(endpoint) => over_sse::open(shared, &endpoint, start, inbound).await?,
            Target::Http(endpoint) => {
                let (core, tasks) = over_http::open(
                    shared.clone(),
                    &endpoint,
                    greeting.clone(),
                    Arc::clone(&inbound),
                )?;
                let upstream = Self {
                    core,
                    patience,
                    tasks,
                };
                return match upstream.begin(former, &greeting).await {
                    Err(
                        error @ HandshakeError::Http {
                            status: 400 | 404 | 405,
                            ..
                        },
                    ) => {
                        let Ok((core, tasks)) =
                            over_sse::open(shared, &endpoint, start, inbound).await
                        else {
                            return Err(error);
                        };
                        Self {
                            core,
                            patience,
                            tasks,
                        }
                        .begin(None, &greeting)
                        .await
                    }
                    outcome => outcome,
                };
            }
        };
        Self {
            core,
            patience,
            tasks,
        }
        .begin(former, &greeting)
        .await
    }

    /// Shakes hands, or takes a former handshake over. A failure drops the connection and so ends its tasks.
    async fn begin(
        self,
        former: Option<ServerInfo>,
        greeting: &Greeting,
    ) -> Result<Arc<Self>, HandshakeError> {
        match former {
            Some(info) => self.core.set_info(Arc::new(info)),
            None => handshake::shake(&self.core, greeting).await?,
        }
        self.core.start_listening().await;
        self.core.announced.store(true, Ordering::SeqCst);
        if self.core.pending.closed().is_some() {
            let printed = self.core.printed();
            return Err(HandshakeError::Exited {
                instance: self.core.instance.clone(),
                asked: "initialize",
                printed,
            });
        }
        Ok(Arc::new(self))
    }

    /// What the server said of itself. It changes only when an HTTP server forgets the session ([`Inbound::renewed`]).
    pub fn info(&self) -> Arc<ServerInfo> {
        Arc::clone(&self.core.info.read())
    }

    /// Sends a request and waits for its answer. Dropping the future calls it off, and the server is told.
    pub async fn call(&self, call: Call<'_>) -> Result<Reply, CallError> {
        let silence = call.timeout.unwrap_or(self.patience.silence);
        let patience = Patience {
            silence,
            total: self.patience.total.max(silence),
        };
        if self.core.is_modern() {
            // Boxed: every call's future would have to have room for it.
            return Box::pin(self.call_modern(call, patience)).await;
        }
        let entered = self
            .core
            .enter(&call.message, call.tag, call.sink, patience)?;
        let outcome = self.core.carry(entered, &call.message, None).await;
        if let Ok(reply) = &outcome
            && reply.is_error()
        {
            self.look_at_refusal(reply);
        }
        outcome
    }

    /// Sends a notification, in order with what was sent before. It is dropped if the connection has ended, or if the
    /// server's era has none such.
    pub fn notify(&self, method: &str, params: Option<&RawJson>) {
        if self.core.is_modern() && is_of_sessions(method) {
            return;
        }
        self.core.send(&jsonrpc::notification(method, params));
    }

    /// Sends a client's notification as it is; the same goes for it.
    pub fn forward(&self, notification: &Envelope) {
        if self.core.is_modern() && is_of_sessions(&notification.method()) {
            return;
        }
        self.core.send(notification.bytes());
    }

    /// Learns from the whole list of tools what their calls need, and takes out those that cannot be called.
    pub(crate) fn learn(&self, tools: &mut Vec<RawJson>) {
        if let link::Link::Http(http) = &self.core.link
            && self.core.is_modern()
        {
            let rejected = http.mirrors.learn(tools);
            if !rejected.is_empty() {
                self.core.inbound.rejected(&rejected);
            }
        }
    }

    /// Whether the server is modern: it is told with each request whose it is ([`Call::modern`]).
    pub fn is_modern(&self) -> bool {
        self.core.is_modern()
    }

    /// Calls off a call: the server is told, and [`Upstream::call`] returns [`CallError::Cancelled`] at once.
    pub fn cancel(&self, tag: CallTag, reason: Option<&str>) {
        if let Some(id) = self.core.pending.cancel(tag) {
            self.core.send_cancelled(id, reason);
        }
    }

    /// Ends the connection: calls in flight end with an error. Over stdio this closes our copy of stdin and leaves the
    /// process alone; over HTTP the session is deleted.
    pub async fn close(&self) {
        // A process that lives on need not go on telling what nobody hears.
        for stream in self.core.subscription.streams() {
            self.core.send_cancelled(stream, None);
        }
        self.core.close(&CloseReason::Closed);
        self.core.link.farewell(&self.core, FAREWELL).await;
        for task in &self.tasks {
            task.abort();
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let tallies = &self.core.tallies;
        Counts {
            former_generation: tallies.former_generation.load(Ordering::Relaxed),
            late: tallies.late.load(Ordering::Relaxed),
            unknown: tallies.unknown.load(Ordering::Relaxed),
            garbage: tallies.garbage.load(Ordering::Relaxed),
            oversize: tallies.oversize.load(Ordering::Relaxed),
            dropped: tallies.dropped.load(Ordering::Relaxed),
            in_flight: self.core.pending.in_flight(),
        }
    }

    /// What the server printed on stdout that is no message: how many lines, and the first few.
    pub fn printed(&self) -> Printed {
        self.core.printed()
    }
}

/// Whether a notification says something of a session, which a modern server has none of.
fn is_of_sessions(method: &str) -> bool {
    matches!(
        method,
        "notifications/initialized"
            | "notifications/roots/list_changed"
            | "notifications/progress"
            | "notifications/cancelled"
    )
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.core.close(&CloseReason::Closed);
        for task in &self.tasks {
            task.abort();
        }
    }
}
