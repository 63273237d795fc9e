//! Calls in flight: who waits for which id.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::call::{CallError, CallSink, CallTag, Reply};
use super::closing::CloseReason;
use super::exchange::Patience;
use crate::raw::RawJson;
use crate::sequence::BySequence;

/// An id of ours: a counter over eight bits of the daemon's generation. Small, so that a server that reads
/// ids as 32 bits goes on for sixteen million calls; under 2^53, so that JavaScript's numbers hold them.
const GENERATION_BITS: u32 = 8;

/// The calls in flight of one upstream.
pub(super) struct Pending {
    generation: u64,
    /// Guards map operations only; never held across an await or while foreign code runs.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    counter: u64,
    /// By their ids without the generation.
    calls: BySequence<Waiting>,
    /// The same number, by the caller's.
    tags: BySequence<u64>,
    closed: Option<CloseReason>,
    /// When somebody looks next for calls that have had their time; none while nobody does.
    watched: Option<Instant>,
}

struct Waiting {
    /// Gone when its time was over: it is in flight until its caller has told the server so.
    answer: Option<oneshot::Sender<Result<Reply, CallError>>>,
    sink: Option<Arc<dyn CallSink>>,
    /// The client's own progress token.
    token: Option<RawJson>,
    tag: Option<CallTag>,
    begun: Instant,
    /// When it was sent, or when it last reported progress.
    heard: Instant,
    patience: Patience,
}

impl Waiting {
    /// Whether its time is over, if it was heard of then.
    fn is_over(&self, heard: Instant, now: Instant) -> bool {
        let end = self.patience.end(self.begun, heard);
        end.is_some_and(|end| end <= now)
    }

    /// Gives the caller, who may have gone, its answer. False where it has had one.
    fn end(self, outcome: impl FnOnce() -> Result<Reply, CallError>) -> bool {
        let Some(answer) = self.answer else {
            return false;
        };
        let _ = answer.send(outcome());
        true
    }
}

/// What is to be done about the time of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nothing: somebody looks in time.
    Kept,
    /// Whoever looks is to look again sooner.
    Sooner,
    /// Nobody looks.
    Needed,
}

/// Who hears of a call's progress, and the progress token it goes by there.
pub(super) type Listener = (Arc<dyn CallSink>, RawJson);

/// A call that was entered.
pub(super) struct Entered {
    pub(super) id: u64,
    pub(super) watch: Watch,
    pub(super) answer: oneshot::Receiver<Result<Reply, CallError>>,
}

/// Whom an answer with some id was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// A call of a former daemon.
    FormerGeneration,
    /// A call that has ended.
    Late,
    /// Nobody's.
    Unknown,
}

impl Pending {
    pub(super) fn new(generation: u32) -> Self {
        let generation = u64::from(generation) & ((1 << GENERATION_BITS) - 1);
        Self {
            generation,
            table: Mutex::default(),
        }
    }

    pub(super) fn enter(
        &self,
        tag: Option<CallTag>,
        sink: Option<Arc<dyn CallSink>>,
        token: Option<RawJson>,
        patience: Patience,
    ) -> Result<Entered, CloseReason> {
        let (sender, answer) = oneshot::channel();
        let mut table = self.table.lock();
        if let Some(reason) = &table.closed {
            return Err(reason.clone());
        }
        table.counter += 1;
        let number = table.counter;
        let id = number << GENERATION_BITS | self.generation;
        let now = Instant::now();
        table.calls.insert(
            number,
            Waiting {
                answer: Some(sender),
                sink,
                token,
                tag,
                begun: now,
                heard: now,
                patience,
            },
        );
        let watch = match (patience.end(now, now), table.watched) {
            (None, _) => Watch::Kept,
            (Some(end), Some(next)) if end >= next => Watch::Kept,
            (Some(end), before) => {
                table.watched = Some(end);
                before.map_or(Watch::Needed, |_| Watch::Sooner)
            }
        };
        if let Some(tag) = tag {
            table.tags.insert(tag.call, number);
        }
        Ok(Entered { id, watch, answer })
    }

