//! The books: what runs, what happened, and what the daemon asks.
//!
//! One task owns them all, so nothing here is locked and everything happens in
//! one order. It never waits for an instance or for the daemon: orders and frames
//! are queued, and a full queue is an error told at once.
//!
//! Here the books are kept; [`orders`] is what the daemon asks of them, [`attached`] what it is told, [`listening`]
//! the sockets it has held, [`ending`] how the whole fleet ends.

mod attached;
mod ending;
mod listening;
mod orders;

use std::collections::BTreeMap;

use backstay_supervisor::census::{Entry, own_pid};
use backstay_supervisor::event::KeeperEvent;
use backstay_supervisor::wire::message::{Outcome, Refusal, Request};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::attached::next_said;
use self::ending::{CLOSING, until};
use self::listening::Listeners;
use crate::closing::Closing;
use crate::connection::{Arrival, Connection, Said, With};
use crate::held::Held;
use crate::instance::{Change, Report};
use crate::keep::Surroundings;
use crate::leftovers::Leftover;
use crate::records::{Identity, Records, boot_id};
use crate::ring::Ring;

/// All instances and whoever asks for them.
#[derive(Debug)]
pub(crate) struct Fleet {
    surroundings: Surroundings,
    clock: Instant,
    instances: BTreeMap<String, Held>,
    /// Sockets that listen for the daemon and its successors.
    listeners: Listeners,
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
            listeners: Listeners::default(),
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

    async fn step(&mut self) {
        let deadline = self.closing.as_ref().map(|(_, deadline)| *deadline);
        tokio::select! {
            Some(report) = self.reports.recv() => self.take(report),
            Some(arrival) = self.arrivals.recv() => self.attach(arrival),
            said = next_said(&mut self.connection) => match said {
                Said::Request { request: Request { id, command }, raw } => {
                    let (outcome, with) = self
                        .carry_out(command, &raw)
                        .unwrap_or_else(|refusal| (Outcome::Refused(refusal), With::Nothing));
                    self.answer(id, outcome, with);
                }
                Said::Malformed { id, reason } => {
                    let refused = Outcome::Refused(Refusal::Malformed { reason });
                    self.answer(id, refused, With::Nothing);
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
}
