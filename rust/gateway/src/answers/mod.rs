//! Answers that are kept: of tools that only read, and of resources, where `cache:` of a server says so.
//!
//! An answer is kept as the server gave it, under a hash over who may have it and one spelling of what was asked
//! ([`rules`]). It is stale when its time is over, when a tool that writes was called, when the server says that
//! something changed ([`fresh`]), and when another revision answers. However many ask for the same at once, one call
//! is made. Shortly before an answer's time is over one of those who ask may be sent to fetch the next one, the
//! likelier the nearer the end and the longer it took, so that they do not all find it gone (Vattani, Chierichetti and
//! Lowenstein, "Optimal probabilistic cache stampede prevention").
//!
//! The map itself is `rust/cache`, bounded by bytes. Lists are not kept here: the gateway has them ready anyway.

mod canonical;
mod fresh;
mod route;
mod rules;
pub(crate) mod second;
mod warm;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use backstay_cache::{Cache, Lifetime, Limit, Stats, Terms};
use backstay_mcp::{Era, Reply};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use fresh::{Freshness, Stamp, bucket_of};
pub use route::{CacheConfig, CacheRoute, SecondRoute};
use rules::Key;
pub(crate) use rules::{Question, Rules, Touches};
use second::Second;

/// What an answer costs beside its bytes.
const OVERHEAD: u64 = 256;

/// One answer.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) reply: Reply,
    /// The era of the server that gave it.
    pub(crate) own: Era,
    stamp: Stamp,
    until: Instant,
    took: Duration,
}

impl Kept {
    /// Whether one who asks now should fetch the next: never long before the end, surely at the end.
    fn is_due(&self, now: Instant, chance: f64) -> bool {
        let early = self.took.mul_f64(-chance.max(f64::MIN_POSITIVE).ln());
        now + early >= self.until
    }
}

type Tell = watch::Sender<Option<Arc<Kept>>>;
type Told = watch::Receiver<Option<Arc<Kept>>>;

/// See the module.
pub(crate) struct Answers {
    /// Replaced when its size changes; a pointer, read in a few instructions.
    kept: RwLock<Arc<Cache<Key, Arc<Kept>>>>,
    config: Mutex<CacheConfig>,
    /// A pointer as above.
    second: RwLock<Option<Arc<Second>>>,
    /// Whether an answer for all was ever kept; else there is no need to look for one.
    any_public: AtomicBool,
    /// What is being fetched, and how those are told who came for the same meanwhile, if any did; no more than calls
    /// under way. Held for one map operation.
    flights: Mutex<HashMap<Key, Option<Tell>, ahash::RandomState>>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "answers that are kept")
    }
}

/// What a look finds.
pub(crate) enum Found<'a> {
    /// A fresh answer.
    Kept(Arc<Kept>),
    /// Somebody is fetching it.
    Coming(Told),
    /// Nobody is: whoever asks does.
    Fetch(Fetch<'a>),
}

/// The duty to fetch an answer. Dropped without [`Fetch::keep`], those who wait fetch for themselves.
pub(crate) struct Fetch<'a> {
    answers: &'a Answers,
    key: Key,
    stamp: Stamp,
    began: Instant,
    /// Whether it is over, and whoever waited knows.
    over: bool,
}

impl Default for Answers {
    fn default() -> Self {
        let config = CacheConfig::default();
        Self {
            kept: RwLock::new(Arc::new(Cache::new(Limit::Cost(config.memory)))),
            config: Mutex::new(config),
            second: RwLock::default(),
            any_public: AtomicBool::new(false),
            flights: Mutex::default(),
        }
    }
}

impl Answers {
    /// Keeps as much as this from now on, and there; what was kept is forgotten where that is another amount. Says
    /// whether the second level is another one.
    pub(crate) fn configure(
        &self,
        config: CacheConfig,
        runtime: &Handle,
        told: second::Told,
    ) -> bool {
        let mut current = self.config.lock();
        if current.memory != config.memory {
            *self.kept.write() = Arc::new(Cache::new(Limit::Cost(config.memory.max(1))));
        }
        let other = current.second != config.second;
        if other {
            let second = config.second.as_ref();
            *self.second.write() = second.and_then(|route| Second::new(route, runtime, told));
        }
        *current = config;
        other
    }