    /// Ends a call with its answer. Who asked may have gone.
    pub(super) fn answer(
        &self,
        id: &[u8],
        outcome: impl FnOnce() -> Result<Reply, CallError>,
    ) -> Result<u64, Stray> {
        let number = id_number(id);
        let waiting = number.and_then(|id| self.table.lock().take(self.number(id)?));
        match (waiting, number) {
            (Some(waiting), Some(id)) => {
                if waiting.end(outcome) {
                    Ok(id)
                } else {
                    Err(Stray::Late)
                }
            }
            (_, number) => Err(number.map_or(Stray::Unknown, |id| self.stray(id))),
        }
    }

    /// Forgets a call; true if it was in flight.
    pub(super) fn leave(&self, id: u64) -> bool {
        let number = self.number(id);
        number.is_some_and(|number| self.table.lock().take(number).is_some())
    }

    /// Ends the call of that tag as cancelled, and says which it was.
    pub(super) fn cancel(&self, tag: CallTag) -> Option<u64> {
        let (id, waiting) = {
            let mut table = self.table.lock();
            let number = *table.tags.get(&tag.call)?;
            table
                .calls
                .get(&number)
                .filter(|one| one.tag == Some(tag))?;
            let id = number << GENERATION_BITS | self.generation;
            (id, table.take(number)?)
        };
        waiting.end(|| Err(CallError::Cancelled));
        Some(id)
    }

    /// A call reported progress: who listens, if anybody does.
    pub(super) fn progress(&self, token: &[u8]) -> Result<Option<Listener>, Stray> {
        let id = id_number(token).ok_or(Stray::Unknown)?;
        let mut table = self.table.lock();
        let number = self.number(id).ok_or(Stray::Late)?;
        let waiting = table.calls.get_mut(&number).ok_or(Stray::Late)?;
        waiting.heard = Instant::now();
        Ok(waiting.sink.clone().zip(waiting.token.clone()))
    }

    /// Who hears of the call before it ends.
    pub(super) fn sink(&self, id: u64) -> Option<Arc<dyn CallSink>> {
        let number = self.number(id)?;
        self.table.lock().calls.get(&number)?.sink.clone()
    }

    /// When somebody has to look for calls that have had their time; none where no call's time ends.
    pub(super) fn watched(&self) -> Option<Instant> {
        self.table.lock().watched
    }

    /// Ends the calls that have had their time, and says when to look again; none when there is no need to.
    pub(super) fn expire(&self, instance: &str, now: Instant) -> Option<Instant> {
        let due: Vec<_> = {
            let table = self.table.lock();
            let timed = table.calls.iter().filter(|(_, one)| one.answer.is_some());
            timed
                .filter(|(_, one)| one.is_over(one.heard, now))
                .map(|(id, one)| (*id, one.sink.clone()))
                .collect()
        };
        // Foreign code, so not under the lock. A server that waits for its client is not silent.
        let due = due.into_iter().map(|(id, sink)| {
            let asked = sink.and_then(|sink| sink.asked());
            (id, asked.and_then(|ago| now.checked_sub(ago)))
        });
        let due: Vec<_> = due.collect();
        let mut table = self.table.lock();
        for (id, asked) in due {
            let Some(one) = table.calls.get_mut(&id) else {
                continue;
            };
            one.heard = asked.map_or(one.heard, |asked| asked.max(one.heard));
            if one.is_over(one.heard, now)
                && let Some(answer) = one.answer.take()
            {
                let late = CallError::TimedOut {
                    instance: instance.to_owned(),
                    after: one.patience.exceeded(one.heard, now),
                };
                let _ = answer.send(Err(late));
            }
        }
        let waiting = table.calls.values().filter(|one| one.answer.is_some());
        table.watched = waiting
            .filter_map(|one| one.patience.end(one.begun, one.heard))
            .min();
        table.watched
    }

