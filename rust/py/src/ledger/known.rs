//! The holders that reserved lately: found by their names' objects, with the leases that wait to be used again.
//!
//! A lease that its user has let go of, and that nobody else can see, is handed out again for the next reservation
//! of its holder: no object is made, no name looked up. Whoever keeps an ended lease keeps it for himself. There are
//! two, for `lease = ledger.reserve(…)` in a loop lets go of the old one only when it has the new one.

use backstay_ledger::{self as core, Amounts, LedgerError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::lease::Lease;
use crate::attached::{Attached, alone};
use crate::recent::{Missing, Recent};

/// A holder, and the leases it was given last.
struct Standing {
    holder: core::Holder,
    leases: Attached<[Option<Py<Lease>>; 2]>,
}

/// The holders of one pool that reserved lately.
#[derive(Default)]
pub(super) struct Known(Recent<Standing>);

/// What came of it; boxed, so that what was granted need not make room for a refusal.
pub(super) type Done<T> = Result<T, Box<LedgerError>>;

#[cold]
#[inline(never)]
pub(super) fn refused<T>(error: LedgerError) -> Done<T> {
    Err(Box::new(error))
}

impl Known {
    /// Reserve for a known holder that has a lease to be used again.
    #[inline]
    pub(super) fn reserve<'py>(
        &self,
        holder: &Bound<'py, PyString>,
        want: Amounts,
    ) -> Result<Done<Bound<'py, Lease>>, Missing> {
        let py = holder.py();
        self.0.find(std::slice::from_ref(holder), |standing| {
            let leases = standing.leases.lock(py);
            let lease = leases.iter().flatten().find(|lease| alone(lease, py))?;
            let renewed = standing.holder.renew(&mut lease.get().handle(py), want);
            Some(match renewed {
                Ok(()) => Ok(lease.bind(py).clone()),
                Err(error) => refused(error),
            })
        })
    }

    /// Reserve for a known holder, with a lease of its own.
    pub(super) fn reserve_anew(
        &self,
        holder: &Bound<'_, PyString>,
        want: Amounts,
    ) -> Result<Done<core::Lease>, Missing> {
        self.0.find(std::slice::from_ref(holder), |standing| {
            Some(standing.holder.reserve(want).or_else(refused))
        })
    }

    /// Have a lease used again when it is free; the older one of the two is nobody's but whoever keeps it.
    pub(super) fn remember(&self, holder: &Bound<'_, PyString>, lease: &Bound<'_, Lease>) {
        let old = self.0.find(std::slice::from_ref(holder), |standing| {
            let mut leases = standing.leases.lock(lease.py());
            leases.swap(0, 1);
            Some(leases[0].replace(lease.clone().unbind()))
        });
        drop(old);
    }

    /// Reserve for a known holder, without a lease.
    #[inline]
    pub(super) fn hold(
        &self,
        holder: &Bound<'_, PyString>,
        want: Amounts,
    ) -> Result<Done<()>, Missing> {
        self.0.find(std::slice::from_ref(holder), |standing| {
            Some(standing.holder.hold(want).or_else(refused))
        })
    }

    /// Give back what a known holder holds.
    #[inline]
    pub(super) fn release(&self, holder: &Bound<'_, PyString>) -> Result<Done<()>, Missing> {
        self.0.find(std::slice::from_ref(holder), |standing| {
            Some(standing.holder.release().or_else(refused))
        })
    }

    /// Know a holder from now on.
    pub(super) fn put(&self, missing: &Missing, name: &Bound<'_, PyString>, holder: core::Holder) {
        let leases = Attached::default();
        let standing = Standing { holder, leases };
        self.0.put(missing, std::slice::from_ref(name), standing);
    }
}
