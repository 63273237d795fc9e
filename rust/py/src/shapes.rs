//! Arguments and results whose Python type says more than their Rust type: each knows its own annotation, so
//! that the generated stubs need no finishing by hand.

use std::collections::HashMap;

use ahash::RandomState;
use backstay_graph::Condition;
use backstay_ledger::{self as ledger, Dimension};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::inspect::{PyStaticConstant, PyStaticExpr};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyIterator, PyList, PyMapping, PyString};
use pyo3::{type_hint_identifier, type_hint_subscript, type_hint_union};

use crate::errors::Raise;

const STR: PyStaticExpr = type_hint_identifier!("builtins", "str");
const INT: PyStaticExpr = type_hint_identifier!("builtins", "int");
const FLOAT: PyStaticExpr = type_hint_identifier!("builtins", "float");
const ITERABLE: PyStaticExpr = type_hint_identifier!("collections.abc", "Iterable");
const MAPPING: PyStaticExpr = type_hint_identifier!("collections.abc", "Mapping");

/// A number of bytes, given as an int or as people write it.
#[derive(Clone, Copy)]
pub(crate) struct Size(pub(crate) u64);

impl<'py> FromPyObject<'_, 'py> for Size {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_union!(INT, STR);

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyInt>() {
            let bytes = object.extract::<u64>();
            return bytes
                .map(Self)
                .map_err(|_| PyValueError::new_err("a size is between 0 and 2**64 - 1 bytes"));
        }
        let text = object.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err("a size is an int of bytes, or a str like '512Mi'")
        })?;
        ledger::parse_size(text.to_str()?).or_raise().map(Self)
    }
}

/// The name of a dimension.
#[derive(Clone, Copy)]
pub(crate) struct DimensionName(pub(crate) Dimension);

impl<'py> FromPyObject<'_, 'py> for DimensionName {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_subscript!(
        type_hint_identifier!("typing", "Literal"),
        PyStaticExpr::Constant {
            value: PyStaticConstant::Str("cpus")
        },
        PyStaticExpr::Constant {
            value: PyStaticConstant::Str("memory")
        },
        PyStaticExpr::Constant {
            value: PyStaticConstant::Str("storage")
        },
        PyStaticExpr::Constant {
            value: PyStaticConstant::Str("gpus")
        }
    );

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let name: &str = object.extract()?;
        Dimension::parse(name).map(Self).ok_or_else(|| {
            PyValueError::new_err(format!(
                "`{name}` is not one of cpus, memory, storage, gpus"
            ))
        })
    }
}

/// What a dependant waits for, in the stack file's words.
pub(crate) fn condition(word: &str) -> PyResult<Condition> {
    Condition::parse(word).ok_or_else(|| {
        let known = "service_started, service_healthy, service_completed_successfully";
        PyValueError::new_err(format!("`{word}` is not one of {known}"))
    })
}

/// What a service depends on: names, or a mapping of names to conditions.
pub(crate) struct DependsOn<'py>(pub(crate) Vec<(Bound<'py, PyString>, Condition)>);

impl<'py> FromPyObject<'_, 'py> for DependsOn<'py> {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_union!(
        type_hint_subscript!(MAPPING, STR, STR),
        type_hint_subscript!(ITERABLE, STR)
    );

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(
                "depends_on is several names, not one str",
            ));
        }
        let mut edges = Vec::new();
        if let Ok(mapping) = object.cast::<PyMapping>() {
            for item in mapping.items()?.iter() {
                let (on, word): (_, Bound<'py, PyString>) = item.extract()?;
                edges.push((on, condition(word.to_str()?)?));
            }
        } else {
            for on in object.try_iter()? {
                edges.push((on?.cast_into()?, Condition::default()));
            }
        }
        Ok(Self(edges))
    }
}

/// Pairs of numbers in a buffer.
///
/// Of 32-bit numbers, as in `array("I")` or an array of NumPy's, or of their bytes, in the machine's order.
pub(crate) struct Indices(pub(crate) Vec<u32>);

impl<'py> FromPyObject<'_, 'py> for Indices {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_identifier!("typing_extensions", "Buffer");

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let buffer = PyUntypedBuffer::get(&object)?;
        if buffer.item_count() == 0 {
            return Ok(Self(Vec::new()));
        }
        if let Ok(words) = buffer.as_typed::<u32>() {
            return words.to_vec(py).map(Self);
        }
        let bytes = buffer.as_typed::<u8>().map_err(|_| {
            PyTypeError::new_err("pairs are a buffer of unsigned 32-bit numbers, as array('I') is")
        })?;
        let bytes = bytes.to_vec(py)?;
        let (words, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(PyValueError::new_err("four bytes make a number"));
        }
        Ok(Self(
            words.iter().map(|word| u32::from_ne_bytes(*word)).collect(),
        ))
    }
}

/// Pairs of names, as a list of our own or of the caller's.
pub(crate) struct Pairs<'py>(pub(crate) Bound<'py, PyList>);

impl<'py> FromPyObject<'_, 'py> for Pairs<'py> {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_subscript!(
        ITERABLE,
        type_hint_subscript!(type_hint_identifier!("builtins", "tuple"), STR, STR)
    );

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let list = match object.cast::<PyList>() {
            Ok(list) => list.to_owned(),
            Err(_) => object
                .py()
                .get_type::<PyList>()
                .call1((object,))?
                .cast_into::<PyList>()?,
        };
        Ok(Self(list))
    }
}

/// Names, one after another.
pub(crate) struct Several<'py>(pub(crate) Vec<Bound<'py, PyString>>);

impl<'py> FromPyObject<'_, 'py> for Several<'py> {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_subscript!(ITERABLE, STR);

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("these are several names, not one str"));
        }
        let names = object.try_iter()?.map(|name| Ok(name?.cast_into()?));
        names.collect::<PyResult<_>>().map(Self)
    }
}

/// Seconds by name.
pub(crate) struct Durations(pub(crate) HashMap<String, f64, RandomState>);

impl<'py> FromPyObject<'_, 'py> for Durations {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = type_hint_subscript!(MAPPING, STR, FLOAT);

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let mut seconds = HashMap::default();
        for item in object.cast::<PyMapping>()?.items()?.iter() {
            let (name, duration) = item.extract()?;
            seconds.insert(name, duration);
        }
        Ok(Self(seconds))
    }
}

/// An iterator over names.
pub(crate) struct Names<'py>(pub(crate) Bound<'py, PyIterator>);

impl<'py> IntoPyObject<'py> for Names<'py> {
    type Target = PyIterator;
    type Output = Bound<'py, PyIterator>;
    type Error = std::convert::Infallible;

    const OUTPUT_TYPE: PyStaticExpr =
        type_hint_subscript!(type_hint_identifier!("collections.abc", "Iterator"), STR);

    fn into_pyobject(self, _py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(self.0)
    }
}
