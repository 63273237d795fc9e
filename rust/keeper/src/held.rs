//! An instance as the fleet's books have it.

use std::sync::Arc;

use backstay_supervisor::McpPipes;
use backstay_supervisor::event::{InstanceState, InstanceView, KeeperEvent};
use backstay_supervisor::probe::Health;
use backstay_supervisor::spec::InstanceSpec;
use backstay_supervisor::watch::Exit;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::instance::{Change, Order, Process};
use crate::records::{Identity, Record};

/// What the keeper knows of one instance.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) spec: Arc<InstanceSpec>,
    /// Its place in the order of starting.
    pub(crate) order: u64,
    /// Whether the last order was one to run.
    pub(crate) wanted: bool,
    pub(crate) view: InstanceView,
    pub(crate) orders: mpsc::Sender<Order>,
    /// Its process while it has one.
    pub(crate) process: Option<Process>,
    pub(crate) pipes: Option<Arc<McpPipes>>,
    pub(crate) note: Bytes,
}

impl Held {
    pub(crate) fn new(spec: Arc<InstanceSpec>, order: u64, orders: mpsc::Sender<Order>) -> Self {
        let view = InstanceView {
            name: spec.name.clone(),
            service: spec.service.clone(),
            revision: spec.revision,
            state: InstanceState::Starting,
            pid: None,
            started_at: None,
            restarts: 0,
            reason: None,
        };
        Self {
            spec,
            order,
            wanted: true,
            view,
            orders,
            process: None,
            pipes: None,
            note: Bytes::new(),
        }
    }

    /// Takes a change in, and makes the event that tells of it.
    pub(crate) fn take(&mut self, change: Change) -> Option<KeeperEvent> {
        let name = self.view.name.clone();
        let event = match change {
            Change::Spawned {
                process,
                started_at,
                restarts,
                pipes,
            } => {
                return Some(self.spawned(process, started_at, restarts, pipes));
            }
            Change::Health(Health::Ready) => {
                self.state(InstanceState::Ready, None);
                KeeperEvent::Ready { name }
            }
            Change::Health(Health::Unhealthy(reason)) => {
                self.state(InstanceState::Unhealthy, Some(reason.clone()));
                KeeperEvent::Unhealthy { name, reason }
            }
            Change::Stopping => {
                self.state(InstanceState::Stopping, None);
                self.pipes = None;
                KeeperEvent::Stopping { name }
            }
            Change::Exited {
                pid,
                exit,
                restart_in_ms,
                tail,
            } => {
                self.gone();
                self.state(InstanceState::Backoff, exit.map(|exit| exit.to_string()));
                KeeperEvent::Exited {
                    name,
                    pid,
                    code: exit.and_then(Exit::code),
                    signal: exit.and_then(Exit::signal),
                    will_restart_in_ms: restart_in_ms,
                    tail,
                }
            }
            Change::Over {
                state,
                reason,
                tail,
            } => {
                self.gone();
                self.state(state, (!reason.is_empty()).then(|| reason.clone()));
                match state {
                    InstanceState::Failed => KeeperEvent::Failed { name, reason, tail },
                    InstanceState::Stopped => KeeperEvent::Stopped { name },
                    // Its exit has been told; that it has no restart says the rest.
                    _ => return None,
                }
            }
            Change::Removed => {
                self.gone();
                KeeperEvent::Removed { name }
            }
        };
        Some(event)
    }

    fn spawned(
        &mut self,
        process: Process,
        started_at: u64,
        restarts: u32,
        pipes: Option<Arc<McpPipes>>,
    ) -> KeeperEvent {
        let pid = process.child.pid();
        self.process = Some(process);
        self.pipes = pipes;
        self.view.pid = Some(pid);
        self.view.started_at = Some(started_at);
        self.view.restarts = restarts;
        self.view.revision = self.spec.revision;
        self.state(InstanceState::Starting, None);
        KeeperEvent::Spawned {
            name: self.view.name.clone(),
            service: self.view.service.clone(),
            revision: self.view.revision,
            pid,
            started_at,
            restarts,
            pipes: None,
        }
    }

    fn state(&mut self, state: InstanceState, reason: Option<String>) {
        self.view.state = state;
        self.view.reason = reason;
    }

    fn gone(&mut self) {
        self.process = None;
        self.pipes = None;
        self.note = Bytes::new();
        self.view.pid = None;
        self.view.started_at = None;
    }

    /// What is written down about its process.
    pub(crate) fn record(&self) -> Option<Record> {
        let Process {
            child, start_time, ..
        } = self.process.as_ref()?;
        Some(Record {
            service: self.view.service.clone(),
            revision: self.view.revision,
            process: Identity {
                pid: child.pid(),
                start_time: *start_time,
            },
        })
    }
}
