//! The daemon that is attached, if any: what it missed, what there is, what is new.

use std::sync::Arc;

use backstay_supervisor::McpPipes;
use backstay_supervisor::census::own_pid;
use backstay_supervisor::event::KeeperEvent;
use backstay_supervisor::wire::message::{KeeperInfo, Outcome};
use bytes::Bytes;

use super::Fleet;
use crate::connection::{Arrival, Connection, Outgoing, Said, With, reply};
use crate::held::Held;
use crate::ring::encode;

impl Fleet {
    pub(super) fn publish(&mut self, event: KeeperEvent, pipes: Option<Arc<McpPipes>>) {
        let recorded = self.ring.record(event);
        let outgoing = Outgoing {
            json: recorded.json,
            raw: Bytes::new(),
            with: pipes.into(),
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

    pub(super) fn disconnect(&mut self, why: &str) {
        if let Some(connection) = self.connection.take() {
            self.delivered = self.delivered.max(connection.sent());
            self.surroundings
                .log
                .note(&format!("the daemon is disconnected: {why}"));
        }
    }

    /// Lets a daemon in: what it missed, what there is, and from then on what is new.
    pub(super) fn attach(&mut self, arrival: Arrival) {
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
            with: With::Nothing,
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

    pub(super) fn answer(&mut self, id: u64, outcome: Outcome, with: With) {
        self.send(Outgoing {
            json: reply(id, outcome),
            raw: Bytes::new(),
            with,
            seq: None,
        });
    }

    /// Writes what the daemon has not been sent yet, and disconnects it.
    pub(crate) async fn farewell(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.finish().await;
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
        with: held.pipes.clone().into(),
        seq: None,
    }
}

pub(super) async fn next_said(connection: &mut Option<Connection>) -> Said {
    match connection {
        Some(connection) => connection.said().await,
        None => std::future::pending().await,
    }
}
