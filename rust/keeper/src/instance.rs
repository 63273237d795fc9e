//! One instance's life: started, watched, restarted by its policy, ended on order.
//!
//! A task of its own that takes orders and reports changes; it knows neither the
//! daemon nor the other instances. What its reports become is in `fleet.rs`.

use std::sync::Arc;
use std::time::Duration;

use backstay_supervisor::log::format::Source;
use backstay_supervisor::log::pump::Log;
use backstay_supervisor::probe::{self, Health, Means};
use backstay_supervisor::restart::{self, Decision, History};
use backstay_supervisor::spawn::{SpawnError, Spawned, spawn};
use backstay_supervisor::spec::InstanceSpec;
use backstay_supervisor::stop::{Hurry, Target, stop, sweep};
use backstay_supervisor::watch::{Child, Exit};
use backstay_supervisor::{McpPipes, event::InstanceState};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::keep::Surroundings;

/// Time for the last output to be read after everything that could write it is dead.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// The exit code a shell gives what it cannot run.
const NOT_STARTED: Exit = Exit::Code(126);

/// What an instance can be told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Start, by this spec; an order that comes while it runs is for after its end.
    Start {
        spec: Arc<InstanceSpec>,
        pipe_size: usize,
    },
    Stop,
    Restart,
    Remove,
}

/// What became of an instance.
#[derive(Debug)]
pub(crate) enum Change {
    Spawned {
        process: Process,
        started_at: u64,
        restarts: u32,
        pipes: Option<Arc<McpPipes>>,
    },
    Health(Health),
    Stopping,
    Exited {
        pid: i32,
        exit: Option<Exit>,
        restart_in_ms: Option<u64>,
        tail: String,
    },
    /// It is over, for now: stopped, completed or failed.
    Over {
        state: InstanceState,
        reason: String,
        tail: String,
    },
    Removed,
}

/// An instance's main process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) child: Arc<Child>,
    /// When it started, in clock ticks since boot.
    pub(crate) start_time: u64,
    /// Cuts its stop short.
    pub(crate) hurry: Hurry,
}

/// A change and whose it is.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) change: Change,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) surroundings: Surroundings,
    pub(crate) spec: Arc<InstanceSpec>,
    pub(crate) pipe_size: usize,
    pub(crate) log: Log,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) reports: mpsc::Sender<Report>,
    /// When the keeper began to count.
    pub(crate) clock: Instant,
    pub(crate) history: History,
    pub(crate) restarts: u32,
}

/// What an instance does next.
enum Next {
    Start,
    WaitToRestart(Duration),
    WaitForOrders,
    End,
}

/// A process that runs.
struct Running {
    process: Process,
    pipes: Option<Arc<McpPipes>>,
    pumps: JoinSet<std::io::Result<()>>,
}

impl Instance {
    /// Lives until it is removed.
    pub(crate) async fn run(mut self) {
        let mut next = Next::Start;
        loop {
            next = match next {
                Next::Start => self.live().await,
                Next::WaitToRestart(after) => self.wait_to_restart(after).await,
                Next::WaitForOrders => match self.orders.recv().await {
                    Some(order) => self.obey(order).await,
                    None => Next::End,
                },
                Next::End => return,
            };
        }
    }

    async fn live(&mut self) -> Next {
        self.history.started_at_ms = self.now_ms();
        let (spec, log) = (Arc::clone(&self.spec), self.log.clone());
        log.begin();
        let (means, notify) = match Means::prepare(spec.probe.as_ref(), &log) {
            Ok(prepared) => prepared,
            Err(source) => return self.not_started(system(&spec, source)).await,
        };
        let more: Vec<_> = notify
            .into_iter()
            .map(|address| ("NOTIFY_SOCKET", address))
            .collect();
        let inheritance = self.surroundings.inheritance;
        let spawned = match spawn(
            &self.surroundings.house,
            &spec,
            &more,
            self.pipe_size,
            inheritance,
        ) {
            Ok(spawned) => spawned,
            Err(error) => return self.not_started(error).await,
        };
        let running = self.spawned(spawned).await;
        let (changes, mut health) = mpsc::channel(4);
        let house = self.surroundings.house.clone();
        // Polled here and not in a task: it ends with this process, at the same moment.
        let probing = probe::watch(house, spec, inheritance, means, changes);
        tokio::pin!(probing);
        let mut asked = false;
        loop {
            tokio::select! {
                _ = running.process.child.ended() => break,
                order = self.orders.recv() => match order {
                    // It runs by this very spec; the fleet lets no other through.
                    Some(Order::Start { .. }) => {}
                    Some(order) => return self.end(running, order).await,
                    None => return self.end(running, Order::Remove).await,
                },
                Some(change) = health.recv() => self.report(Change::Health(change)).await,
                () = &mut probing, if !asked => asked = true,
            }
        }
        self.ended(running).await
    }

