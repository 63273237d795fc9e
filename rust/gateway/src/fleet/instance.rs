//! One instance of a server, its connection, and what is in flight on it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use backstay_mcp::{BySequence, Era, Upstream};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::refresh::Refreshing;
use crate::call::Call;
use crate::config::InstanceRoute;
use crate::session::Session;
use crate::traffic::{Health, key_of};

/// What an instance is to the gateway.
#[derive(Clone)]
pub(crate) enum State {
    /// It has not shaken hands yet.
    Starting,
    /// Calls can go to it.
    Ready(Arc<Upstream>),
    /// It was ready, and will be again.
    Down {
        reason: String,
        /// Seconds.
        retry_after: u64,
    },
    /// Its handshake failed, or its process for good.
    Failed { reason: String },
    /// It was stopped, as asked.
    Stopped,
}

/// No session has it to itself.
const NOBODY: u64 = 0;
/// A session that has ended had it, so nobody may until it has begun anew.
const RECYCLED: u64 = u64::MAX;
/// Nobody needs it any more: it is to end.
const GIVEN_UP: u64 = u64::MAX - 1;

/// See the module.
pub(crate) struct Instance {
    pub(crate) name: Arc<str>,
    /// A hash of its name: what keeps a session at it.
    pub(crate) id: u64,
    /// Its share of the calls against the others'.
    weight: AtomicU32,
    /// What is known of it from how its calls went.
    pub(crate) health: Health,
    /// Held for one copy or assignment.
    state: RwLock<State>,
    route: RwLock<InstanceRoute>,
    /// Counts connections: what an older one still has to say is not heard.
    epoch: AtomicU64,
    outstanding: AtomicUsize,
    /// The session that has it to itself;
    /// [`NOBODY`], [`RECYCLED`] or [`GIVEN_UP`] where none has.
    owner: AtomicU64,
    /// It is one session's connection, not an instance that the keeper knows.
    pub(crate) private: bool,
    /// Held while a session's own connection is made.
    pub(super) shaking: tokio::sync::Mutex<()>,
    /// What is in flight, by the call's number. Held for one map operation.
    calls: Mutex<BySequence<Arc<Call>>>,
    pub(crate) refreshing: Refreshing,
    /// Milliseconds before the next try; reset when a connection is made.
    pause: AtomicU64,
    /// What a former daemon knew of its handshake.
    note: Mutex<Option<Bytes>>,
    /// Which era the server was of last. Held for one copy or assignment.
    era: Mutex<Remembered>,
}

/// What is known of a server's era.
#[derive(Clone, Copy, Debug)]
enum Remembered {
    /// What its route says.
    AsRouted,
    /// What it was when it was greeted last.
    Found(Era),
    /// It was not what it was remembered as.
    Doubtful,
}

impl fmt::Debug for Instance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "instance {}", self.name)
    }
}

impl Instance {
    pub(crate) fn new(route: InstanceRoute) -> Arc<Self> {
        Arc::new(Self::build(route, NOBODY, false))
    }

    /// A connection of one session's own to the process of another instance.
    pub(super) fn private(base: &Self, session: &Session) -> Arc<Self> {
        let route = InstanceRoute {
            name: format!("{}/{}", base.name, session.label()),
            era: base.era(),
            ..base.route()
        };
        Arc::new(Self::build(route, session.number, true))
    }

    fn build(route: InstanceRoute, owner: u64, private: bool) -> Self {
        Self {
            name: route.name.as_str().into(),
            id: key_of(&route.name),
            weight: AtomicU32::new(route.weight),
            health: Health::default(),
            state: RwLock::new(State::Starting),
            route: RwLock::new(route),
            epoch: AtomicU64::new(0),
            outstanding: AtomicUsize::new(0),
            calls: Mutex::default(),
            refreshing: Refreshing::default(),
            pause: AtomicU64::new(0),
            note: Mutex::default(),
            era: Mutex::new(Remembered::AsRouted),
            owner: AtomicU64::new(owner),
            private,
            shaking: tokio::sync::Mutex::default(),
        }
    }

    /// The session that has it to itself.
    pub(crate) fn owner(&self) -> Option<u64> {
        match self.owner.load(Ordering::Acquire) {
            NOBODY | RECYCLED | GIVEN_UP => None,
            session => Some(session),
        }
    }

