//! Where to listen, and what listens, as Python knows them.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::IntoRawFd;

use pyo3::exceptions::PyValueError;
use pyo3::inspect::PyStaticExpr;
use pyo3::prelude::*;
use pyo3::type_hint_identifier;
use pyo3::types::IntoPyDict;

/// An address to listen on, as text.
pub(super) struct Host(pub(super) IpAddr);

impl Host {
    /// Where a fleet listens unless told otherwise.
    pub(super) const LOOPBACK: Self = Self(IpAddr::V4(Ipv4Addr::LOCALHOST));
}

impl<'py> FromPyObject<'_, 'py> for Host {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_identifier!("builtins", "str");

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let text: &str = object.extract()?;
        text.parse()
            .map(Self)
            .map_err(|_| PyValueError::new_err(format!("`{text}` is not an IP address")))
    }
}

/// A listener as Python knows it: `socket.socket`, which closes it.
pub(super) struct Socket(pub(super) TcpListener);

impl<'py> IntoPyObject<'py> for Socket {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    const OUTPUT_TYPE: PyStaticExpr = type_hint_identifier!("socket", "socket");

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let class = py.import("socket")?.getattr("socket")?;
        let fileno = [("fileno", self.0.into_raw_fd())].into_py_dict(py)?;
        class.call((), Some(&fileno))
    }
}
