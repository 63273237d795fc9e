//! What the daemon asks of the fleet, and what is refused. Orders are queued for the instance's own task; what comes
//! of them is reported like everything else.

use std::sync::Arc;

use backstay_supervisor::event::InstanceState;
use backstay_supervisor::log::file::LogFile;
use backstay_supervisor::log::pump::Log;
use backstay_supervisor::pipes::pipe_size;
use backstay_supervisor::restart::History;
use backstay_supervisor::signal::Signal;
use backstay_supervisor::spec::{InstanceSpec, Stdio};
use backstay_supervisor::wire::message::{Command, Outcome, Refusal};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::Fleet;
use crate::connection::With;
use crate::held::Held;
use crate::instance::{Instance, Order};

/// Most instances held.
const INSTANCES_MAX: usize = 2048;
/// Orders an instance may have waiting.
const ORDERS: usize = 16;

impl Fleet {
    pub(super) fn carry_out(
        &mut self,
        command: Command,
        raw: &Bytes,
    ) -> Result<(Outcome, With), Refusal> {
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
                let views = self.instances.values().map(|held| held.view.clone());
                return Ok((Outcome::Instances(views.collect()), With::Nothing));
            }
            Command::Listen { name, address } => {
                self.open()?;
                let (socket, address) = self.listeners.listen(name, address)?;
                return Ok((Outcome::Listening(address), With::Socket(socket)));
            }
            Command::Unlisten { except } => self.listeners.close_others(&except),
            Command::Shutdown if self.closing.is_none() => self.close("the daemon asks"),
            Command::Shutdown => {}
            Command::Attach { .. } => {
                return Err(Refusal::Malformed {
                    reason: "this connection is attached".to_owned(),
                });
            }
        }
        Ok((Outcome::Done, With::Nothing))
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

    pub(super) fn order(&mut self, name: &str, order: Order) -> Result<&mut Held, Refusal> {
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
}
