//! All client sessions: capped, forgotten when unused, found again by the next daemon.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backstay_mcp::{RawJson, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use rand::RngCore as _;
use tokio::time::Instant;

use super::journal::Journal;
use super::{Record, Saved, Scope, Session};
use crate::config::GatewayConfig;
use crate::log_level::LogLevel;

/// When all places are taken, a session unused for this long makes room for a new one.
const STALE: Duration = Duration::from_secs(300);
/// Resources one session may subscribe to.
const MOST_SUBSCRIPTIONS: usize = 1024;

/// How long a session is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// Until it is ended or unused for long, daemon or no daemon.
    OnItsOwn,
    /// As long as its one stream.
    WithItsStream,
}

/// No place for another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

type Ended = Box<dyn Fn(&Arc<Session>) + Send + Sync>;

/// See the module.
pub(crate) struct Sessions {
    live: Arc<DashMap<Box<str>, Arc<Session>, ahash::RandomState>>,
    by_number: DashMap<u64, Arc<Session>, ahash::RandomState>,
    /// Whose own an instance is: the session's number.
    claims: DashMap<Box<str>, u64, ahash::RandomState>,
    next: AtomicU64,
    /// How many sessions asked for each log level; the last for those that asked for none.
    levels: [AtomicUsize; 9],
    journal: Journal,
    generation: u32,
    most: usize,
    ttl: Duration,
    clock: Instant,
    /// Called with each session that ended.
    ended: OnceLock<Ended>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} sessions", self.live.len())
    }
}

impl Sessions {
    /// Takes over the sessions of a former daemon.
    pub(crate) fn open(config: &GatewayConfig) -> io::Result<Self> {
        let live: Arc<DashMap<Box<str>, Arc<Session>, ahash::RandomState>> = Arc::default();
        let all = Arc::clone(&live);
        let snapshot = move || {
            all.iter()
                .filter_map(|entry| entry.value().saved())
                .collect()
        };
        let (journal, saved) = Journal::open(config.run_dir().join("sessions.jsonl"), snapshot)?;
        let sessions = Self {
            live,
            by_number: DashMap::default(),
            claims: DashMap::default(),
            next: AtomicU64::new(1),
            levels: Default::default(),
            journal,
            generation: config.generation,
            most: config.max_sessions,
            ttl: config.session_ttl(),
            clock: Instant::now(),
            ended: OnceLock::new(),
        };
        for saved in saved.iter().take(config.max_sessions) {
            sessions.add(saved, Lasting::OnItsOwn);
        }
        Ok(sessions)
    }

    fn add(&self, saved: &Saved, lasting: Lasting) -> Option<Arc<Session>> {
        let number = self.number();
        let session = Session::new(
            saved,
            number,
            self.generation,
            lasting == Lasting::WithItsStream,
            self.now(),
        )?;
        self.levels[level_index(session.level())].fetch_add(1, Ordering::Relaxed);
        for instance in &saved.instances {
            self.claims.insert(instance.as_str().into(), number);
        }
        self.by_number.insert(number, Arc::clone(&session));
        self.live.insert(session.id.clone(), Arc::clone(&session));
        Some(session)
    }

    /// Has `ended` called with each session that ends.
    pub(crate) fn on_end(&self, ended: impl Fn(&Arc<Session>) + Send + Sync + 'static) {
        let _ = self.ended.set(Box::new(ended));
    }

