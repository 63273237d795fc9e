//! Handles to reservations: the lease, which ends once, and the claim, which can be reserved again and again.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use crate::amounts::Amounts;
use crate::books::Parcel;
use crate::error::LedgerError;
use crate::pool::Pool;

use crate::slot::{Denied, Slot};
use crate::sync::AtomicU64;

/// One reservation. It can be copied, and given back once.
#[derive(Debug, Clone)]
pub struct Lease {
    pub(crate) slot: Arc<Slot>,
    pub(crate) generation: u64,
}

impl Lease {
    /// Who holds it.
    pub fn holder(&self) -> &str {
        &self.slot.holder
    }

    /// What is held; `None` once it was given back.
    pub fn amounts(&self) -> Option<Amounts> {
        self.slot.held(Some(self.generation))
    }

    /// Give it back. False: it was given back before, through this handle or by name.
    #[inline]
    pub fn release(&self) -> bool {
        self.slot.give_back(self.generation)
    }
}

/// What a holder wants, looked up once: reserving and giving back through it need no name and allocate nothing.
///
/// The holder still has one reservation at a time, whichever way it was made; a claim ends only its own.
#[derive(Debug)]
pub struct Claim {
    pool: Arc<Pool>,
    slot: Arc<Slot>,
    amounts: Amounts,
    /// None: it is more than there could ever be.
    parcel: Option<Parcel>,
    /// Of the reservation that was made last.
    generation: AtomicU64,
}

impl Claim {
    /// The slot's claims must have been counted up while its name could not be forgotten.
    pub(crate) fn new(pool: Arc<Pool>, slot: Arc<Slot>, amounts: Amounts) -> Self {
        let parcel = slot.scope.parcel(amounts).ok();
        Self {
            pool,
            slot,
            amounts,
            parcel,
            generation: AtomicU64::new(0),
        }
    }

    /// Who wants it.
    pub fn holder(&self) -> &str {
        &self.slot.holder
    }

    /// What is wanted.
    pub fn amounts(&self) -> Amounts {
        self.amounts
    }

    /// Whether it is held through this claim.
    pub fn is_held(&self) -> bool {
        let generation = self.generation.load(Relaxed);
        self.slot.held(Some(generation)).is_some()
    }

    /// Reserve it.
    ///
    /// # Errors
    /// As [`Pool::reserve`].
    #[inline]
    pub fn reserve(&self) -> Result<(), LedgerError> {
        self.take()
            .map_err(|denied| self.pool.refusal(self.holder(), denied))
    }

    /// [`reserve`](Self::reserve) if it fits and the holder has nothing yet. A refusal looks nothing up.
    #[inline]
    pub fn try_reserve(&self) -> bool {
        self.take().is_ok()
    }

    #[inline]
    fn take(&self) -> Result<(), Denied> {
        let parcel = match self.parcel {
            Some(parcel) => parcel,
            None => self
                .slot
                .scope
                .parcel(self.amounts)
                .map_err(Denied::Short)?,
        };
        let generation = self.slot.reserve(parcel)?;
        self.generation.store(generation, Relaxed);
        Ok(())
    }

    /// Give it back. False: it was not held, or was given back by name.
    #[inline]
    pub fn release(&self) -> bool {
        self.slot.give_back(self.generation.load(Relaxed))
    }
}

impl Drop for Claim {
    /// Gives nothing back: a reservation ends when its holder says so, not when a handle is lost.
    fn drop(&mut self) {
        let last = self.slot.claims.fetch_sub(1, AcqRel) == 1;
        if last && !self.slot.kept.load(Relaxed) && self.slot.is_free() {
            self.slot.retire();
        }
    }
}
