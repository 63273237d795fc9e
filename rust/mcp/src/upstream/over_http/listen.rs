//! The stream for what a server sends on its own, where it has one.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use super::super::core::Core;
use super::pump::pump;
use super::{HttpLink, LONGEST_RETRY, RETRY, is_events};
use crate::transport::http::Events;

/// Holds the stream, in whichever session there is, until the connection ends.
pub(super) async fn listen(link: Arc<HttpLink>, core: Arc<Core>) {
    let mut last = String::new();
    let mut wait = RETRY;
    link.listening.notified().await;
    loop {
        let info = Arc::clone(&core.info.read());
        match link.get(Some(&info), &last).await {
            Ok(response) if is_events(&response) => {
                let mut events = Events::new(response.body, core.limits.max_bytes);
                let begun = Instant::now();
                let _ = pump(&core, None, &mut events).await; // however it ends, it is asked for again
                if !events.parser.last_id().is_empty() {
                    events.parser.last_id().clone_into(&mut last);
                }
                // A stream that lasted was worth having; one that ends at once is asked for less and less.
                let lasted = begun.elapsed() > LONGEST_RETRY;
                wait = events
                    .parser
                    .retry()
                    .unwrap_or(if lasted { RETRY } else { longer(wait) })
                    .min(LONGEST_RETRY);
            }
            Ok(response) if response.status.is_server_error() => wait = longer(wait),
            Err(_) => wait = longer(wait),
            Ok(response) => {
                last.clear();
                let gone = response.status == StatusCode::NOT_FOUND && info.session.is_some();
                drop(response);
                if !(gone
                    && HttpLink::renew(Arc::clone(&link), Arc::clone(&core), info)
                        .await
                        .is_ok())
                {
                    // 405: it has no such stream, and gets one in another session at the earliest.
                    link.listening.notified().await;
                }
                continue;
            }
        }
        sleep(wait).await;
    }
}

fn longer(wait: Duration) -> Duration {
    (wait * 2).min(LONGEST_RETRY)
}