    /// A number that no session has.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a log level in that one request asks for, as long as the guard lives.
    pub(crate) fn hold_level(&self, level: LogLevel) -> HeldLevel<'_> {
        let count = &self.levels[level_index(Some(level))];
        count.fetch_add(1, Ordering::Relaxed);
        HeldLevel(count)
    }

    /// Opens a session, and returns when a next daemon would know it.
    pub(crate) async fn create(
        &self,
        scope: Scope,
        version: Version,
        capabilities: &RawJson,
        client: &RawJson,
        lasting: Lasting,
    ) -> Result<Arc<Session>, TooMany> {
        if self.live.len() >= self.most && !self.evict() {
            return Err(TooMany);
        }
        let saved = Saved {
            id: fresh_id(),
            service: match &scope {
                Scope::Fleet => None,
                Scope::Service(service) => Some(service.to_string()),
            },
            version: version.as_str().to_owned(),
            capabilities: capabilities.read().map_err(|_| TooMany)?,
            client: client.read().map_err(|_| TooMany)?,
            level: 0,
            subscriptions: std::collections::BTreeSet::new(),
            instances: std::collections::BTreeSet::new(),
        };
        let session = self.add(&saved, lasting).ok_or(TooMany)?;
        if lasting == Lasting::OnItsOwn {
            self.journal.write(&Record::New(saved)).await;
        }
        Ok(session)
    }

    /// The session of this id on this path, marked as used.
    pub(crate) fn get(&self, id: &str, scope: &Scope) -> Option<Arc<Session>> {
        let session = self
            .live
            .get(id)
            .filter(|session| session.scope == *scope)?
            .clone();
        session.used.store(self.now(), Ordering::Relaxed);
        Some(session)
    }

    /// The same, for who had one before: mostly it is that one again.
    pub(crate) fn get_again(
        &self,
        before: Option<&Arc<Session>>,
        id: &str,
        scope: &Scope,
    ) -> Option<Arc<Session>> {
        let same = |known: &&Arc<Session>| {
            *known.id == *id && known.scope == *scope && !known.over.load(Ordering::Acquire)
        };
        let Some(known) = before.filter(same) else {
            return self.get(id, scope);
        };
        known.used.store(self.now(), Ordering::Relaxed);
        Some(Arc::clone(known))
    }

    /// Ends a session for good.
    pub(crate) async fn remove(&self, session: &Arc<Session>) {
        if self.forget(session) {
            self.journal
                .write(&Record::End {
                    id: session.id.to_string(),
                })
                .await;
        }
    }

    /// Remembers the log level a session asked for.
    pub(crate) async fn set_level(&self, session: &Session, level: LogLevel) {
        let before = session.set_level(level);
        self.levels[level_index(Some(level))].fetch_add(1, Ordering::Relaxed);
        self.levels[level_index(before)].fetch_sub(1, Ordering::Relaxed);
        self.journal
            .write(&Record::Level {
                id: session.id.to_string(),
                level: level.code(),
            })
            .await;
    }

    /// Remembers a subscription. False where the session has too many.
    pub(crate) async fn subscribe(&self, session: &Session, uri: &str) -> bool {
        if session.subscription_count() >= MOST_SUBSCRIPTIONS {
            return false;
        }
        if session.subscribe(uri) {
            self.journal
                .write(&Record::Subscribe {
                    id: session.id.to_string(),
                    uri: uri.to_owned(),
                })
                .await;
        }
        true
    }

    pub(crate) async fn unsubscribe(&self, session: &Session, uri: &str) {
        if session.unsubscribe(uri) {
            self.journal
                .write(&Record::Unsubscribe {
                    id: session.id.to_string(),
                    uri: uri.to_owned(),
                })
                .await;
        }
    }

    /// Remembers that an instance is a session's own, and nobody else's.
    pub(crate) async fn claim(&self, session: &Session, instance: &str) {
        if let Some(before) = self.claims.insert(instance.into(), session.number)
            && let Some(other) = self.by_number(before)
            && before != session.number
        {
            other.instances.lock().remove(instance);
        }
        session.instances.lock().insert(instance.to_owned());
        self.journal
            .write(&Record::Claim {
                id: session.id.to_string(),
                instance: instance.to_owned(),
            })
            .await;
    }

    /// Remembers that an instance is nobody's own any more: it has begun anew.
    pub(crate) fn unclaim(&self, instance: &str) {
        if let Some((_, number)) = self.claims.remove(instance) {
            if let Some(session) = self.by_number(number) {
                session.instances.lock().remove(instance);
            }
            self.journal.note(&Record::Unclaim {
                instance: instance.to_owned(),
            });
        }
    }

    /// The session whose own an instance is.
    pub(crate) fn claimant(&self, instance: &str) -> Option<u64> {
        self.claims.get(instance).map(|number| *number)
    }

    /// The most verbose level that any session asked for.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        let code = self.levels[..8]
            .iter()
            .position(|count| count.load(Ordering::Relaxed) > 0)?;
        LogLevel::from_code(u8::try_from(code + 1).ok()?)
    }

    /// The session of this number.
    pub(crate) fn by_number(&self, number: u64) -> Option<Arc<Session>> {
        self.by_number
            .get(&number)
            .map(|session| Arc::clone(session.value()))
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// All of them, now.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.live
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect()
    }

    /// Forgets what was unused for too long. Returns when to look again.
    pub(crate) fn expire(&self) -> Duration {
        let (now, ttl) = (self.now(), millis(self.ttl));
        let mut oldest = now;
        let mut expired = Vec::new();
        for session in self.live.iter() {
            let used = session.used.load(Ordering::Relaxed);
            if session.is_busy() {
                session.used.store(now, Ordering::Relaxed);
            } else if now.saturating_sub(used) >= ttl {
                expired.push(Arc::clone(session.value()));
            } else {
                oldest = oldest.min(used);
            }
        }
        for session in expired {
            self.forget(&session);
            self.journal.note(&Record::End {
                id: session.id.to_string(),
            });
        }
        // Never more often than once a second, however short the life.
        Duration::from_millis((oldest + ttl).saturating_sub(now)).max(Duration::from_secs(1))
    }

    /// Makes room for one more. False where every session is in use.
    fn evict(&self) -> bool {
        let (now, stale) = (self.now(), millis(STALE));
        let oldest = self
            .live
            .iter()
            .filter(|session| {
                now.saturating_sub(session.used.load(Ordering::Relaxed)) >= stale
                    && !session.is_busy()
            })
            .min_by_key(|session| session.used.load(Ordering::Relaxed))
            .map(|session| Arc::clone(session.value()));
        oldest.is_some_and(|session| {
            self.journal.note(&Record::End {
                id: session.id.to_string(),
            });
            self.forget(&session)
        })
    }

    fn forget(&self, session: &Arc<Session>) -> bool {
        if self.live.remove(&session.id).is_none() {
            return false;
        }
        self.by_number.remove(&session.number);
        for instance in session.instances.lock().iter() {
            self.claims
                .remove_if(instance.as_str(), |_, number| *number == session.number);
        }
        self.levels[level_index(session.level())].fetch_sub(1, Ordering::Relaxed);
        session.close();
        if let Some(ended) = self.ended.get() {
            ended(session);
        }
        true
    }

    fn now(&self) -> u64 {
        millis(self.clock.elapsed())
    }
}

