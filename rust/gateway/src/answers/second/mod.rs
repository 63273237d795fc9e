//! The second level of kept answers: Redis or Memcached, which daemons can have in common and which outlives them.
//!
//! It is asked when the first level has nothing, filled after an answer was fetched, and done without when it is
//! gone: every word with it has a short time, and a breaker spares calls even that. An answer there carries the
//! generations (of its service, and of its tool or resource) that it was given under, as [`fresh`](super::fresh) has
//! them in memory; to make answers stale, a generation becomes another number. Until that is known to have happened
//! nothing is taken from there, and where it cannot be done, nothing of what was there is ever looked at again.
//!
//! One daemon at a time fetches an answer: who finds none and a lock on it waits a moment for the other's.

mod stream;
mod target;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backstay_mcp::{Era, Reply};
use backstay_traffic::{Breaker, BreakerConfig};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use self::stream::Trust;
use self::target::Target;
use self::wire::{Ask, Connection, Said};
use super::route::SecondRoute;
use super::rules::{Key, Question};
use crate::traffic::now;

/// Connections that are kept open while nobody uses them.
const MOST_IDLE: usize = 8;
/// Generations that wait to be changed; beyond these all that is there counts as stale.
const MOST_RAISES: usize = 1024;
/// How long one daemon's fetching keeps others from it.
const LOCK: Duration = Duration::from_secs(5);
/// How long another's fetching is waited for, and how often it is looked for.
const LOCKED: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(20);

/// Hears why it is left alone for a while, and of its return.
pub(crate) type Told = Arc<dyn Fn(Option<String>) + Send + Sync>;

/// See the module.
pub(crate) struct Second {
    target: Target,
    /// Only of one over TLS.
    trust: Option<Trust>,
    told: Told,
    pub(crate) through: bool,
    time: Duration,
    prefix: String,
    /// Held for one push or pop.
    idle: Mutex<Vec<Connection>>,
    breaker: Breaker,
    raises: mpsc::Sender<String>,
    /// How many generations are to be changed and may not be yet.
    raising: AtomicUsize,
    /// Part of every key: what was there under another is never looked at again.
    salt: AtomicU64,
}

/// An answer that was there.
pub(crate) struct Fetched {
    pub(crate) reply: Reply,
    pub(crate) own: Era,
    pub(crate) left: Duration,
    pub(crate) took: Duration,
    pub(crate) public: bool,
}

/// What may be put there: where, and under which generations.
#[derive(Debug)]
pub(crate) struct Slot {
    own: String,
    shared: String,
    generations: [u64; 2],
    /// The lock that others wait for.
    lock: Option<String>,
}

/// What a look finds.
pub(crate) enum Look {
    There(Box<Fetched>),
    /// Nothing; what is fetched may be put there.
    Nothing(Slot),
    /// It is not to be used now.
    Gone,
}

impl std::fmt::Debug for Second {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "second level at {:?}", self.target)
    }
}

impl Second {
    /// A second level; none where its address cannot be read, which Python has seen to.
    pub(super) fn new(route: &SecondRoute, runtime: &Handle, told: Told) -> Option<Arc<Self>> {
        let (raises, waiting) = mpsc::channel(MOST_RAISES);
        let target = Target::parse(&route.url)?;
        let trust = target.secure().map(|_| Trust::read(route.ca.as_deref()));
        let trust = match trust.transpose() {
            Ok(trust) => trust,
            Err(error) => {
                told(Some(format!("whom to trust cannot be read: {error}")));
                None
            }
        };
        let second = Arc::new(Self {
            target,
            trust,
            told,
            through: route.through,
            time: Duration::from_millis(route.timeout_ms.max(1)),
            prefix: format!("backstay:{}:", route.fleet),
            idle: Mutex::default(),
            breaker: Breaker::new(BreakerConfig {
                least: 3,
                open_at_most: Duration::from_secs(10),
                ..BreakerConfig::default()
            }),
            raises,
            raising: AtomicUsize::new(0),
            salt: AtomicU64::new(0),
        });
        runtime.spawn(raise(Arc::downgrade(&second), waiting));
        Some(second)
    }

