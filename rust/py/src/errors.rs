//! The one table from Rust errors to Python exceptions.
//!
//! The exceptions are declared in `python/backstay/errors.py`. Every match is exhaustive: a new error does not
//! compile until it has a Python name.

use backstay_cache::CacheError;
use backstay_cache::snapshot::SnapshotError;
use backstay_graph::GraphError;
use backstay_ledger::{InvalidSize, LedgerError, PortError};
use backstay_registry::{Lagged, RegistryError};
use backstay_supervisor::KeeperError;
use backstay_telemetry::MetricError;
use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyValueError};

mod python {
    #![allow(missing_docs, reason = "documented where they are declared, in Python")]
    use pyo3::import_exception;

    import_exception!(backstay.errors, AlreadyHeld);
    import_exception!(backstay.errors, CycleError);
    import_exception!(backstay.errors, DoesNotFit);
    import_exception!(backstay.errors, KeeperError);
    import_exception!(backstay.errors, MetricError);
    import_exception!(backstay.errors, NotHeld);
    import_exception!(backstay.errors, PortHeld);
    import_exception!(backstay.errors, PortsExhausted);
    import_exception!(backstay.errors, RegistryFull);
    import_exception!(backstay.errors, SnapshotError);
    import_exception!(backstay.errors, TooLarge);
    import_exception!(backstay.errors, UnknownService);
    import_exception!(backstay.errors, WatchLagged);
}

/// An error that has a Python exception.
pub(crate) trait IntoPython {
    fn into_python(self) -> PyErr;
}

/// `?` for results whose error is in the table.
pub(crate) trait Raise<T> {
    fn or_raise(self) -> Result<T, PyErr>;
}

impl<T, E: IntoPython> Raise<T> for Result<T, E> {
    fn or_raise(self) -> Result<T, PyErr> {
        self.map_err(IntoPython::into_python)
    }
}

impl IntoPython for LedgerError {
    fn into_python(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::DoesNotFit(refusal) => {
                let Some(short) = refusal.shortages.first() else {
                    return python::DoesNotFit::new_err(message);
                };
                let dimension = short.dimension.as_str();
                python::DoesNotFit::new_err((
                    message,
                    refusal.pool,
                    dimension,
                    short.asked,
                    short.free,
                    short.capacity,
                    refusal.holders,
                ))
            }
            Self::AlreadyHeld { .. } => python::AlreadyHeld::new_err(message),
            Self::NotHeld { .. } => python::NotHeld::new_err(message),
            Self::UnknownPool { .. }
            | Self::PoolExists { .. }
            | Self::PoolInUse { .. }
            | Self::TooLarge { .. }
            | Self::Ragged { .. }
            | Self::BatchFull { .. } => PyValueError::new_err(message),
        }
    }
}

impl<E: IntoPython> IntoPython for Box<E> {
    fn into_python(self) -> PyErr {
        (*self).into_python()
    }
}

impl IntoPython for KeeperError {
    fn into_python(self) -> PyErr {
        python::KeeperError::new_err(self.to_string())
    }
}

impl IntoPython for PortError {
    fn into_python(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Held { port, holder } => python::PortHeld::new_err((message, port, holder)),
            Self::Stranger { port } => python::PortHeld::new_err((message, port)),
            Self::Exhausted { .. } | Self::NoRun { .. } => python::PortsExhausted::new_err(message),
            Self::Bind { .. } => PyOSError::new_err(message),
            Self::NotHeld { .. } => python::NotHeld::new_err(message),
            Self::InvalidRange { .. } => PyValueError::new_err(message),
        }
    }
}

impl IntoPython for GraphError {
    fn into_python(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Cycle { path } => python::CycleError::new_err((message, path)),
            Self::Unknown { .. } => python::UnknownService::new_err(message),
            Self::TooLarge { .. } | Self::InvalidDuration { .. } => PyValueError::new_err(message),
        }
    }
}

impl IntoPython for CacheError {
    fn into_python(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::TooLarge { .. } => python::TooLarge::new_err(message),
            Self::TooManyTags { .. } => PyValueError::new_err(message),
        }
    }
}

impl IntoPython for SnapshotError {
    fn into_python(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Io { source, .. } => std::io::Error::new(source.kind(), message).into(),
            Self::NotOne { .. } | Self::Damaged { .. } => python::SnapshotError::new_err(message),
        }
    }
}

impl IntoPython for InvalidSize {
    fn into_python(self) -> PyErr {
        PyValueError::new_err(self.to_string())
    }
}

impl IntoPython for RegistryError {
    fn into_python(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::NameTaken { .. } => python::AlreadyHeld::new_err(message),
            Self::Full { .. } => python::RegistryFull::new_err(message),
            Self::UnknownService { .. } => python::UnknownService::new_err(message),
        }
    }
}

impl IntoPython for Lagged {
    fn into_python(self) -> PyErr {
        python::WatchLagged::new_err((self.to_string(), self.missed))
    }
}

impl IntoPython for MetricError {
    fn into_python(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::InvalidName { .. }
            | Self::InvalidLabel { .. }
            | Self::Registered { .. }
            | Self::LabelCount { .. }
            | Self::InvalidBuckets { .. }
            | Self::Decrease { .. } => python::MetricError::new_err(message),
        }
    }
}
