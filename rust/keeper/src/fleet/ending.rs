//! The end of the whole fleet: in order, and by force when its time is over or it is asked for again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Fleet;
use crate::closing::Closing;
use crate::instance::Order;

/// Time a whole fleet has to end before the rest is killed.
pub(super) const CLOSING: Duration = Duration::from_secs(60);

impl Fleet {
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

    pub(super) fn go_on_closing(&mut self) {
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

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
