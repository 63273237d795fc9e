//! A client's session: what was agreed on with it, what it has in flight, and the streams it reads.

mod asked;
mod in_flight;
mod journal;
mod store;
mod stream;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use backstay_mcp::{Era, RawJson, Version};
use parking_lot::Mutex;

use asked::Asked;
pub(crate) use asked::Report;
pub(crate) use in_flight::Busy;
use in_flight::InFlight;
pub(crate) use journal::{Record, Saved};
pub(crate) use store::{Lasting, Sessions, TooMany, fresh_id};
pub(crate) use stream::{EventId, EventStream, Held, Keep, Reader};

use crate::call::Call;
use crate::capabilities::ClientCapabilities;
use crate::log_level::LogLevel;
use crate::traffic::key_of;

/// Streams of finished calls kept for a client that comes back for them.
const FINISHED_STREAMS: usize = 16;
/// Bytes of them; the last one is always kept.
const FINISHED_BYTES: usize = 64 << 10;
/// The stream that is not an answer: the client's GET.
const GENERAL: u32 = 0;

/// One hasher for all, so that an address has one hash.
static FIXED: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);

/// What a session was opened on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// `/mcp`.
    Fleet,
    /// `/mcp/<service>`.
    Service(Arc<str>),
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => out.write_str("/mcp"),
            Self::Service(service) => write!(out, "/mcp/{service}"),
        }
    }
}

/// See the module.
pub(crate) struct Session {
    /// The secret that names it: visible ASCII.
    pub(crate) id: Box<str>,
    /// What it goes by inside this daemon.
    pub(crate) number: u64,
    pub(crate) scope: Scope,
    /// A modern client has no session: this stands for one request of it, and nobody finds it by its id.
    pub(crate) era: Era,
    pub(crate) version: Version,
    /// What keeps it at an instance: a hash of its id.
    pub(crate) key: u64,
    /// What its client is told apart by: itself, or the address that it speaks from.
    speaker: AtomicU64,
    pub(crate) capabilities: ClientCapabilities,
    /// `clientInfo`, as it was sent.
    pub(crate) client: RawJson,
    generation: u32,
    /// It ends with its stream, so no later daemon is to know it.
    fleeting: bool,
    /// Milliseconds of the store's clock at its last use.
    used: AtomicU64,
    /// It has ended, and is in no store any more.
    over: AtomicBool,
    /// The log level it asked for; see [`LogLevel::code`].
    level: AtomicU8,
    pub(crate) asked: Asked,
    /// Held for one map operation.
    calls: Mutex<InFlight>,
    /// Held for a few map operations, never across a wait.
    streams: Mutex<Streams>,
    /// URIs as the client spelled them. Held for one set operation.
    subscriptions: Mutex<BTreeSet<String>>,
    /// Instances that are its own. Held for one set operation.
    instances: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
struct Streams {
    next: u32,
    general: Option<Arc<EventStream>>,
    live: HashMap<u32, Arc<EventStream>>,
    finished: VecDeque<Arc<EventStream>>,
}

impl fmt::Debug for Session {
    /// Without its id, which is a secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "session {} on {} ({})",
            self.label(),
            self.scope,
            self.version
        )
    }
}

