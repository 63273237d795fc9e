//! The attempts at one call: pick an instance, send, wait, learn from how it went, and perhaps once more.
//!
//! A call is tried again where the server certainly never saw it, or where its tool says that twice is as good as
//! once and nothing of the first attempt has reached the client; within the budget, after a pause that is never
//! the same, and on another instance where there is one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::{CallError, CallSink, Envelope, Era, Outgoing, Reply, Rewrite, RpcError};
use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::rounds;
use crate::call::Call;
use crate::core::Core;
use crate::fault;
use crate::fleet::{Ask, Chosen, Instance, Server, Unchosen};
use crate::modern::crossing;
use crate::traffic::{Outcome, Refusal, Slot, Traffic, Went};

/// See the module.
pub(super) struct Attempts<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) call: &'a Arc<Call>,
    pub(super) request: &'a Envelope,
    pub(super) server: &'a Arc<Server>,
    pub(super) traffic: &'a Traffic,
    pub(super) slot: Slot,
    /// Whether twice is as good as once.
    pub(super) may_repeat: bool,
    pub(super) rewrite: &'a Rewrite<'a>,
}

/// What came of a call.
pub(super) enum Ended<'a> {
    /// Its server answered, which is of this era.
    Answered(Reply, Era),
    Cancelled,
    /// It was not let go.
    Refused(Refusal<'a>),
    /// No instance is ready.
    Unavailable(RpcError),
    /// It was sent, and has no answer: one word for the metrics, and what its client is told.
    Failed(&'static str, RpcError),
}

/// Why an attempt has no answer.
enum Failure {
    Call(CallError),
    /// It is no call that this server can be asked; what its client is told.
    Told(RpcError),
}

type Answered = Result<Result<Reply, CallError>, RpcError>;

/// How long a call may take.
struct Clock {
    began: Instant,
    /// The longest silence of an attempt.
    attempt: Duration,
    /// When no other attempt begins any more.
    last_start: Duration,
    /// When it ends, whatever it does.
    end: Option<Instant>,
}

impl Clock {
    fn new(server: &Server, traffic: &Traffic) -> Self {
        let route = traffic.route();
        let call_timeout = server.route().call_timeout();
        let began = Instant::now();
        let overall = route.overall_ms.map(Duration::from_millis);
        Self {
            began,
            attempt: route.attempt_ms.map_or(call_timeout, Duration::from_millis),
            last_start: overall.unwrap_or(call_timeout),
            end: overall.map(|overall| began + overall),
        }
    }

    /// The longest silence from now on, a moment at the least: the call may have waited for its instance.
    fn silence(&self) -> Duration {
        let left = self.last_start.saturating_sub(self.began.elapsed());
        self.attempt.min(left.max(Duration::from_secs(1)))
    }
}

impl Clock {
    /// Waits for an answer until the call's time is over.
    async fn bound(
        &self,
        instance: &Instance,
        answered: impl Future<Output = Answered> + Unpin,
    ) -> Answered {
        let Some(end) = self.end else {
            return answered.await;
        };
        let late = |_| {
            Ok(Err(CallError::TimedOut {
                instance: instance.name.to_string(),
                after: self.last_start,
            }))
        };
        Box::pin(timeout_at(end, answered))
            .await
            .unwrap_or_else(late)
    }
}

impl<'a> Attempts<'a> {
    pub(super) async fn run(&self) -> Ended<'a> {
        let clock = Clock::new(self.server, self.traffic);
        self.traffic.budget.deposit();
        let chosen = match self.pick(None).await {
            Err(Unchosen::Unready(_)) if !self.core.is_settled() => {
                Box::pin(self.core.settle(|_| self.server.is_settled())).await;
                self.pick(None).await
            }
            chosen => chosen,
        };
        let to = match chosen {
            Ok(to) => to,
            Err(Unchosen::Failing(retry_after)) => {
                return Ended::Refused(Refusal::Failing { retry_after });
            }
            Err(Unchosen::Unready(error)) => return Ended::Unavailable(error),
        };
        match self.attempt(&to, &clock).await {
            Ok((reply, own)) => Ended::Answered(reply, own),
            Err(Failure::Told(error)) => Ended::Failed("rpc", error),
            Err(Failure::Call(CallError::Cancelled)) => Ended::Cancelled,
            // Boxed: what seldom happens must not make every call's future large.
            Err(Failure::Call(error)) => Box::pin(self.again(to, error, &clock)).await,
        }
    }

    async fn pick(&self, not: Option<&Instance>) -> Result<Chosen, Unchosen> {
        let ask = Ask {
            traffic: self.traffic,
            slot: self.slot,
            session: &self.call.session,
            not,
        };
        self.core.pick(self.server, &ask).await
    }

    /// Sends it once.
    async fn attempt(&self, to: &Chosen, clock: &Clock) -> Result<(Reply, Era), Failure> {
        let epoch = to.instance.epoch();
        let in_flight = to.instance.begin(self.call);
        self.call.sent_to(&to.upstream);
        let own = if to.upstream.is_modern() {
            Era::Modern
        } else {
            Era::Legacy
        };
        let eras = (self.call.session.era, own);
        let crossed;
        let rewrite = match eras {
            (Era::Modern, Era::Legacy) => {
                if let Some(state) = self.request.request_state() {
                    return Err(Failure::Told(self.core.modern.parked.why_unknown(&state)));
                }
                // Boxed: the future of every call would have to have room for it.
                crossed = Box::new(crossing::to_legacy(*self.rewrite));
                &*crossed
            }
            _ => self.rewrite,
        };
        let outgoing = backstay_mcp::Call {
            message: Outgoing::Forward {
                envelope: self.request,
                rewrite,
            },
            tag: Some(self.call.tag),
            timeout: Some(clock.silence()),
            sink: Some(Arc::clone(self.call) as Arc<dyn CallSink>),
            modern: match own {
                Era::Legacy => None,
                Era::Modern => Some(Box::new(self.call.for_modern_server(&to.upstream))),
            },
        };
        let answer = if eras == (Era::Legacy, Era::Modern) {
            // Boxed: the future of every call would have to have room for it.
            let asked = rounds::ask(self.call, &to.upstream, self.request, outgoing);
            clock.bound(&to.instance, Box::pin(asked)).await
        } else {
            let answered = pin!(to.upstream.call(outgoing));
            clock.bound(&to.instance, answered.map(Ok)).await
        };
        drop(in_flight);
        let answer = answer.map_err(Failure::Told)?;
        let outcome = answer.as_ref().map_or_else(Outcome::of, |_| Outcome::Good);
        let went = Went {
            instance: &to.instance.name,
            health: &to.instance.health,
            lane: to.lane.as_deref(),
            slot: self.slot,
            epoch,
        };
        self.core.learn(
            &**self.server,
            self.traffic.ejection.as_ref(),
            went,
            outcome,
        );
        answer.map(|reply| (reply, own)).map_err(Failure::Call)
    }

    /// An attempt failed: tries again as long as that is allowed. What is told in the end is what went wrong last.
    async fn again(&self, mut to: Chosen, mut error: CallError, clock: &Clock) -> Ended<'a> {
        for retry in 1..self.traffic.route().retries.attempts {
            if !self.may_try_again(&error, clock) || !self.traffic.budget.withdraw() {
                break;
            }
            sleep(self.traffic.backoff.wait(retry - 1, rand::random())).await;
            let Ok(next) = self.pick(Some(&to.instance)).await else {
                break; // why it failed says more than why it cannot be tried again
            };
            self.server.signals(&self.core.metrics).retries.inc();
            to = next;
            match self.attempt(&to, clock).await {
                Ok((reply, own)) => return Ended::Answered(reply, own),
                Err(Failure::Told(error)) => return Ended::Failed("rpc", error),
                Err(Failure::Call(CallError::Cancelled)) => return Ended::Cancelled,
                Err(Failure::Call(other)) => error = other,
            }
        }
        Ended::Failed(error.class(), self.told(&error))
    }

    fn may_try_again(&self, error: &CallError, clock: &Clock) -> bool {
        let helps = match error {
            CallError::Closed { .. }
            | CallError::Unreachable { .. }
            | CallError::Overloaded { .. }
            | CallError::TimedOut { .. }
            | CallError::NoAnswer { .. } => true,
            CallError::Http { status, .. } => matches!(status, 502..=504),
            CallError::Cancelled
            | CallError::TooLarge { .. }
            | CallError::AnswerTooLarge { .. }
            | CallError::BadResult { .. }
            | CallError::UnknownResult { .. } => false,
        };
        // A client that has seen progress, or answered a question, is in the middle of something.
        let repeats = self.may_repeat && !self.call.has_begun();
        helps && (error.never_sent() || repeats) && clock.began.elapsed() < clock.last_start
    }

    fn told(&self, error: &CallError) -> RpcError {
        let service = &self.server.service;
        match error {
            CallError::Closed {
                instance, reason, ..
            } => fault::lost(service, instance, &reason.to_string()),
            CallError::Unreachable { reason, .. } => {
                fault::unavailable(service, "unreachable", Some(reason), Some(1))
            }
            other => other.to_rpc(),
        }
    }
}
