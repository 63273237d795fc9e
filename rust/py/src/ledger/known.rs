//! The holders that reserved lately: found by their names' objects, with the lease that waits to be used again.
//!
//! A lease that its user has let go of, and that nobody else can see, is handed out again for the next reservation
//! of its holder: no object is made, no name looked up. Whoever keeps an ended lease keeps it for himself.

use backstay_ledger::{self as core, Amounts, LedgerError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::lease::Lease;
use crate::attached::alone;
use crate::recent::{Missing, Recent};

/// A holder, and the lease it was given last.
struct Standing {
    holder: core::Holder,
    lease: Option<Py<Lease>>,
}

/// The holders of one pool that reserved lately.
#[derive(Default)]
pub(super) struct Known(Recent<Standing>);

impl Known {
    /// Reserve for a known holder whose last lease is free to be used again.
    #[inline]
    pub(super) fn reserve<'py>(
        &self,
        holder: &Bound<'py, PyString>,
        want: Amounts,
    ) -> Result<Result<Bound<'py, Lease>, LedgerError>, Missing> {
        let py = holder.py();
        self.0.find(std::slice::from_ref(holder), |standing| {
            let lease = standing.lease.as_ref().filter(|lease| alone(lease, py))?;
            let renewed = standing.holder.renew(&mut lease.get().handle(py), want);
            Some(renewed.map(|()| lease.bind(py).clone()))
        })
    }

    /// Reserve for a known holder, without a lease.
    #[inline]
    pub(super) fn hold(
        &self,
        holder: &Bound<'_, PyString>,
        want: Amounts,
    ) -> Result<Result<(), LedgerError>, Missing> {
        let hold = |standing: &Standing| Some(standing.holder.hold(want));
        self.0.find(std::slice::from_ref(holder), hold)
    }

    /// Give back what a known holder holds.
    #[inline]
    pub(super) fn release(
        &self,
        holder: &Bound<'_, PyString>,
    ) -> Result<Result<(), LedgerError>, Missing> {
        let release = |standing: &Standing| Some(standing.holder.release());
        self.0.find(std::slice::from_ref(holder), release)
    }

    /// Know a holder from now on.
    pub(super) fn put(
        &self,
        missing: &Missing,
        name: &Bound<'_, PyString>,
        holder: core::Holder,
        lease: Option<&Bound<'_, Lease>>,
    ) {
        let lease = lease.map(|lease| lease.clone().unbind());
        let standing = Standing { holder, lease };
        self.0.put(missing, std::slice::from_ref(name), standing);
    }
}
