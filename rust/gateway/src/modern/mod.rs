//! Clients of 2026-07-28, the version without sessions.
//!
//! Each request stands for itself: what it speaks and what its client can do it says itself, and closing its
//! answer calls it off. Inside, a request gets a session of its own that is in no store
//! ([`Session::passing`](crate::session::Session::passing)), so that routing and calling are the same code for
//! both eras. What has no place there is here:
//!
//! - [`rounds`] is a server that asks its client in the middle of a call, said as `InputRequiredResult`;
//! - [`parked`] are calls that wait for the client to come back with its answers;
//! - [`listeners`] serve `subscriptions/listen`;
//! - [`crossing`] is what a message loses and gains on its way to the other era.
//!
//! The words themselves (headers, `_meta`, results) are `backstay_mcp::modern`; the HTTP of it is
//! `http/modern.rs`. `docs/eras.md` is the table of what is translated into what.

pub(crate) mod crossing;
pub(crate) mod listeners;
pub(crate) mod parked;
pub(crate) mod rounds;

use std::sync::Arc;

use backstay_mcp::{RawJson, Version};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use listeners::Listeners;
use parked::Parked;

use crate::session::{Lasting, Scope, Session, Sessions, TooMany};

/// What the gateway keeps for modern clients.
#[derive(Debug)]
pub(crate) struct Modern {
    pub(crate) parked: Arc<Parked>,
    pub(crate) listeners: Listeners,
    /// Requests under way: as many as there may be sessions.
    places: Arc<Semaphore>,
    /// The session that stands for all modern clients where a server wants one (`session: isolated`). Held while it
    /// is opened.
    holder: Mutex<Option<Arc<Session>>>,
}

impl Modern {
    pub(crate) fn new(generation: u32, most: usize) -> Self {
        Self {
            parked: Arc::new(Parked::new(generation)),
            listeners: Listeners::default(),
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            holder: Mutex::default(),
        }
    }

    /// The session that stands for all modern clients, opened where there is none (any more).
    pub(crate) async fn holder(&self, sessions: &Sessions) -> Result<Arc<Session>, TooMany> {
        let mut holder = self.holder.lock().await;
        if let Some(known) = holder.as_ref()
            && let Some(live) = sessions.get(&known.id, &known.scope)
        {
            return Ok(live);
        }
        let empty = RawJson::EMPTY_OBJECT;
        let opened = sessions
            .create(
                Scope::Fleet,
                Version::LATEST,
                &empty,
                &empty,
                Lasting::OnItsOwn,
            )
            .await?;
        *holder = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// A place for one more request; none where all are taken.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}
