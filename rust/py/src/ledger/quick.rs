//! Reserving and giving back without what PyO3 puts around a call.

use backstay_ledger::LedgerError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::known::{Done, refused};
use super::resources::Resources;
use super::{Claim, Lease, Ledger};
use crate::errors::Raise;
use crate::fast::{Answer, Arguments, none, plain, quick, quicken, quicken_plain, truth};
use crate::with_block::quick_block;

quick!(Reserve, Ledger, "reserve", reserve);
quick!(Hold, Ledger, "hold", hold);
quick!(Release, Ledger, "release", release);
plain!(End, Lease, "release", |lease, py| Ok(truth(
    py,
    lease.get().handle(py).release()
)));
plain!(ReserveClaim, Claim, "reserve", |claim, py| nothing(
    py,
    claim.get().0.reserve().or_else(refused)
));
plain!(TryReserve, Claim, "try_reserve", |claim, py| Ok(truth(
    py,
    claim.get().0.try_reserve()
)));
plain!(EndClaim, Claim, "release", |claim, py| Ok(truth(
    py,
    claim.get().0.release()
)));

quick_block!(
    Enter,
    Exit,
    Lease,
    |lease, _py| PyResult::Ok(()),
    |lease, py| lease.get().handle(py).release()
);
quick_block!(
    EnterClaim,
    ExitClaim,
    Claim,
    |claim, py| nothing(py, claim.get().0.reserve().or_else(refused)),
    |claim, _py| claim.get().0.release()
);

pub(crate) fn quicken_all(py: Python<'_>) -> PyResult<()> {
    let all: [fn(Python<'_>) -> PyResult<()>; 11] = [
        quicken::<Reserve>,
        quicken::<Hold>,
        quicken::<Release>,
        quicken_plain::<End>,
        quicken_plain::<Enter>,
        quicken::<Exit>,
        quicken_plain::<EnterClaim>,
        quicken::<ExitClaim>,
        quicken_plain::<ReserveClaim>,
        quicken_plain::<TryReserve>,
        quicken_plain::<EndClaim>,
    ];
    all.iter().try_for_each(|quicken| quicken(py))
}

#[inline]
fn reserve<'py>(slf: Borrowed<'_, 'py, Ledger>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    let [holder, resources] = arguments.exactly()?;
    let holder = holder.cast_exact::<PyString>().ok()?;
    let want = resources.cast_exact::<Resources>().ok()?.get().0;
    Some(match slf.get().known.reserve(&holder, want).ok()? {
        Ok(lease) => Ok(lease.into_any()),
        Err(error) => raised(error),
    })
}

#[inline]
fn hold<'py>(slf: Borrowed<'_, 'py, Ledger>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    let [holder, resources] = arguments.exactly()?;
    let holder = holder.cast_exact::<PyString>().ok()?;
    let want = resources.cast_exact::<Resources>().ok()?.get().0;
    let held = slf.get().known.hold(&holder, want).ok()?;
    Some(nothing(slf.py(), held))
}

#[inline]
fn release<'py>(slf: Borrowed<'_, 'py, Ledger>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    let [holder] = arguments.exactly()?;
    let holder = holder.cast_exact::<PyString>().ok()?;
    let released = slf.get().known.release(&holder).ok()?;
    Some(nothing(slf.py(), released))
}

#[inline]
fn nothing(py: Python<'_>, done: Done<()>) -> PyResult<Bound<'_, PyAny>> {
    match done {
        Ok(()) => Ok(none(py)),
        Err(error) => raised(error),
    }
}

/// The exception is made where PyO3 may drop objects.
#[cold]
#[inline(never)]
fn raised<T>(error: Box<LedgerError>) -> PyResult<T> {
    Python::attach(|_| Err(error).or_raise())
}