    /// Reads a spelled id as that of a call in flight; else says whose it is.
    pub(super) fn of(&self, raw: &[u8]) -> Result<u64, (Stray, Option<u64>)> {
        let Some(id) = id_number(raw) else {
            return Err((Stray::Unknown, None));
        };
        if self.is_waiting(id) {
            Ok(id)
        } else {
            Err((self.stray(id), Some(id)))
        }
    }

    /// Whether an answer's id is this one of ours.
    pub(super) fn is_of(raw: &[u8], id: u64) -> bool {
        id_number(raw) == Some(id)
    }

    /// Whether the call is still in flight.
    pub(super) fn is_waiting(&self, id: u64) -> bool {
        let number = self.number(id);
        number.is_some_and(|number| self.table.lock().calls.contains_key(&number))
    }

    /// The tag of a call.
    pub(super) fn tag(&self, id: u64) -> Option<CallTag> {
        let number = self.number(id)?;
        self.table.lock().calls.get(&number)?.tag
    }

    /// A call of the only session that has calls in flight.
    pub(super) fn only_session(&self) -> Option<CallTag> {
        let table = self.table.lock();
        let mut last: Option<(u64, CallTag)> = None;
        // Where there are several, the second is met soon.
        for (number, one) in &table.calls {
            let Some(tag) = one.tag else { continue };
            match last {
                Some((_, other)) if other.session != tag.session => return None,
                Some((later, _)) if later > *number => {}
                _ => last = Some((*number, tag)),
            }
        }
        last.map(|(_, tag)| tag)
    }

    /// Ends all calls, and every later one. False if that was done before.
    pub(super) fn close(&self, instance: &str, reason: &CloseReason) -> bool {
        let calls = {
            let mut table = self.table.lock();
            if table.closed.is_some() {
                return false;
            }
            table.closed = Some(reason.clone());
            table.tags.clear();
            std::mem::take(&mut table.calls)
        };
        for (_, waiting) in calls {
            waiting.end(|| {
                Err(CallError::Closed {
                    instance: instance.to_owned(),
                    reason: reason.clone(),
                    sent: true,
                })
            });
        }
        true
    }

    pub(super) fn closed(&self) -> Option<CloseReason> {
        self.table.lock().closed.clone()
    }

    /// The id given last.
    pub(super) fn latest(&self) -> u64 {
        self.table.lock().counter << GENERATION_BITS | self.generation
    }

    pub(super) fn in_flight(&self) -> usize {
        self.table.lock().calls.len()
    }

    /// An id without the generation; none where that is not ours.
    fn number(&self, id: u64) -> Option<u64> {
        (id & ((1 << GENERATION_BITS) - 1) == self.generation).then_some(id >> GENERATION_BITS)
    }

    fn stray(&self, id: u64) -> Stray {
        let counter = id >> GENERATION_BITS;
        if id & ((1 << GENERATION_BITS) - 1) != self.generation {
            return if counter == 0 {
                Stray::Unknown
            } else {
                Stray::FormerGeneration
            };
        }
        if counter != 0 && counter <= self.table.lock().counter {
            Stray::Late
        } else {
            Stray::Unknown
        }
    }
}

impl Table {
    fn take(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.calls.remove(&number)?;
        if let Some(tag) = waiting.tag
            && self.tags.get(&tag.call) == Some(&number)
        {
            self.tags.remove(&tag.call);
        }
        Some(waiting)
    }
}

/// Reads an id of ours back. Servers exist that turn a number into a string, and both official SDKs forgive it.
fn id_number(raw: &[u8]) -> Option<u64> {
    let digits = raw
        .strip_prefix(b"\"")
        .and_then(|raw| raw.strip_suffix(b"\""))
        .unwrap_or(raw);
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
