//! Ending an instance: end-of-file, signal, `SIGKILL`; and all that it started.
//!
//! The main process is asked first, alone: many servers end their children
//! themselves, and some (`PostgreSQL`) badly mind their children being signalled
//! behind their back. What is left when it is gone is asked too, for the rest of
//! the grace period. Then everything is killed, and looked for until nothing is
//! found. What belongs to an instance is in [`crate::census`]. The main process's
//! exit is taken last: while it is not, its session's number cannot be a stranger's.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::census::{Entry, House};
use crate::signal::Signal;
use crate::spec::StopPolicy;
use crate::watch::{Child, Exit, Process};

/// Longest time after `SIGKILL`. Only a process in an uninterruptible system call
/// outlives it, and nothing can be done about that one.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// Least time left to children whose parent took the whole grace period.
const ORPHANS_GRACE: Duration = Duration::from_millis(200);

/// How a stop went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// How the main process ended; `None` if not even `SIGKILL` ended it in time.
    pub exit: Option<Exit>,
    /// Processes that nothing ended.
    pub survivors: Vec<i32>,
}

/// Who is to end.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The instance's name.
    pub name: &'a str,
    /// Its main process.
    pub child: &'a Child,
    /// When that started, in clock ticks since boot.
    pub start_time: u64,
}

/// Ends the waiting in a stop: what is left is killed at once.
#[derive(Clone, Debug, Default)]
pub struct Hurry(Arc<Notify>);

impl Hurry {
    /// From now on, or once the stop begins.
    pub fn up(&self) {
        self.0.notify_one();
    }
}

/// Ends an instance step by step. The caller has closed its standard input before,
/// where the policy begins with end-of-file.
pub async fn stop(
    house: &House,
    target: Target<'_>,
    policy: &StopPolicy,
    hurry: &Hurry,
) -> Stopped {
    // Taken while the main process lives: descent is lost with it.
    let mut known = hold(members(house, target).await);
    tokio::select! {
        () = ask(house, target, policy, &mut known) => {}
        () = hurry.0.notified() => {}
    }
    kill(house, target, known).await
}

/// Asks the main process, then what is left, until all have ended or their time has.
async fn ask(house: &House, target: Target<'_>, policy: &StopPolicy, known: &mut Vec<Process>) {
    let child = target.child;
    let patience = Duration::from_millis(policy.eof_grace_ms);
    let gone = policy.eof && timeout(patience, child.ended()).await.is_ok();
    let deadline = Instant::now() + Duration::from_millis(policy.grace_ms);
    if !gone {
        let signal = Signal::parse(&policy.signal).unwrap_or(Signal::TERM);
        let _gone_already = child.signal(signal);
        let _killed_below = timeout_at(deadline, child.ended()).await;
    }
    known.extend(hold(members(house, target).await));
    known.retain(|process| process.signal(Signal::TERM).is_ok());
    let deadline = deadline.max(Instant::now() + ORPHANS_GRACE);
    let _killed_below = timeout_at(deadline, all_ended(known)).await;
}

async fn members(
    house: &House,
    Target {
        name,
        child,
        start_time,
    }: Target<'_>,
) -> Vec<Entry> {
    house.census().await.members(name, child.pid(), start_time)
}

/// Kills whatever an instance has left behind, or all of it, and takes its exit.
pub async fn sweep(house: &House, target: Target<'_>) -> Stopped {
    kill(house, target, Vec::new()).await
}

async fn kill(house: &House, target: Target<'_>, mut known: Vec<Process>) -> Stopped {
    let child = target.child;
    let deadline = Instant::now() + KILL_DEADLINE;
    let _gone_already = child.signal(Signal::KILL);
    loop {
        known.retain(|process| process.signal(Signal::KILL).is_ok());
        let round = async {
            all_ended(&known).await;
            child.ended().await
        };
        let _out_of_time = timeout_at(deadline, round).await;
        // Between a look and the kill a process may have forked: look until none is left.
        let found = members(house, target).await;
        if found.is_empty() || Instant::now() >= deadline {
            let survivors = found.iter().map(|entry| entry.pid).collect();
            let exit = child.take_exit().ok().flatten();
            return Stopped { exit, survivors };
        }
        known = hold(found);
    }
}

/// Takes hold of processes; those that are gone, or whose number is another's by now, are left out.
pub(crate) fn hold(entries: Vec<Entry>) -> Vec<Process> {
    let held = |entry: Entry| {
        let process = Process::open(entry.pid).ok()?;
        // The identity is checked after the pidfd is open, so it is this process for good.
        entry.is_current().then_some(process)
    };
    entries.into_iter().filter_map(held).collect()
}

async fn all_ended(processes: &[Process]) {
    for process in processes {
        let _unwatchable = process.ended().await;
    }
}

/// Ends processes that are not ours to reap: those a dead keeper left behind.
pub async fn stop_strangers(processes: Vec<Entry>, grace: Duration) {
    let mut held = hold(processes);
    held.retain(|process| process.signal(Signal::TERM).is_ok());
    if timeout(grace, all_ended(&held)).await.is_err() {
        held.retain(|process| process.signal(Signal::KILL).is_ok());
        let _unkillable = timeout(KILL_DEADLINE, all_ended(&held)).await;
    }
}
