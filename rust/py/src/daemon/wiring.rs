//! Keeper and gateway, joined: pipes go to the gateway, notes to the keeper, and both halves' events into
//! one queue.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backstay_gateway::{
    Event, EventQueue, EventSink, Gateway, GatewayConfig, NoteSink, OwnAddress, Process, Processes,
    PublishedRoute, Routes, Weight, register_daemon,
};
use backstay_mcp::Pipes;
use backstay_supervisor::{
    InstanceSpec, InstanceState, KeeperClient, KeeperError, KeeperEvent, McpPipes, Reported,
};
use backstay_telemetry::{MetricError, Registry};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Note;
use super::events::{Told, service_of};

/// Orders that may wait for the keeper.
const MOST_ORDERS: usize = 65_536;
/// Upper bounds of the buckets for what takes seconds to minutes, such as an installation.
const LONG_SECONDS: [f64; 10] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0];
/// How long the end of the keeper may take.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// What Python wants of the keeper.
pub(super) enum Order {
    Start(Box<InstanceSpec>),
    Stop(String),
    Restart(String),
    Remove(String),
    Signal(String, String),
    Note(String, Option<i32>, Note),
    /// Listen for published services at these addresses and at no others.
    Addresses(Vec<OwnAddress>),
}

/// See the module.
pub(super) struct Wiring {
    pub(super) gateway: Gateway,
    registry: Registry,
    processes: Arc<Processes>,
    events: Arc<EventQueue>,
    orders: mpsc::Sender<Order>,
    /// The addresses that published services were last to have; none: nobody was asked yet. Held to compare.
    addresses: Mutex<Option<Vec<OwnAddress>>>,
    /// Waits for the keeper. Held for one move.
    waiting: Mutex<Option<mpsc::Receiver<Order>>>,
    /// Held for one copy.
    keeper: Mutex<Option<KeeperClient>>,
}

impl Wiring {
    pub(super) fn new(
        config: GatewayConfig,
        events: Arc<EventQueue>,
        runtime: &Handle,
    ) -> io::Result<Arc<Self>> {
        let registry = Registry::new();
        let processes = Processes::register(&registry).map_err(io::Error::other)?;
        register_daemon(&registry, config.generation, &events).map_err(io::Error::other)?;
        let (orders, waiting) = mpsc::channel(MOST_ORDERS);
        let sink: EventSink = {
            let (events, orders) = (Arc::clone(&events), orders.clone());
            Arc::new(move |event| {
                // What one session left in a process is for no other to find: nothing waits for Python here.
                let order = match &event {
                    Event::SessionEnded { instance, .. } => Some(Order::Restart(instance.clone())),
                    Event::SessionSpare { instance, .. } => Some(Order::Stop(instance.clone())),
                    _ => None,
                };
                if let Some(order) = order {
                    let _ = orders.try_send(order);
                }
                events.push(&event, None, event.weight());
            })
        };
        let notes: NoteSink = {
            let (orders, processes) = (orders.clone(), Arc::clone(&processes));
            Arc::new(move |instance, note| {
                let pid = processes.get(instance).map(|process| process.pid);
                // A full queue costs the next daemon a second handshake, no more.
                let _ = orders.try_send(Order::Note(instance.to_owned(), pid, note));
            })
        };
        let gateway = Gateway::new(config, registry.clone(), sink, notes, runtime)?;
        let waiting = Mutex::new(Some(waiting));
        Ok(Arc::new(Self {
            gateway,
            registry,
            processes,
            events,
            orders,
            addresses: Mutex::default(),
            waiting,
            keeper: Mutex::default(),
        }))
    }

    pub(super) async fn connect_keeper(self: &Arc<Self>, path: &Path) -> Result<(), KeeperError> {
        let (keeper, reported) = KeeperClient::connect(path).await?;
        *self.keeper.lock() = Some(keeper.clone());
        tokio::spawn(Arc::clone(self).hear(reported));
        if let Some(orders) = self.waiting.lock().take() {
            tokio::spawn(Arc::clone(self).carry_out(orders));
        }
        Ok(())
    }

