//! `backstay._core`: the Python face of the Rust rooms; conversions only.

/// The extension module; each submodule file adds its classes here.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    /// The version of the extension, equal to the wheel's.
    #[pyfunction]
    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}
