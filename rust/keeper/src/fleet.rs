//! The books: what runs, what happened, and what the daemon asks.
//!
//! One task owns them all, so nothing here is locked and everything happens in
//! one order. It never waits for an instance or for the daemon: orders and frames
//! are queued, and a full queue is an error told at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backstay_supervisor::McpPipes;
use backstay_supervisor::census::{Entry, own_pid};
use backstay_supervisor::event::{InstanceState, KeeperEvent};
use backstay_supervisor::log::file::LogFile;
use backstay_supervisor::log::pump::Log;
use backstay_supervisor::pipes::pipe_size;
use backstay_supervisor::restart::History;
use backstay_supervisor::signal::Signal;
use backstay_supervisor::spec::{InstanceSpec, Stdio};
use backstay_supervisor::wire::message::{Command, KeeperInfo, Outcome, Refusal, Request};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::closing::Closing;
use crate::connection::{Arrival, Connection, Outgoing, Said, reply};
use crate::held::Held;
use crate::instance::{Change, Instance, Order, Report};
use crate::keep::Surroundings;
use crate::leftovers::Leftover;
use crate::records::{Identity, Records, boot_id};
use crate::ring::{Ring, encode};

/// Most instances held.
const INSTANCES_MAX: usize = 2048;
/// Orders an instance may have waiting.
const ORDERS: usize = 16;
/// Time a whole fleet has to end before the rest is killed.
const CLOSING: Duration = Duration::from_secs(60);

/// All instances and whoever asks for them.
#[derive(Debug)]
pub(crate) struct Fleet {
    surroundings: Surroundings,
    clock: Instant,
    instances: BTreeMap<String, Held>,
    /// Instances with pipes, counted so that each start need not.
    servers: usize,
    started: u64,
    ring: Ring,
    reporting: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,
    arrivals: mpsc::Receiver<Arrival>,
    connection: Option<Connection>,
    /// Number of the newest event that went to some daemon.
    delivered: u64,
    /// Number of the newest event that a daemon said it dealt with.
    acknowledged: Option<u64>,
    records: watch::Sender<Records>,
    daemon: watch::Receiver<Option<Identity>>,
    closing: Option<(Closing, Instant)>,
}

impl Fleet {
    pub(crate) fn new(
        surroundings: Surroundings,
        arrivals: mpsc::Receiver<Arrival>,
        daemon: watch::Receiver<Option<Identity>>,
    ) -> Self {
        let (reporting, reports) = mpsc::channel(256);
        let own = Entry::read(own_pid()).map(|own| Identity {
            pid: own.pid,
            start_time: own.start_time,
        });
        let records = Records {
            boot: boot_id(),
            keeper: own,
            ..Records::default()
        };
        Self {
            surroundings,
            clock: Instant::now(),
            instances: BTreeMap::new(),
            servers: 0,
            started: 0,
            ring: Ring::default(),
            reporting,
            reports,
            arrivals,
            connection: None,
            delivered: 0,
            acknowledged: None,
            records: watch::channel(records).0,
            daemon,
            closing: None,
        }
    }

    /// What is to be on disk.
    pub(crate) fn records(&self) -> watch::Receiver<Records> {
        self.records.subscribe()
    }

    /// Tells of what a former keeper had left.
    pub(crate) fn report_leftovers(&mut self, leftovers: &[Leftover]) {
        for Leftover { name, pid } in leftovers {
            self.surroundings.log.note(&format!(
                "stopped {name} (pid {pid}), left by a keeper that had died"
            ));
            self.publish(
                KeeperEvent::Leftover {
                    name: name.clone(),
                    pid: *pid,
                },
                None,
            );
        }
    }

    /// Works until [`Self::close`] was called and all has ended. May be dropped at any point.
    pub(crate) async fn serve(&mut self) {
        while !self
            .closing
            .as_ref()
            .is_some_and(|(closing, _)| closing.is_done())
        {
            self.step().await;
        }
    }

    /// Works until dropped.
    pub(crate) async fn serve_forever(&mut self) {
        loop {
            self.step().await;
        }
    }

