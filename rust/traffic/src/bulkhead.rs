//! A bulkhead: so many calls at a time, and a queue in front that sheds what it could only serve too late.
//!
//! A queue that is never empty only adds waiting. So as long as it empties now and then, a call may wait its whole
//! deadline; once it has not been empty for an interval, whoever waited longer than the target is shed (the
//! controlled delay of Nichols and Jacobson, "Controlling queue delay", as Maurer applies it to servers in "Fail at
//! scale", both in ACM Queue).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::time::Time;

/// How much goes through at a time, and how much may wait how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkheadConfig {
    /// Calls at a time.
    pub most: usize,
    /// Calls that may wait.
    pub queue: usize,
    /// How long one may wait.
    pub deadline: Duration,
    /// How long one may wait while the queue does not empty.
    pub target: Duration,
    /// How long the queue may go without being empty before `target` counts.
    pub interval: Duration,
}

impl BulkheadConfig {
    /// `most` at a time and the usual patience.
    pub fn new(most: usize, queue: usize, deadline: Duration) -> Self {
        Self {
            most,
            queue,
            deadline,
            target: Duration::from_millis(5).min(deadline),
            interval: Duration::from_millis(100),
        }
    }
}

/// Why a call was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// As many wait as may.
    Full,
    /// It waited too long.
    Late,
}

/// A place among those that go through; dropping it lets the next one in.
#[derive(Debug)]
pub struct Ticket(Option<Arc<Shared>>);

/// What a call gets when it comes.
#[derive(Debug)]
pub enum Place {
    /// It may go.
    In(Ticket),
    /// It waits; what is received says whether it may go. Whoever stops waiting drops the receiver.
    Waiting(oneshot::Receiver<Result<Ticket, Shed>>),
}

#[derive(Debug)]
struct Shared {
    config: BulkheadConfig,
    origin: std::time::Instant,
    /// Held for one step; tickets are handed on outside it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: usize,
    waiting: VecDeque<Waiting>,
    /// When nobody waited last.
    empty_at: Time,
}

#[derive(Debug)]
struct Waiting {
    since: Time,
    tell: oneshot::Sender<Result<Ticket, Shed>>,
}

/// See the module. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Bulkhead(Arc<Shared>);

impl Bulkhead {
    /// An empty one; `origin` is where its [`Time`]s count from.
    pub fn new(config: BulkheadConfig, origin: std::time::Instant) -> Self {
        Self(Arc::new(Shared {
            config,
            origin,
            state: Mutex::new(State {
                running: 0,
                waiting: VecDeque::new(),
                empty_at: Time(0),
            }),
        }))
    }

    /// A call comes.
    ///
    /// # Errors
    /// [`Shed::Full`].
    pub fn enter(&self, now: Time) -> Result<Place, Shed> {
        let shared = &self.0;
        let mut state = shared.state.lock();
        if state.running < shared.config.most {
            state.running += 1;
            state.empty_at = now;
            return Ok(Place::In(Ticket(Some(Arc::clone(shared)))));
        }
        // Those who went away make room.
        if state.waiting.len() >= shared.config.queue {
            state.waiting.retain(|one| !one.tell.is_closed());
        }
        if state.waiting.len() >= shared.config.queue {
            return Err(Shed::Full);
        }
        if state.waiting.is_empty() {
            state.empty_at = now;
        }
        let (tell, hear) = oneshot::channel();
        state.waiting.push_back(Waiting { since: now, tell });
        Ok(Place::Waiting(hear))
    }

    /// How long a call should wait for its place at most; then it drops the receiver.
    pub fn deadline(&self) -> Duration {
        self.0.config.deadline
    }

    /// How many go through now, and how many wait.
    pub fn load(&self) -> (usize, usize) {
        let state = self.0.state.lock();
        (state.running, state.waiting.len())
    }
}

impl Shared {
    /// A place is free: who gets it, and who is told that it was too late.
    fn leave(self: &Arc<Self>, now: Time) {
        let mut late = Vec::new();
        let next = {
            let mut state = self.state.lock();
            state.running -= 1;
            let standing = state.empty_at.until(now) > self.config.interval;
            let patience = if standing {
                self.config.target
            } else {
                self.config.deadline
            };
            let next = loop {
                let Some(one) = state.waiting.pop_front() else {
                    state.empty_at = now;
                    break None;
                };
                if one.tell.is_closed() {
                    continue;
                }
                if one.since.until(now) > patience {
                    late.push(one.tell);
                    continue;
                }
                state.running += 1;
                break Some(one.tell);
            };
            if state.waiting.is_empty() {
                state.empty_at = now;
            }
            next
        };
        for tell in late {
            let _ = tell.send(Err(Shed::Late));
        }
        // Where it went away meanwhile, the ticket comes back with the message and is dropped here.
        if let Some(tell) = next {
            drop(tell.send(Ok(Ticket(Some(Arc::clone(self))))));
        }
    }
}

