//! Connections that speak something else than HTTP by now (WebSocket): bytes both ways until one side ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_traffic::Ticket;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::instance::InFlight;
use super::service::Service;
use crate::core::Core;

/// Upgraded connections at a time, of all services.
const MOST: usize = 16_384;

/// Joins the two sides once both have switched. False: there are as many already as may be.
pub(super) fn begin(
    core: &Arc<Core>,
    service: &Service,
    client: OnUpgrade,
    server: OnUpgrade,
    counted: (InFlight, Option<Ticket>),
) -> bool {
    let Some(place) = Place::take(core) else {
        return false;
    };
    let open = service.signals.tunnel();
    core.runtime.spawn(async move {
        let _held = (place, open, counted);
        if let (Ok(client), Ok(server)) = tokio::join!(client, server) {
            // Either side may break off: that is how most of these end.
            let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
        }
    });
    true
}

struct Place(Arc<Core>);

impl Place {
    fn take(core: &Arc<Core>) -> Option<Self> {
        let tunnels: &AtomicUsize = &core.published.tunnels;
        tunnels
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < MOST).then_some(count + 1)
            })
            .ok()
            .map(|_| Self(Arc::clone(core)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.published.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}
