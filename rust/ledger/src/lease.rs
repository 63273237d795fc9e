//! Handles: the lease, a reservation that ends once; the holder, who can reserve anything; and the claim, which
//! reserves the same again and again.

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
        self.slot.give_back(Some(self.generation))
    }
}

/// A holder, looked up once: reserving for it needs no name. While there is one, the name is not forgotten.
#[derive(Debug)]
pub struct Holder {
    pool: Arc<Pool>,
    slot: Arc<Slot>,
}

impl Holder {
    /// The slot's claims must have been counted up while its name could not be forgotten.
    pub(crate) fn new(pool: Arc<Pool>, slot: Arc<Slot>) -> Self {
        Self { pool, slot }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.slot.holder
    }

    /// Reserve for it.
    ///
    /// # Errors
    /// As [`Pool::reserve`].
    #[inline]
    pub fn reserve(&self, amounts: Amounts) -> Result<Lease, LedgerError> {
        let generation = self.take(amounts)?;
        let slot = Arc::clone(&self.slot);
        Ok(Lease { slot, generation })
    }

    /// [`reserve`](Self::reserve), and have `lease` be the handle to it: what it was a handle to before is
    /// forgotten, not given back. With a lease of this holder's own it counts no reference.
    ///
    /// # Errors
    /// As [`Pool::reserve`]; `lease` is as it was.
    #[inline]
    pub fn renew(&self, lease: &mut Lease, amounts: Amounts) -> Result<(), LedgerError> {
        lease.generation = self.take(amounts)?;
        if !Arc::ptr_eq(&lease.slot, &self.slot) {
            lease.slot = Arc::clone(&self.slot);
        }
        Ok(())
    }

    /// [`reserve`](Self::reserve) without a lease, to be given back by [`release`](Self::release).
    ///
    /// # Errors
    /// As [`Pool::reserve`].
    #[inline]
    pub fn hold(&self, amounts: Amounts) -> Result<(), LedgerError> {
        self.take(amounts).map(drop)
    }

    /// Give back what it holds.
    ///
    /// # Errors
    /// [`LedgerError::NotHeld`] when it holds nothing.
    #[inline]
    pub fn release(&self) -> Result<(), LedgerError> {
        if self.slot.give_back(None) {
            return Ok(());
        }
        Err(self.pool.not_held(self.name()))
    }

    #[inline]
    fn take(&self, amounts: Amounts) -> Result<u64, LedgerError> {
        let parcel = self.slot.scope.parcel(amounts).map_err(Denied::Short);
        parcel
            .and_then(|parcel| self.slot.reserve(parcel))
            .map_err(|denied| self.pool.refusal(self.name(), denied))
    }
}

impl Drop for Holder {
    /// Gives nothing back: a reservation ends when its holder says so, not when a handle is lost.
    fn drop(&mut self) {
        let last = self.slot.claims.fetch_sub(1, AcqRel) == 1;
        if last && !self.slot.kept.load(Relaxed) && self.slot.is_free() {
            self.slot.retire();
        }
    }
}

/// What a holder wants, looked up once: reserving and giving back through it need no name and allocate nothing.
///
/// The holder still has one reservation at a time, whichever way it was made; a claim ends only its own.
#[derive(Debug)]
pub struct Claim {
    holder: Holder,
    amounts: Amounts,
    /// None: it is more than there could ever be.
    parcel: Option<Parcel>,
    /// Of the reservation that was made last.
    generation: AtomicU64,
}

impl Claim {
    pub(crate) fn new(holder: Holder, amounts: Amounts) -> Self {
        let parcel = holder.slot.scope.parcel(amounts).ok();
        Self {
            holder,
            amounts,
            parcel,
            generation: AtomicU64::new(0),
        }
    }

    /// Who wants it.
    pub fn holder(&self) -> &str {
        self.holder.name()
    }

    /// What is wanted.
    pub fn amounts(&self) -> Amounts {
        self.amounts
    }

    /// Whether it is held through this claim.
    pub fn is_held(&self) -> bool {
        let generation = self.generation.load(Relaxed);
        self.holder.slot.held(Some(generation)).is_some()
    }

    /// Reserve it.
    ///
    /// # Errors
    /// As [`Pool::reserve`].
    #[inline]
    pub fn reserve(&self) -> Result<(), LedgerError> {
        self.take()
            .map_err(|denied| self.holder.pool.refusal(self.holder(), denied))
    }

    /// [`reserve`](Self::reserve) if it fits and the holder has nothing yet. A refusal looks nothing up.
    #[inline]
    pub fn try_reserve(&self) -> bool {
        self.take().is_ok()
    }

    #[inline]
    fn take(&self) -> Result<(), Denied> {
        let slot = &self.holder.slot;
        let parcel = match self.parcel {
            Some(parcel) => parcel,
            None => slot.scope.parcel(self.amounts).map_err(Denied::Short)?,
        };
        let generation = slot.reserve(parcel)?;
        self.generation.store(generation, Relaxed);
        Ok(())
    }

    /// Give it back. False: it was not held, or was given back by name.
    #[inline]
    pub fn release(&self) -> bool {
        let generation = self.generation.load(Relaxed);
        self.holder.slot.give_back(Some(generation))
    }
}