    /// Has the keeper do something, in the order in which it was asked.
    pub(super) fn order(&self, order: Order) -> Result<(), KeeperError> {
        if self.keeper.lock().is_none() {
            return Err(KeeperError::Lost);
        }
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => KeeperError::Deadline,
            mpsc::error::TrySendError::Closed(_) => KeeperError::Lost,
        })
    }

    pub(super) async fn shutdown_keeper(&self) -> Result<(), KeeperError> {
        let keeper = self.keeper.lock().clone().ok_or(KeeperError::Lost)?;
        tokio::time::timeout(SHUTDOWN, keeper.shutdown())
            .await
            .unwrap_or(Err(KeeperError::Deadline))
    }

    pub(super) fn render_metrics(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.registry.render(&mut out);
        out
    }

    /// Sets one series of a gauge, which is shown beside the gateway's own.
    pub(super) fn set_gauge(
        &self,
        (name, help): (&str, &str),
        label: Option<(&str, &str)>,
        value: f64,
    ) -> Result<(), MetricError> {
        let (names, values): (Vec<_>, Vec<_>) = label.into_iter().unzip();
        let family = self.registry.gauge(name, help, &names)?;
        family.with(&values).set(value);
        Ok(())
    }

    /// Adds to one series of a counter.
    pub(super) fn add_count(
        &self,
        (name, help): (&str, &str),
        label: Option<(&str, &str)>,
        amount: f64,
    ) -> Result<(), MetricError> {
        let (names, values): (Vec<_>, Vec<_>) = label.into_iter().unzip();
        let family = self.registry.counter(name, help, &names)?;
        family.with(&values).add(amount);
        Ok(())
    }

    /// Adds an observation to one series of a histogram of seconds to minutes.
    pub(super) fn observe(
        &self,
        (name, help): (&str, &str),
        label: Option<(&str, &str)>,
        value: f64,
    ) -> Result<(), MetricError> {
        let (names, values): (Vec<_>, Vec<_>) = label.into_iter().unzip();
        let family = self.registry.histogram(name, help, &names, &LONG_SECONDS)?;
        family.with(&values).observe(value);
        Ok(())
    }

    async fn carry_out(self: Arc<Self>, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            let Some(keeper) = self.keeper.lock().clone() else {
                continue;
            };
            let (instance, what, outcome) = match order {
                Order::Start(spec) => {
                    let name = spec.name.clone();
                    (name, "start", keeper.start(*spec).await)
                }
                Order::Stop(name) => (name.clone(), "stop", keeper.stop(&name).await),
                Order::Restart(name) => (name.clone(), "restart", keeper.restart(&name).await),
                Order::Remove(name) => (name.clone(), "remove", keeper.remove(&name).await),
                Order::Signal(name, signal) => {
                    (name.clone(), "signal", keeper.signal(&name, &signal).await)
                }
                Order::Addresses(wanted) => {
                    self.listen(&keeper, &wanted).await;
                    continue;
                }
                Order::Note(name, pid, note) => {
                    // Without it the next daemon shakes hands again: nothing to tell anybody.
                    let _ = keeper.set_note(&name, pid, note).await;
                    continue;
                }
            };
            if let Err(error) = outcome {
                let reason = error.to_string();
                let service = service_of(&instance);
                let told = Told::Refused {
                    instance: &instance,
                    service,
                    order: what,
                    reason: &reason,
                };
                self.events.push(&told, None, Weight::State);
            }
        }
    }

    /// Publishes these and nothing else: what is routed at once, what needs a socket of its own when the keeper
    /// has given it.
    pub(super) fn set_routes(&self, routes: Routes) {
        let wanted: Option<Vec<_>> = match (&routes.published, &routes.gone) {
            (None, Some(_)) => None,
            (published, _) => {
                let published = published.iter().flatten();
                Some(published.filter_map(PublishedRoute::own_address).collect())
            }
        };
        self.gateway.set_routes(routes);
        let Some(wanted) = wanted else {
            return;
        };
        // Routes are given often, addresses change seldom. The order waits where no keeper is there yet.
        let mut asked = self.addresses.lock();
        if asked.as_ref() != Some(&wanted) {
            let sent = self.orders.try_send(Order::Addresses(wanted.clone()));
            *asked = sent.is_ok().then_some(wanted);
        }
    }

    async fn listen(&self, keeper: &KeeperClient, wanted: &[OwnAddress]) {
        let missing = self.gateway.keep_addresses(wanted);
        let mut names: Vec<_> = wanted.iter().map(socket_name).collect();
        // Those that are not wanted go first: another service may want their port.
        let _ = keeper.unlisten(names.clone()).await;
        for address in missing {
            let name = socket_name(&address);
            let (reason, hint) = match keeper.listen(&name, address.listen).await {
                Ok((socket, _)) => match self.gateway.listen_published(&address, socket) {
                    Ok(()) => continue,
                    Err(error) => (error.to_string(), "mend it, then `backstay up`"),
                },
                Err(error) => (
                    error.to_string(),
                    "free the port, or give another one in `publish: {listen: …}`, then `backstay up`",
                ),
            };
            self.gateway.publish_failed(&address.service, reason, hint);
            // Nobody accepts there, so nobody shall wait there.
            names.retain(|other| *other != name);
            let _ = keeper.unlisten(names.clone()).await;
        }
    }

    async fn hear(self: Arc<Self>, mut reported: mpsc::Receiver<Reported>) {
        while let Some(Reported {
            at,
            replayed,
            mut event,
            ..
        }) = reported.recv().await
        {
            self.events.room().await;
            if !replayed {
                self.act_on(&mut event);
            }
            let at = (!matches!(
                event,
                KeeperEvent::Adopted { .. } | KeeperEvent::AdoptedAll | KeeperEvent::Lost
            ))
            .then_some(at);
            self.events
                .push(&Told::of(&event, replayed), at, Weight::State);
        }
    }

    /// What an event means for the gateway; the event itself is Python's.
    fn act_on(&self, event: &mut KeeperEvent) {
        match event {
            KeeperEvent::Adopted {
                instance,
                pipes,
                note,
            } => {
                if let (Some(pid), Some(started_at)) = (instance.pid, instance.started_at) {
                    let (service, restarts) = (instance.service.clone(), instance.restarts);
                    self.processes.set(
                        &instance.name,
                        Process {
                            service,
                            pid,
                            started_at,
                            restarts,
                        },
                    );
                }
                match instance.state {
                    InstanceState::Ready => self.gateway.instance_well(&instance.name, true),
                    InstanceState::Starting => self.gateway.instance_starting(&instance.name),
                    _ => self.gateway.instance_well(&instance.name, false),
                }
                let note = Note::from(std::mem::take(note));
                match pipes.take() {
                    Some(pipes) => self.gateway.attach(&instance.name, ours(pipes), note),
                    None if !note.is_empty() => self.gateway.note(&instance.name, note),
                    None => {}
                }
            }
            KeeperEvent::Spawned {
                name,
                service,
                pid,
                started_at,
                restarts,
                pipes,
                ..
            } => {
                let process = Process {
                    service: service.clone(),
                    pid: *pid,
                    started_at: *started_at,
                    restarts: *restarts,
                };
                self.processes.set(name, process);
                self.gateway.instance_starting(name);
                if let Some(pipes) = pipes.take() {
                    self.gateway.attach(name, ours(pipes), Note::new());
                }
            }
            KeeperEvent::Ready { name } => self.gateway.instance_well(name, true),
            KeeperEvent::Unhealthy { name, .. } => self.gateway.instance_well(name, false),
            KeeperEvent::Stopping { name } => {
                self.gateway.instance_well(name, false);
                self.gateway.detach(name);
            }
            KeeperEvent::Exited {
                name,
                code,
                signal,
                will_restart_in_ms,
                ..
            } => {
                self.processes.remove(name);
                let reason = match (code, signal) {
                    (_, Some(signal)) => format!("it was ended by {signal}"),
                    (Some(code), None) => format!("it exited with code {code}"),
                    (None, None) => "it ended".to_owned(),
                };
                self.gateway
                    .instance_down(name, &reason, *will_restart_in_ms);
            }
            KeeperEvent::Failed { name, reason, .. } => {
                self.gateway.instance_down(name, reason, None);
            }
            KeeperEvent::Stopped { name } => {
                self.processes.remove(name);
                self.gateway.instance_stopped(name);
            }
            KeeperEvent::Removed { name } => {
                self.processes.remove(name);
                self.gateway.instance_stopped(name);
                self.gateway.instance_forgotten(name);
            }
            KeeperEvent::Lost => *self.keeper.lock() = None,
            KeeperEvent::AdoptedAll | KeeperEvent::Leftover { .. } => {}
        }
    }
}

/// What a socket is for. One that moves is another one, so that two services may swap their ports.
fn socket_name(address: &OwnAddress) -> String {
    format!("{}@{}", address.service, address.listen)
}

fn ours(pipes: McpPipes) -> Pipes {
    Pipes {
        stdin: pipes.stdin,
        stdout: pipes.stdout,
        journal: pipes.journal,
    }
}