    /// Where answers are kept besides.
    pub(crate) fn second(&self) -> Option<Arc<Second>> {
        self.second.read().clone()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.kept.read().stats()
    }

    /// Looks for an answer to a question whose answers have this stamp while they are fresh.
    pub(crate) fn find(&self, question: &Question<'_>, fresh: Stamp) -> Found<'_> {
        let now = Instant::now();
        let kept = Arc::clone(&self.kept.read());
        let is_good = |kept: &Arc<Kept>| kept.stamp == fresh && now < kept.until;
        let mut found = kept.get(&question.own).filter(is_good);
        if found.is_none() && self.any_public.load(Acquire) && question.own != question.shared() {
            found = kept.get(&question.shared()).filter(is_good);
        }
        if let Some(kept) = &found
            && !kept.is_due(now, rand::random())
        {
            return Found::Kept(Arc::clone(kept));
        }
        let mut flights = self.flights.lock();
        match (flights.get_mut(&question.own), found) {
            // Who would have to wait has an answer that is good enough.
            (Some(_), Some(kept)) => Found::Kept(kept),
            (Some(tell), None) => {
                Found::Coming(tell.get_or_insert_with(|| Tell::new(None)).subscribe())
            }
            (None, _) => {
                flights.insert(question.own, None);
                Found::Fetch(Fetch {
                    answers: self,
                    key: question.own,
                    stamp: fresh,
                    began: now,
                    over: false,
                })
            }
        }
    }
}

impl Fetch<'_> {
    /// How long it takes so far.
    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Keeps what was fetched, for those who wait and those who come.
    pub(crate) fn keep(
        mut self,
        question: &Question<'_>,
        reply: &Reply,
        own: Era,
        (ttl, public): (Duration, bool),
        took: Duration,
    ) {
        let kept = Arc::new(Kept {
            reply: reply.alone(),
            own,
            stamp: self.stamp,
            until: Instant::now() + ttl,
            took,
        });
        let terms = Terms {
            cost: reply.envelope().bytes().len() as u64 + OVERHEAD,
            lifetime: Lifetime {
                ttl_ms: Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                idle_ms: None,
            },
            tags: &[],
        };
        let key = if public {
            self.answers.any_public.store(true, Release);
            question.shared()
        } else {
            self.key
        };
        let cache = Arc::clone(&self.answers.kept.read());
        // One that is too large to keep is still an answer for those who wait.
        let _ = cache.insert_with(key, Arc::clone(&kept), &terms);
        if let Some(tell) = self.end() {
            tell.send_replace(Some(kept));
        }
    }

    /// Nobody may join any more. Gives who did the means to be told.
    fn end(&mut self) -> Option<Tell> {
        // The next one may be on its way under the same key.
        if std::mem::replace(&mut self.over, true) {
            return None;
        }
        self.answers.flights.lock().remove(&self.key).flatten()
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Waits for what somebody else fetches; `None`: nothing that could be shared came of it.
pub(crate) async fn wait(mut told: Told) -> Option<Arc<Kept>> {
    let found = told.wait_for(Option::is_some).await.ok()?;
    found.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fetched_again_near_its_end_and_not_long_before() {
        let now = Instant::now();
        let kept = |left_ms| Kept {
            reply: Reply::parse(&br#"{"jsonrpc":"2.0","id":1,"result":{}}"#[..]).unwrap(),
            own: Era::Legacy,
            stamp: Freshness::new("a".into()).of(""),
            until: now + Duration::from_millis(left_ms),
            took: Duration::from_millis(10),
        };
        let share = |left_ms| {
            let due = (1..1000).filter(|n| kept(left_ms).is_due(now, f64::from(*n) / 1000.0));
            due.count()
        };
        assert_eq!(share(0), 999);
        assert!((300..450).contains(&share(10)), "{}", share(10));
        assert!(share(1000) == 0);
    }
}