    async fn spawned(&mut self, spawned: Spawned) -> Running {
        let Spawned {
            child,
            start_time,
            started_at,
            pipes,
            stdout,
            stderr,
        } = spawned;
        let mut pumps = JoinSet::new();
        for (pipe, source) in [(stdout, Source::Out), (Some(stderr), Source::Err)] {
            if let Some(pipe) = pipe {
                pumps.spawn(self.log.clone().pump(pipe, source));
            }
        }
        let process = Process {
            child: Arc::new(child),
            start_time,
            hurry: Hurry::default(),
        };
        let pipes = pipes.map(Arc::new);
        let change = Change::Spawned {
            process: process.clone(),
            started_at,
            restarts: self.restarts,
            pipes: pipes.clone(),
        };
        self.report(change).await;
        Running {
            process,
            pipes,
            pumps,
        }
    }

    /// It ended of its own accord.
    async fn ended(&mut self, running: Running) -> Next {
        let Running {
            process,
            pipes,
            pumps,
        } = running;
        let Process {
            child, start_time, ..
        } = process;
        drop(pipes);
        let target = Target {
            name: &self.spec.name,
            child: &child,
            start_time,
        };
        let ended = sweep(&self.surroundings.house, target).await;
        let tail = self.last_words(pumps).await;
        self.decide(child.pid(), ended.exit.unwrap_or(Exit::Signal(9)), tail)
            .await
    }

    async fn decide(&mut self, pid: i32, exit: Exit, tail: String) -> Next {
        let (policy, now) = (&self.spec.restart, self.now_ms());
        let decision = restart::decide(policy, self.history, exit, now, restart::roll());
        let restart_in_ms = match &decision {
            Decision::Restart { after_ms, .. } => Some(*after_ms),
            _ => None,
        };
        let exit = (pid != 0).then_some(exit);
        self.report(Change::Exited {
            pid,
            exit,
            restart_in_ms,
            tail: tail.clone(),
        })
        .await;
        match decision {
            Decision::Restart { after_ms, in_a_row } => {
                self.history.in_a_row = in_a_row;
                self.restarts = self.restarts.saturating_add(1);
                Next::WaitToRestart(Duration::from_millis(after_ms))
            }
            Decision::Complete => {
                self.over(InstanceState::Completed, String::new(), tail)
                    .await
            }
            Decision::GiveUp { reason } => self.over(InstanceState::Failed, reason, tail).await,
        }
    }

    async fn not_started(&mut self, error: SpawnError) -> Next {
        let reason = error.to_string();
        self.log.note(&reason);
        if error.is_passing() {
            return self.decide(0, NOT_STARTED, reason).await;
        }
        self.over(InstanceState::Failed, reason, String::new())
            .await
    }

    /// It is to end.
    async fn end(&mut self, running: Running, order: Order) -> Next {
        let Running {
            process,
            pipes,
            pumps,
        } = running;
        let Process {
            child,
            start_time,
            hurry,
        } = process;
        self.report(Change::Stopping).await;
        // Its standard input ends with the last write end; its output stays readable, as
        // a server may still say something and should not die of it.
        let output = pipes
            .as_ref()
            .and_then(|pipes| pipes.stdout.try_clone().ok());
        drop(pipes);
        let target = Target {
            name: &self.spec.name,
            child: &child,
            start_time,
        };
        let stopped = stop(&self.surroundings.house, target, &self.spec.stop, &hurry).await;
        drop(output);
        let tail = self.last_words(pumps).await;
        if stopped.exit.is_none() {
            let reason = format!("process {} does not end, not even by SIGKILL", child.pid());
            return self.over(InstanceState::Failed, reason, tail).await;
        }
        self.obey(order).await
    }

    /// Carries out an order while nothing runs.
    async fn obey(&mut self, order: Order) -> Next {
        match order {
            Order::Start { spec, pipe_size } => {
                self.log.set_policy(spec.log);
                self.spec = spec;
                self.pipe_size = pipe_size;
                self.begin_anew()
            }
            Order::Stop => {
                self.over(InstanceState::Stopped, String::new(), String::new())
                    .await
            }
            Order::Restart => {
                self.over(InstanceState::Stopped, String::new(), String::new())
                    .await;
                self.begin_anew()
            }
            Order::Remove => {
                self.report(Change::Removed).await;
                Next::End
            }
        }
    }

    fn begin_anew(&mut self) -> Next {
        self.history = History::default();
        self.restarts = 0;
        Next::Start
    }

    async fn wait_to_restart(&mut self, after: Duration) -> Next {
        tokio::select! {
            () = sleep(after) => Next::Start,
            order = self.orders.recv() => self.obey(order.unwrap_or(Order::Remove)).await,
        }
    }

    async fn over(&mut self, state: InstanceState, reason: String, tail: String) -> Next {
        self.report(Change::Over {
            state,
            reason,
            tail,
        })
        .await;
        Next::WaitForOrders
    }

    /// The end of its log, once all of it is read.
    async fn last_words(&self, mut pumps: JoinSet<std::io::Result<()>>) -> String {
        let read = async { while pumps.join_next().await.is_some() {} };
        if timeout(LAST_WORDS, read).await.is_err() {
            // Someone we did not find holds the other end: they go on reading.
            pumps.detach_all();
        }
        self.log.tail()
    }

    async fn report(&self, change: Change) {
        let report = Report {
            name: self.spec.name.clone(),
            change,
        };
        let _keeper_ends = self.reports.send(report).await;
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn system(spec: &InstanceSpec, source: std::io::Error) -> SpawnError {
    SpawnError::System {
        program: spec.argv[0].clone(),
        source,
    }
}
