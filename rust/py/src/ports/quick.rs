//! Leasing and giving back without what PyO3 puts around a call.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{PortLease, Ports};
use crate::errors::Raise;
use crate::fast::{Answer, Arguments, plain, quick, quicken, quicken_plain, truth};

quick!(Lease, Ports, "lease", lease);
plain!(Release, PortLease, "release", |lease, py| {
    Ok(truth(py, lease.get().handle(py).release()))
});

pub(crate) fn quicken_all(py: Python<'_>) -> PyResult<()> {
    quicken::<Lease>(py)?;
    quicken_plain::<Release>(py)
}

#[inline]
fn lease<'py>(slf: Borrowed<'_, 'py, Ports>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    let [holder] = arguments.exactly()?;
    let holder = holder.cast_exact::<PyString>().ok()?;
    Some(match slf.get().renew(&holder).ok()? {
        Ok(lease) => Ok(lease.into_any()),
        // The exception is made where PyO3 may drop objects.
        Err(error) => Python::attach(|_| Err(error).or_raise()),
    })
}