impl Session {
    fn new(
        saved: &Saved,
        number: u64,
        generation: u32,
        fleeting: bool,
        now: u64,
    ) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            id: saved.id.as_str().into(),
            key: key_of(&saved.id),
            speaker: AtomicU64::new(key_of(&saved.id)),
            number,
            scope: saved
                .service
                .as_deref()
                .map_or(Scope::Fleet, |service| Scope::Service(service.into())),
            era: Era::Legacy,
            version: saved.version.parse().ok()?,
            capabilities: ClientCapabilities::read(&saved.capabilities),
            client: RawJson::parse(saved.client.get().to_owned()).ok()?,
            generation,
            fleeting,
            used: AtomicU64::new(now),
            over: AtomicBool::new(false),
            level: AtomicU8::new(saved.level),
            asked: Asked::new(generation),
            calls: Mutex::default(),
            streams: Mutex::default(),
            subscriptions: Mutex::new(saved.subscriptions.clone()),
            instances: Mutex::new(saved.instances.clone()),
        }))
    }

    /// What stands for one request of a modern client; it is in no store.
    pub(crate) fn passing(
        number: u64,
        generation: u32,
        scope: Scope,
        capabilities: RawJson,
        client: RawJson,
        level: Option<LogLevel>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: Box::default(),
            key: number,
            speaker: AtomicU64::new(0),
            number,
            scope,
            era: Era::Modern,
            version: Version::LATEST,
            capabilities: ClientCapabilities::of(capabilities),
            client,
            generation,
            fleeting: true,
            used: AtomicU64::new(0),
            over: AtomicBool::new(false),
            level: AtomicU8::new(level.map_or(0, LogLevel::code)),
            asked: Asked::new(generation),
            calls: Mutex::default(),
            streams: Mutex::default(),
            subscriptions: Mutex::default(),
            instances: Mutex::default(),
        })
    }

    /// Whether it stands for a request of a modern client.
    pub(crate) fn is_modern(&self) -> bool {
        self.era == Era::Modern
    }

    fn saved(&self) -> Option<Saved> {
        if self.fleeting {
            return None;
        }
        Some(Saved {
            id: self.id.to_string(),
            service: match &self.scope {
                Scope::Fleet => None,
                Scope::Service(service) => Some(service.to_string()),
            },
            version: self.version.as_str().to_owned(),
            capabilities: self.capabilities.raw().read().ok()?,
            client: self.client.read().ok()?,
            level: self.level.load(Ordering::Relaxed),
            subscriptions: self.subscriptions.lock().clone(),
            instances: self.instances.lock().clone(),
        })
    }

    /// A name for events and logs that lets nobody in.
    pub(crate) fn label(&self) -> String {
        use std::fmt::Write as _;

        use sha2::{Digest as _, Sha256};

        let hash = Sha256::digest(self.id.as_bytes());
        let mut label = String::with_capacity(8);
        for byte in hash.iter().take(4) {
            let _ = write!(label, "{byte:02x}");
        }
        label
    }

    /// Notes where its client speaks from. Sessions cost nothing, so a limit for each client counts addresses where
    /// they tell clients apart.
    pub(crate) fn speaks_from(&self, address: IpAddr) {
        self.speaker
            .store(FIXED.hash_one(address), Ordering::Relaxed);
    }

    /// Whose calls these are, as far as limits tell clients apart. Who somebody is will be authentication's to say.
    pub(crate) fn speaker(&self) -> u64 {
        self.speaker.load(Ordering::Relaxed)
    }

    /// The log level it asked for, if it asked.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        LogLevel::from_code(self.level.load(Ordering::Relaxed))
    }

    /// Returns the level it asked for before.
    fn set_level(&self, level: LogLevel) -> Option<LogLevel> {
        LogLevel::from_code(self.level.swap(level.code(), Ordering::Relaxed))
    }

    /// Remembers a request in flight.
    pub(crate) fn begin(&self, call: &Arc<Call>, most: usize) -> Result<(), Busy> {
        self.calls.lock().begin(call, most)
    }

    pub(crate) fn end(&self, id: &RawJson) {
        self.calls.lock().end(id);
    }

    /// The client calls off the request of this id, which may be on its way still.
    pub(crate) fn call_off(&self, id: &RawJson, reason: Option<&str>) {
        let call = self.calls.lock().called_off(id);
        if let Some(call) = call {
            call.call_off(reason);
        }
    }

    /// Everything in flight.
    pub(crate) fn calls(&self) -> Vec<Arc<Call>> {
        self.calls.lock().all().cloned().collect()
    }

    /// A new stream for the answer to one POST, which made this request.
    pub(crate) fn open_stream(&self, request: &RawJson) -> Arc<EventStream> {
        let mut streams = self.streams.lock();
        streams.next += 1;
        let stream = EventStream::new(self.generation, streams.next, Some(request.clone()));
        streams.live.insert(stream.number, Arc::clone(&stream));
        stream
    }

    /// Ends a stream; a client may still come back for what it missed.
    pub(crate) fn close_stream(&self, stream: &EventStream) {
        stream.finish();
        let mut streams = self.streams.lock();
        if let Some(stream) = streams.live.remove(&stream.number) {
            streams.finished.push_back(stream);
            let mut bytes: usize = streams.finished.iter().map(|stream| stream.bytes()).sum();
            while streams.finished.len() > 1
                && (streams.finished.len() > FINISHED_STREAMS || bytes > FINISHED_BYTES)
            {
                bytes -= streams
                    .finished
                    .pop_front()
                    .map_or(0, |stream| stream.bytes());
            }
        }
    }

    /// The stream that an event id belongs to, as far as it is known. The messages of a former daemon that belong to
    /// no call are lost, and what is new follows; of an answer only that it is lost can be said.
    pub(crate) fn stream(&self, id: EventId) -> Option<Arc<EventStream>> {
        if id.stream == GENERAL {
            let streams = self.streams.lock();
            return streams
                .general
                .clone()
                .filter(|_| id.generation == self.generation);
        }
        if id.generation != self.generation {
            let why = "the daemon restarted during the call; its answer is lost";
            return Some(EventStream::lost(id, why));
        }
        let streams = self.streams.lock();
        let finished = || {
            streams
                .finished
                .iter()
                .find(|stream| stream.number == id.stream)
        };
        let known = streams.live.get(&id.stream).or_else(finished).cloned();
        drop(streams);
        known.or_else(|| Some(EventStream::lost(id, "the answer is not kept any more")))
    }

    /// The stream for what belongs to no call.
    pub(crate) fn general(&self) -> Arc<EventStream> {
        let mut streams = self.streams.lock();
        Arc::clone(
            streams
                .general
                .get_or_insert_with(|| EventStream::new(self.generation, GENERAL, None)),
        )
    }

    /// Everything is said on this stream (HTTP+SSE).
    pub(crate) fn speak_on(&self, stream: &Arc<EventStream>) {
        self.streams.lock().general = Some(Arc::clone(stream));
    }

    /// Whether the client listens on its GET stream now.
    pub(crate) fn listens(&self) -> bool {
        self.streams
            .lock()
            .general
            .as_ref()
            .is_some_and(|stream| stream.is_read())
    }

    /// Whether it has something in flight or listens.
    pub(crate) fn is_busy(&self) -> bool {
        !self.calls.lock().is_empty() || self.listens()
    }

    /// False where it had subscribed before.
    pub(crate) fn subscribe(&self, uri: &str) -> bool {
        self.subscriptions.lock().insert(uri.to_owned())
    }

    /// False where it had not subscribed.
    pub(crate) fn unsubscribe(&self, uri: &str) -> bool {
        self.subscriptions.lock().remove(uri)
    }

    pub(crate) fn subscriptions(&self) -> BTreeSet<String> {
        self.subscriptions.lock().clone()
    }

    pub(crate) fn subscription_count(&self) -> usize {
        self.subscriptions.lock().len()
    }

    /// Ends everything of it: streams, and the requests that servers wait on.
    pub(crate) fn close(&self) {
        self.over.store(true, Ordering::Release);
        self.asked.close();
        let mut streams = self.streams.lock();
        let general = streams.general.take();
        let all: Vec<_> = streams
            .live
            .drain()
            .map(|(_, stream)| stream)
            .chain(general)
            .collect();
        drop(streams);
        for stream in all {
            stream.finish();
        }
    }
}