    /// Writes what the daemon has not been sent yet, and disconnects it.
    pub(crate) async fn farewell(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.finish().await;
        }
    }

    /// Ends all instances in order; asked twice, at once.
    pub(crate) fn close(&mut self, why: &str) {
        if let Some((closing, _)) = &mut self.closing {
            let left = closing.hurry();
            self.surroundings
                .log
                .note(&format!("{why} again: killing {} instances", left.len()));
            self.kill(&left);
            return;
        }
        let running = self
            .instances
            .values()
            .filter(|held| !held.view.state.is_over());
        let running = running.map(|held| {
            (
                held.order,
                held.view.service.clone(),
                held.view.name.clone(),
            )
        });
        let closing = Closing::plan(running.collect());
        self.surroundings
            .log
            .note(&format!("{why}: ending the fleet"));
        self.closing = Some((closing, Instant::now() + CLOSING));
        self.go_on_closing();
    }

    async fn step(&mut self) {
        let deadline = self.closing.as_ref().map(|(_, deadline)| *deadline);
        tokio::select! {
            Some(report) = self.reports.recv() => self.take(report),
            Some(arrival) = self.arrivals.recv() => self.attach(arrival),
            said = next_said(&mut self.connection) => match said {
                Said::Request { request: Request { id, command }, raw } => {
                    let outcome = self.carry_out(command, &raw).unwrap_or_else(Outcome::Refused);
                    self.answer(id, outcome);
                }
                Said::Malformed { id, reason } => {
                    self.answer(id, Outcome::Refused(Refusal::Malformed { reason }));
                }
                Said::Gone => self.disconnect("it closed the connection"),
            },
            Ok(()) = self.daemon.changed() => {
                let daemon = *self.daemon.borrow_and_update();
                self.records.send_modify(|records| records.daemon = daemon);
            }
            () = until(deadline) => {
                self.close("the time to end is over");
                // Killed once; what even that does not end is reported by its own task.
                if let Some((_, deadline)) = &mut self.closing {
                    *deadline += CLOSING;
                }
            }
        }
    }

    fn take(&mut self, Report { name, change }: Report) {
        let Some(held) = self.instances.get_mut(&name) else {
            return;
        };
        let pipes = match &change {
            Change::Spawned { pipes, .. } => pipes.clone(),
            _ => None,
        };
        let over = matches!(change, Change::Over { .. } | Change::Removed);
        let removed = matches!(change, Change::Removed);
        self.servers -= usize::from(held.pipes.is_some());
        let event = held.take(change);
        self.servers += usize::from(held.pipes.is_some());
        let record = held.record();
        self.records.send_if_modified(|records| match record {
            Some(record) => records.instances.insert(name.clone(), record.clone()) != Some(record),
            None => records.instances.remove(&name).is_some(),
        });
        if removed {
            self.instances.remove(&name);
        }
        if let Some(event) = event {
            self.publish(event, pipes);
        }
        if over && let Some((closing, _)) = &mut self.closing {
            closing.ended(&name);
            self.go_on_closing();
        }
    }

    fn publish(&mut self, event: KeeperEvent, pipes: Option<Arc<McpPipes>>) {
        let recorded = self.ring.record(event);
        let outgoing = Outgoing {
            json: recorded.json,
            raw: Bytes::new(),
            pipes,
            seq: Some(recorded.seq),
        };
        self.send(outgoing);
    }

    fn send(&mut self, outgoing: Outgoing) {
        if self
            .connection
            .as_ref()
            .is_some_and(|connection| !connection.send(outgoing))
        {
            self.disconnect("it reads too slowly");
        }
    }

    fn disconnect(&mut self, why: &str) {
        if let Some(connection) = self.connection.take() {
            self.delivered = self.delivered.max(connection.sent());
            self.surroundings
                .log
                .note(&format!("the daemon is disconnected: {why}"));
        }
    }

    /// Lets a daemon in: what it missed, what there is, and from then on what is new.
    fn attach(&mut self, arrival: Arrival) {
        self.disconnect("a newer one came");
        let (request, after) = (arrival.request, arrival.after);
        let known = after.or(self.acknowledged).unwrap_or(self.delivered);
        let last = self.ring.last();
        self.connection = Some(Connection::open(arrival, self.delivered));
        let info = KeeperInfo {
            pid: own_pid(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            live_from: last + 1,
        };
        let plain = |json| Outgoing {
            json,
            raw: Bytes::new(),
            pipes: None,
            seq: None,
        };
        self.send(plain(reply(request, Outcome::Attached(info))));
        let missed: Vec<_> = self.ring.after(known).cloned().collect();
        for recorded in missed {
            self.send(Outgoing {
                seq: Some(recorded.seq),
                ..plain(recorded.json)
            });
        }
        let adopted: Vec<_> = self
            .instances
            .values()
            .map(|held| adopted(held, last))
            .collect();
        for outgoing in adopted {
            self.send(outgoing);
        }
        self.send(Outgoing {
            seq: Some(last),
            ..plain(encode(last, KeeperEvent::AdoptedAll))
        });
    }

    fn answer(&mut self, id: u64, outcome: Outcome) {
        self.send(Outgoing {
            json: reply(id, outcome),
            raw: Bytes::new(),
            pipes: None,
            seq: None,
        });
    }

    fn carry_out(&mut self, command: Command, raw: &Bytes) -> Result<Outcome, Refusal> {
        match command {
            Command::Start { spec } => self.start(*spec)?,
            Command::Stop { name } => self.order(&name, Order::Stop)?.wanted = false,
            Command::Remove { name } => self.order(&name, Order::Remove)?.wanted = false,
            Command::Restart { name } => {
                self.open()?;
                self.order(&name, Order::Restart)?.wanted = true;
            }
            Command::Signal { name, signal } => self.signal(&name, &signal)?,
            Command::SetNote { name, pid } => {
                let held = self.find(&name)?;
                if pid.is_none_or(|pid| held.view.pid == Some(pid)) {
                    held.note = raw.clone();
                }
            }
            Command::Acknowledge { seq } => self.acknowledged = self.acknowledged.max(Some(seq)),
            Command::List => {
                return Ok(Outcome::Instances(
                    self.instances
                        .values()
                        .map(|held| held.view.clone())
                        .collect(),
                ));
            }
            Command::Shutdown if self.closing.is_none() => self.close("the daemon asks"),
            Command::Shutdown => {}
            Command::Attach { .. } => {
                return Err(Refusal::Malformed {
                    reason: "this connection is attached".to_owned(),
                });
            }
        }
        Ok(Outcome::Done)
    }

    fn start(&mut self, spec: InstanceSpec) -> Result<(), Refusal> {
        self.open()?;
        spec.validate()?;
        let pipe_size = if spec.stdio == Stdio::Mcp {
            pipe_size(self.servers)
        } else {
            0
        };
        let spec = Arc::new(spec);
        self.started += 1;
        let order = self.started;
        if let Some(held) = self.instances.get_mut(&spec.name) {
            if held.wanted && !held.view.state.is_over() {
                let same = held.spec == spec;
                let (name, revision) = (spec.name.clone(), held.spec.revision);
                return if same {
                    Ok(())
                } else {
                    Err(Refusal::AlreadyRunning { name, revision })
                };
            }
            let start = Order::Start {
                spec: Arc::clone(&spec),
                pipe_size,
            };
            let name = spec.name.clone();
            held.orders
                .try_send(start)
                .map_err(|_| Refusal::Busy { name })?;
            (held.spec, held.order, held.wanted) = (spec, order, true);
            return Ok(());
        }
        if self.instances.len() >= INSTANCES_MAX {
            return Err(Refusal::Full {
                limit: INSTANCES_MAX,
            });
        }
        let (orders, receiver) = mpsc::channel(ORDERS);
        self.instances.insert(
            spec.name.clone(),
            Held::new(Arc::clone(&spec), order, orders),
        );
        let log = Log::new(LogFile::new(&self.surroundings.logs, &spec.name, spec.log));
        let instance = Instance {
            surroundings: self.surroundings.clone(),
            spec,
            pipe_size,
            log,
            orders: receiver,
            reports: self.reporting.clone(),
            clock: self.clock,
            history: History::default(),
            restarts: 0,
        };
        tokio::spawn(instance.run());
        Ok(())
    }

    fn open(&self) -> Result<(), Refusal> {
        if self.closing.is_some() {
            Err(Refusal::ShuttingDown)
        } else {
            Ok(())
        }
    }

    fn find(&mut self, name: &str) -> Result<&mut Held, Refusal> {
        self.instances
            .get_mut(name)
            .ok_or_else(|| Refusal::UnknownInstance {
                name: name.to_owned(),
            })
    }

    fn order(&mut self, name: &str, order: Order) -> Result<&mut Held, Refusal> {
        let held = self.find(name)?;
        held.orders.try_send(order).map_err(|_| Refusal::Busy {
            name: name.to_owned(),
        })?;
        Ok(held)
    }

    fn signal(&mut self, name: &str, signal: &str) -> Result<(), Refusal> {
        let number = Signal::parse(signal).ok_or_else(|| Refusal::Signal {
            signal: signal.to_owned(),
        })?;
        let held = self.find(name)?;
        let sent = held.process.as_ref().is_some_and(|process| {
            // Whoever kills what is being stopped already means all of it, and now.
            if number == Signal::KILL && held.view.state == InstanceState::Stopping {
                process.hurry.up();
            }
            process.child.signal(number).is_ok() || held.view.state == InstanceState::Stopping
        });
        if sent {
            Ok(())
        } else {
            Err(Refusal::NotRunning {
                name: name.to_owned(),
            })
        }
    }

    fn go_on_closing(&mut self) {
        while let Some((closing, _)) = &mut self.closing {
            let next = closing.next();
            if next.is_empty() {
                return;
            }
            for name in next {
                let over = self
                    .instances
                    .get(&name)
                    .is_none_or(|held| held.view.state.is_over());
                let ordered = !over && self.order(&name, Order::Stop).is_ok();
                if !ordered && let Some((closing, _)) = &mut self.closing {
                    closing.ended(&name);
                    self.kill(&[name]);
                }
            }
        }
    }

    fn kill(&mut self, names: &[String]) {
        for name in names {
            let Some(held) = self.instances.get(name) else {
                continue;
            };
            if let Some(process) = &held.process {
                process.hurry.up();
            }
            let _ordered_already = held.orders.try_send(Order::Stop);
        }
    }
}

fn adopted(held: &Held, last: u64) -> Outgoing {
    let event = KeeperEvent::Adopted {
        instance: held.view.clone(),
        pipes: None,
        note: Vec::new(),
    };
    Outgoing {
        json: encode(last, event),
        raw: held.note.clone(),
        pipes: held.pipes.clone(),
        seq: None,
    }
}

async fn next_said(connection: &mut Option<Connection>) -> Said {
    match connection {
        Some(connection) => connection.said().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