impl Ticket {
    /// Give the place back at this time; dropping the ticket does so now.
    pub fn leave(mut self, now: Time) {
        if let Some(shared) = self.0.take() {
            shared.leave(now);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            let now = Time::since(shared.origin);
            shared.leave(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn bulkhead(most: usize, queue: usize) -> Bulkhead {
        let config = BulkheadConfig::new(most, queue, Duration::from_secs(1));
        Bulkhead::new(config, Instant::now())
    }

    fn entered(bulkhead: &Bulkhead, now: Time) -> Ticket {
        match bulkhead.enter(now) {
            Ok(Place::In(ticket)) => ticket,
            other => panic!("not let in: {other:?}"),
        }
    }

    fn waiting(bulkhead: &Bulkhead, now: Time) -> oneshot::Receiver<Result<Ticket, Shed>> {
        match bulkhead.enter(now) {
            Ok(Place::Waiting(hear)) => hear,
            other => panic!("does not wait: {other:?}"),
        }
    }

    const MILLI: u64 = 1_000_000;

    #[test]
    fn so_many_go_through_and_the_rest_waits_in_order() {
        let bulkhead = bulkhead(1, 2);
        let first = entered(&bulkhead, Time(0));
        let (mut second, mut third) = (waiting(&bulkhead, Time(0)), waiting(&bulkhead, Time(1)));
        assert_eq!(bulkhead.enter(Time(2)).unwrap_err(), Shed::Full);
        assert_eq!(bulkhead.load(), (1, 2));
        first.leave(Time(3));
        let second = second.try_recv().unwrap().unwrap();
        assert!(third.try_recv().is_err());
        second.leave(Time(4));
        third.try_recv().unwrap().unwrap().leave(Time(5));
        assert_eq!(bulkhead.load(), (0, 0));
    }

    #[test]
    fn who_went_away_leaves_a_place() {
        let bulkhead = bulkhead(1, 1);
        let first = entered(&bulkhead, Time(0));
        drop(waiting(&bulkhead, Time(0)));
        let mut third = waiting(&bulkhead, Time(0));
        first.leave(Time(1));
        third.try_recv().unwrap().unwrap();
    }

    #[test]
    fn while_the_queue_stands_late_ones_are_shed() {
        let bulkhead = bulkhead(1, 10);
        let first = entered(&bulkhead, Time(0));
        let mut late = waiting(&bulkhead, Time(0));
        let mut fresh = waiting(&bulkhead, Time(198 * MILLI));
        first.leave(Time(200 * MILLI));
        assert!(matches!(late.try_recv(), Ok(Err(Shed::Late))));
        assert!(fresh.try_recv().unwrap().is_ok());
    }

    #[test]
    fn while_the_queue_empties_now_and_then_one_may_wait_its_deadline() {
        let bulkhead = bulkhead(1, 10);
        let first = entered(&bulkhead, Time(900 * MILLI));
        let mut second = waiting(&bulkhead, Time(901 * MILLI));
        first.leave(Time(990 * MILLI));
        assert!(second.try_recv().unwrap().is_ok());
    }

    #[test]
    fn under_threads_no_more_go_through_than_may_and_no_place_is_lost() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let origin = Instant::now();
        let config = BulkheadConfig {
            target: Duration::from_secs(60),
            ..BulkheadConfig::new(3, 1000, Duration::from_secs(60))
        };
        let bulkhead = Bulkhead::new(config, origin);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let ticket = match bulkhead.enter(Time::since(origin)).unwrap() {
                            Place::In(ticket) => ticket,
                            Place::Waiting(hear) => hear.blocking_recv().unwrap().unwrap(),
                        };
                        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                        inside.fetch_sub(1, SeqCst);
                        drop(ticket);
                    }
                });
            }
        });
        assert!(most.load(SeqCst) <= 3);
        assert_eq!(bulkhead.load(), (0, 0));
    }
}
