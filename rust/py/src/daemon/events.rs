//! The keeper's events as Python reads them.

use backstay_supervisor::{InstanceState, InstanceView, KeeperEvent};
use serde::Serialize;

/// One event of the keeper, or about it.
#[derive(Debug, Serialize)]
#[serde(tag = "kind")]
pub(super) enum Told<'a> {
    #[serde(rename = "instance.adopted")]
    Adopted {
        instance: &'a str,
        service: &'a str,
        pid: Option<i32>,
        state: InstanceState,
        revision: u64,
        restarts: u32,
        started_at: Option<u64>,
        reason: Option<&'a str>,
    },
    #[serde(rename = "keeper.adopted_all")]
    AdoptedAll {},
    #[serde(rename = "instance.spawned")]
    Spawned {
        instance: &'a str,
        service: &'a str,
        pid: i32,
        revision: u64,
        started_at: u64,
        restarts: u32,
        replayed: bool,
    },
    #[serde(rename = "instance.ready")]
    Ready {
        instance: &'a str,
        service: &'a str,
        replayed: bool,
    },
    #[serde(rename = "instance.unhealthy")]
    Unhealthy {
        instance: &'a str,
        service: &'a str,
        reason: &'a str,
        replayed: bool,
    },
    #[serde(rename = "instance.stopping")]
    Stopping {
        instance: &'a str,
        service: &'a str,
        replayed: bool,
    },
    #[serde(rename = "instance.exited")]
    Exited {
        instance: &'a str,
        service: &'a str,
        pid: i32,
        code: Option<i32>,
        signal: Option<&'a str>,
        will_restart_in_ms: Option<u64>,
        tail: &'a str,
        replayed: bool,
    },
    #[serde(rename = "instance.stopped")]
    Stopped {
        instance: &'a str,
        service: &'a str,
        replayed: bool,
    },
    #[serde(rename = "instance.failed")]
    Failed {
        instance: &'a str,
        service: &'a str,
        reason: &'a str,
        tail: &'a str,
        replayed: bool,
    },
    #[serde(rename = "instance.removed")]
    Removed {
        instance: &'a str,
        service: &'a str,
        replayed: bool,
    },
    #[serde(rename = "keeper.leftover")]
    Leftover {
        instance: &'a str,
        service: &'a str,
        pid: i32,
    },
    #[serde(rename = "keeper.refused")]
    Refused {
        instance: &'a str,
        service: &'a str,
        order: &'static str,
        reason: &'a str,
    },
    #[serde(rename = "keeper.lost")]
    Lost {},
}

/// `files.1` is an instance of `files`.
pub(super) fn service_of(instance: &str) -> &str {
    instance
        .rsplit_once('.')
        .map_or(instance, |(service, _)| service)
}

impl<'a> Told<'a> {
    /// The event in the contract's words. `replayed`: it happened while no daemon was there, and is history.
    pub(super) fn of(event: &'a KeeperEvent, replayed: bool) -> Self {
        match event {
            KeeperEvent::Adopted { instance, .. } => Self::adopted(instance),
            KeeperEvent::AdoptedAll => Self::AdoptedAll {},
            KeeperEvent::Spawned {
                name,
                service,
                revision,
                pid,
                started_at,
                restarts,
                ..
            } => Self::Spawned {
                instance: name,
                service,
                pid: *pid,
                revision: *revision,
                started_at: *started_at,
                restarts: *restarts,
                replayed,
            },
            KeeperEvent::Ready { name } => Self::Ready {
                instance: name,
                service: service_of(name),
                replayed,
            },
            KeeperEvent::Unhealthy { name, reason } => Self::Unhealthy {
                instance: name,
                service: service_of(name),
                reason,
                replayed,
            },
            KeeperEvent::Stopping { name } => Self::Stopping {
                instance: name,
                service: service_of(name),
                replayed,
            },
            KeeperEvent::Exited {
                name,
                pid,
                code,
                signal,
                will_restart_in_ms,
                tail,
            } => Self::Exited {
                instance: name,
                service: service_of(name),
                pid: *pid,
                code: *code,
                signal: signal.as_deref(),
                will_restart_in_ms: *will_restart_in_ms,
                tail,
                replayed,
            },
            KeeperEvent::Stopped { name } => Self::Stopped {
                instance: name,
                service: service_of(name),
                replayed,
            },
            KeeperEvent::Failed { name, reason, tail } => Self::Failed {
                instance: name,
                service: service_of(name),
                reason,
                tail,
                replayed,
            },
            KeeperEvent::Removed { name } => Self::Removed {
                instance: name,
                service: service_of(name),
                replayed,
            },
            KeeperEvent::Leftover { name, pid } => Self::Leftover {
                instance: name,
                service: service_of(name),
                pid: *pid,
            },
            KeeperEvent::Lost => Self::Lost {},
        }
    }

    fn adopted(view: &'a InstanceView) -> Self {
        Self::Adopted {
            instance: &view.name,
            service: &view.service,
            pid: view.pid,
            state: view.state,
            revision: view.revision,
            restarts: view.restarts,
            started_at: view.started_at,
            reason: view.reason.as_deref(),
        }
    }
}