    /// Takes it for a session, if nobody has it.
    pub(super) fn claim(&self, session: u64) -> bool {
        self.owner
            .compare_exchange(NOBODY, session, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Takes it back from a session that ended: to begin anew, or to end where it is not needed. Returns
    /// whether it is to end.
    pub(super) fn recycle(&self, surplus: bool) -> bool {
        let next = if surplus { GIVEN_UP } else { RECYCLED };
        self.owner.store(next, Ordering::Release);
        surplus
    }

    /// Gives it up, if nobody has it.
    pub(super) fn give_up(&self) -> bool {
        self.owner
            .compare_exchange(NOBODY, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.owner.load(Ordering::Acquire) == GIVEN_UP
    }

    pub(super) fn set_owner(&self, session: Option<u64>) {
        self.owner
            .store(session.unwrap_or(NOBODY), Ordering::Release);
    }

    pub(crate) fn route(&self) -> InstanceRoute {
        self.route.read().clone()
    }

    /// Its share of the calls against the others'.
    pub(super) fn weight(&self) -> f64 {
        self.weight.load(Ordering::Relaxed).into()
    }

    pub(crate) fn set_route(&self, route: InstanceRoute) {
        self.weight.store(route.weight, Ordering::Relaxed);
        *self.route.write() = route;
    }

    /// The era its server is greeted as first, where that is known.
    pub(super) fn era(&self) -> Option<Era> {
        match *self.era.lock() {
            Remembered::AsRouted => self.route.read().era,
            Remembered::Found(era) => Some(era),
            Remembered::Doubtful => None,
        }
    }

    /// The server was greeted.
    pub(super) fn is_of(&self, era: Era) {
        *self.era.lock() = Remembered::Found(era);
    }

    /// It could not be greeted, or is another one now: its era is to be found again.
    pub(super) fn forget_era(&self) {
        *self.era.lock() = Remembered::Doubtful;
    }

    pub(crate) fn state(&self) -> State {
        self.state.read().clone()
    }

    /// Changes the state, and returns the connection it had.
    pub(crate) fn set_state(&self, state: State) -> Option<Arc<Upstream>> {
        if matches!(state, State::Ready(_)) {
            self.pause.store(0, Ordering::Relaxed);
        }
        match std::mem::replace(&mut *self.state.write(), state) {
            State::Ready(upstream) => Some(upstream),
            _ => None,
        }
    }

    pub(crate) fn upstream(&self) -> Option<Arc<Upstream>> {
        match &*self.state.read() {
            State::Ready(upstream) => Some(Arc::clone(upstream)),
            _ => None,
        }
    }

    /// Begins another connection; what the former ones report no longer counts.
    pub(crate) fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// How long to wait before it is tried again: longer each time, and never quite the same.
    pub(crate) fn next_pause(&self, first: Duration, longest: Duration) -> Duration {
        let last = Duration::from_millis(self.pause.load(Ordering::Relaxed));
        let next = (last * 2).clamp(first, longest);
        self.pause.store(
            u64::try_from(next.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        next.mul_f64(rand::random_range(0.75..1.0))
    }

    pub(crate) fn set_note(&self, note: Bytes) {
        *self.note.lock() = Some(note);
    }

    pub(crate) fn take_note(&self) -> Option<Bytes> {
        self.note.lock().take()
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Counts a call in as long as the guard lives.
    pub(crate) fn begin(self: &Arc<Self>, call: &Arc<Call>) -> InFlight {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        self.calls.lock().insert(call.tag.call, Arc::clone(call));
        InFlight {
            instance: Arc::clone(self),
            call: call.tag.call,
        }
    }

    pub(crate) fn call(&self, number: u64) -> Option<Arc<Call>> {
        self.calls.lock().get(&number).cloned()
    }

    /// The latest call of each session that has one in flight here.
    pub(crate) fn calls_by_session(&self) -> HashMap<u64, Arc<Call>> {
        let mut latest: HashMap<u64, Arc<Call>> = HashMap::new();
        for call in self.calls.lock().values() {
            let entry = latest
                .entry(call.tag.session)
                .or_insert_with(|| Arc::clone(call));
            if entry.tag.call < call.tag.call {
                *entry = Arc::clone(call);
            }
        }
        latest
    }
}

/// A call in flight.
pub(crate) struct InFlight {
    instance: Arc<Instance>,
    call: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.instance.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.instance.calls.lock().remove(&self.call);
    }
}