/// See [`Sessions::hold_level`].
pub(crate) struct HeldLevel<'a>(&'a AtomicUsize);

impl Drop for HeldLevel<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn level_index(level: Option<LogLevel>) -> usize {
    level.map_or(8, |level| usize::from(level.code()) - 1)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// 128 random bits in 22 visible characters.
pub(crate) fn fresh_id() -> String {
    let mut secret = [0; 16];
    rand::rng().fill_bytes(&mut secret);
    URL_SAFE_NO_PAD.encode(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &tempfile::TempDir) -> GatewayConfig {
        GatewayConfig {
            state_dir: dir.path().into(),
            session_ttl_ms: 60_000,
            max_sessions: 2,
            ..GatewayConfig::default()
        }
    }

    async fn open(sessions: &Sessions, scope: Scope) -> Result<Arc<Session>, TooMany> {
        let roots = RawJson::parse(r#"{"roots":{"listChanged":true}}"#).unwrap();
        sessions
            .create(
                scope,
                Version::V2025_06_18,
                &roots,
                &RawJson::EMPTY_OBJECT,
                Lasting::OnItsOwn,
            )
            .await
    }

    #[tokio::test]
    async fn a_session_outlives_its_daemon_and_an_ended_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let scope = Scope::Service("files".into());
        let first = Sessions::open(&config(&dir)).unwrap();
        let kept = open(&first, scope.clone()).await.unwrap();
        first.set_level(&kept, LogLevel::Warning).await;
        assert!(first.subscribe(&kept, "memo://1").await);
        let ended = open(&first, Scope::Fleet).await.unwrap();
        first.remove(&ended).await;

        let second = Sessions::open(&GatewayConfig {
            generation: 2,
            ..config(&dir)
        })
        .unwrap();
        assert_eq!(second.len(), 1);
        let found = second.get(&kept.id, &scope).unwrap();
        assert_eq!(found.version, Version::V2025_06_18);
        assert!(found.capabilities.roots);
        assert_eq!(found.level(), Some(LogLevel::Warning));
        assert!(found.subscriptions().contains("memo://1"));
        assert!(
            second.get(&kept.id, &Scope::Fleet).is_none(),
            "a session belongs to its path"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_session_makes_room_and_a_used_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(&GatewayConfig {
            session_ttl_ms: 3_600_000,
            ..config(&dir)
        })
        .unwrap();
        let first = open(&sessions, Scope::Fleet).await.unwrap();
        let second = open(&sessions, Scope::Fleet).await.unwrap();
        assert_eq!(open(&sessions, Scope::Fleet).await.unwrap_err(), TooMany);
        tokio::time::advance(STALE + Duration::from_secs(1)).await;
        assert!(sessions.get(&second.id, &Scope::Fleet).is_some());
        open(&sessions, Scope::Fleet).await.unwrap();
        assert!(sessions.get(&first.id, &Scope::Fleet).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_session_is_forgotten_and_one_that_listens_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(&config(&dir)).unwrap();
        let idle = open(&sessions, Scope::Fleet).await.unwrap();
        let listening = open(&sessions, Scope::Fleet).await.unwrap();
        let reader = listening.general().read_on();
        tokio::time::advance(Duration::from_secs(61)).await;
        sessions.expire();
        assert!(sessions.get(&idle.id, &Scope::Fleet).is_none());
        assert!(sessions.get(&listening.id, &Scope::Fleet).is_some());
        drop(reader);
    }
}