    fn key(&self, key: &Key) -> String {
        use std::fmt::Write as _;

        let mut text = format!("{}{:x}:", self.prefix, self.salt.load(SeqCst));
        for byte in key {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    fn generation(&self, service: &str, bucket: Option<u8>) -> String {
        match bucket {
            None => format!("{}g:{service}", self.prefix),
            Some(bucket) => format!("{}g:{service}:{bucket}", self.prefix),
        }
    }

    /// What a service answered so far is stale: all of it, or what falls into this bucket.
    pub(crate) fn stale(&self, service: &str, bucket: Option<u8>) {
        self.raising.fetch_add(1, SeqCst);
        let key = self.generation(service, bucket);
        if self.raises.try_send(key).is_err() {
            self.distrust();
            self.raising.fetch_sub(1, SeqCst);
        }
    }

    /// Nothing of what is there is looked at again.
    fn distrust(&self) {
        self.salt.store(rand::random::<u64>() | 1, SeqCst);
    }

    /// One word with it, in its time; none where that cannot be.
    async fn ask(&self, ask: Ask<'_>) -> Option<Said> {
        self.breaker.check(now()).ok()?;
        let idle = self.idle.lock().pop();
        let talk = async {
            let mut connection = match idle {
                Some(connection) => connection,
                None => Connection::open(&self.target, self.trust.as_ref()).await?,
            };
            let said = connection.ask(ask).await?;
            std::io::Result::Ok((said, connection))
        };
        let why = match timeout(self.time, talk).await {
            Ok(Ok((said, connection))) => {
                if self.breaker.success(now()) {
                    (self.told)(None);
                }
                let mut idle = self.idle.lock();
                if idle.len() < MOST_IDLE {
                    idle.push(connection);
                }
                return Some(said);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {:?}", self.time),
        };
        if self.breaker.failure(now()) {
            (self.told)(Some(why));
        }
        // What else is idle was opened to the same end.
        self.idle.lock().clear();
        None
    }

    /// Looks for an answer; where another daemon fetches it, waits a moment for that.
    pub(crate) async fn look(&self, question: &Question<'_>, service: &str, bucket: u8) -> Look {
        let until = Instant::now() + LOCKED;
        loop {
            let mut slot = match self.look_once(question, service, bucket).await {
                Look::Nothing(slot) => slot,
                found => return found,
            };
            let lock = format!("{}:lock", slot.own);
            let add = Ask::Add {
                key: &lock,
                value: b"1",
                ttl_ms: u64::try_from(LOCK.as_millis()).ok(),
            };
            match self.ask(add).await {
                Some(Said::Done(false)) if Instant::now() < until => sleep(LOOK).await,
                said => {
                    slot.lock = matches!(said, Some(Said::Done(true))).then_some(lock);
                    return Look::Nothing(slot);
                }
            }
        }
    }

    async fn look_once(&self, question: &Question<'_>, service: &str, bucket: u8) -> Look {
        if self.raising.load(SeqCst) > 0 {
            return Look::Gone;
        }
        let (own, shared) = (self.key(&question.own), self.key(&question.shared()));
        let names = [
            self.generation(service, None),
            self.generation(service, Some(bucket)),
        ];
        let asked = Ask::Values([&own, &shared, &names[0], &names[1]]);
        let Some(Said::Values([mine, all, first, second])) = self.ask(asked).await else {
            return Look::Gone;
        };
        let mut generations = [0, 0];
        for ((said, name), number) in [first, second].iter().zip(&names).zip(&mut generations) {
            let known = said.as_deref().map(number_of);
            let Some(generation) = (match known {
                Some(known) => known,
                None => self.begin(name).await,
            }) else {
                return Look::Gone;
            };
            *number = generation;
        }
        let found = mine
            .and_then(|bytes| read(&bytes, generations, false))
            .or_else(|| all.and_then(|bytes| read(&bytes, generations, true)));
        // Somebody fetches the next one before all find it gone.
        match found {
            Some(fetched) if !fetched.is_due(rand::random()) => Look::There(Box::new(fetched)),
            _ => Look::Nothing(Slot {
                own,
                shared,
                generations,
                lock: None,
            }),
        }
    }

    /// A generation that was lost begins anew at any number, so that it is never one that it was.
    async fn begin(&self, name: &str) -> Option<u64> {
        let fresh: u64 = rand::random();
        let text = fresh.to_string();
        let add = Ask::Add {
            key: name,
            value: text.as_bytes(),
            ttl_ms: None,
        };
        let said = self.ask(add).await;
        (said == Some(Said::Done(true))).then_some(fresh)
    }

    /// Puts an answer there, if one was fetched that may be kept, and lets others look again.
    pub(crate) async fn put(&self, slot: &Slot, fetched: Option<&Fetched>) {
        if let Some(fetched) = fetched {
            self.store(slot, fetched).await;
        }
        if let Some(lock) = &slot.lock {
            self.ask(Ask::Remove(lock)).await;
        }
    }

    async fn store(&self, slot: &Slot, fetched: &Fetched) {
        let key = if fetched.public {
            &slot.shared
        } else {
            &slot.own
        };
        let value = write(slot.generations, fetched);
        let set = Ask::Set {
            key,
            value: &value,
            ttl_ms: u64::try_from(fetched.left.as_millis()).ok(),
        };
        self.ask(set).await;
    }
}

/// Changes generations, one after the other, for as long as the second level is there.
async fn raise(second: std::sync::Weak<Second>, mut raised: mpsc::Receiver<String>) {
    while let Some(key) = raised.recv().await {
        let Some(second) = second.upgrade() else {
            return;
        };
        let fresh = rand::random::<u64>().to_string();
        let set = Ask::Set {
            key: &key,
            value: fresh.as_bytes(),
            ttl_ms: None,
        };
        if second.ask(set).await.is_none() {
            second.distrust();
        }
        second.raising.fetch_sub(1, SeqCst);
    }
}

impl Fetched {
    fn is_due(&self, chance: f64) -> bool {
        self.took.mul_f64(-chance.max(f64::MIN_POSITIVE).ln()) >= self.left
    }
}

fn number_of(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// How long an answer's head is: era, generations, its end, how long it took.
const HEAD: usize = 1 + 4 * 8;

fn write(generations: [u64; 2], fetched: &Fetched) -> Vec<u8> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let answer = fetched.reply.envelope().bytes();
    let mut out = Vec::with_capacity(HEAD + answer.len());
    out.push(u8::from(fetched.own == Era::Modern));
    let until = unix_ms().saturating_add(millis(fetched.left));
    for number in [generations[0], generations[1], until, millis(fetched.took)] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(answer);
    out
}

fn read(bytes: &Bytes, generations: [u64; 2], public: bool) -> Option<Fetched> {
    let head = bytes.get(..HEAD)?;
    let mut numbers = head[1..].chunks_exact(8).map(|chunk| {
        chunk
            .iter()
            .rev()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    });
    if [numbers.next()?, numbers.next()?] != generations {
        return None;
    }
    let left = numbers
        .next()?
        .checked_sub(unix_ms())
        .filter(|left| *left > 0)?;
    Some(Fetched {
        own: if head[0] == 1 {
            Era::Modern
        } else {
            Era::Legacy
        },
        left: Duration::from_millis(left),
        took: Duration::from_millis(numbers.next()?),
        reply: Reply::parse(bytes.slice(HEAD..))?,
        public,
    })
}
