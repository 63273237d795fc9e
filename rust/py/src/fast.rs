//! Methods that the interpreter calls with nothing between: for calls that take tens of nanoseconds.
//!
//! An empty method of PyO3's costs twice what one costs in C: it counts attachments, looks for references left to
//! drop, and reads its arguments in a way that serves every signature. Here a method is an `extern "C"` function
//! that takes positional arguments as they come, and stands in the class under the name of the one PyO3 made. That
//! one stays: it gives the signature and the documentation (and the stubs), and it is called for whatever is not
//! the plain case: keywords, other types, errors. So a quick method never decides alone what a call means.
//!
//! What holds here, and where it comes from:
//! - The interpreter calls these functions only with this thread attached, and with as many arguments as it says.
//! - `self` is an instance of the class: a method descriptor refuses all else before it calls.
//! - The classes are frozen, so a shared reference to what is inside needs no borrow check; it lives as long as
//!   the call, for the caller holds `self`.
//! - PyO3 does not know that the thread is attached: dropping a `Py` here would be put off until it next hears of
//!   it. So quick methods drop `Bound`s only; whoever must drop more does it within `Python::attach`.
//! - A panic must not run into C: it is caught and raised, as PyO3 raises it.
//!
//! The tests of the structures run through this file with every call. `make test-full` runs them under valgrind
//! (`tools/memcheck`), which sees what a wrong count of references or a pointer too far would do.

#![expect(unsafe_code, reason = "the interpreter's calling convention")]

use std::any::Any;
use std::ffi::{CString, c_int};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use pyo3::PyClass;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyTuple, PyType};

/// What a quick method says: `None` leaves the call to the method that PyO3 made.
pub(crate) type Answer<'py> = Option<PyResult<Bound<'py, PyAny>>>;

/// The positional arguments of one call.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a, 'py> {
    given: &'a [*mut ffi::PyObject],
    py: Python<'py>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// All of them, in turn.
    #[inline]
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>> {
        let py = self.py;
        // SAFETY: the interpreter's arguments are objects, held by the caller for the length of the call.
        let argument =
            move |object: &*mut ffi::PyObject| unsafe { Borrowed::from_ptr(py, *object) };
        self.given.iter().map(argument)
    }

    /// All of them, if there are this many.
    #[inline]
    pub(crate) fn exactly<const N: usize>(self) -> Option<[Borrowed<'a, 'py, PyAny>; N]> {
        let given: &[*mut ffi::PyObject; N] = self.given.try_into().ok()?;
        // SAFETY: the interpreter's arguments are objects, held by the caller for the length of the call.
        Some(given.map(|object| unsafe { Borrowed::from_ptr(self.py, object) }))
    }

    /// One, and another that may be left out.
    #[inline]
    pub(crate) fn one_or_two(
        self,
    ) -> Option<(Borrowed<'a, 'py, PyAny>, Option<Borrowed<'a, 'py, PyAny>>)> {
        if let Some([first]) = self.exactly() {
            return Some((first, None));
        }
        self.exactly().map(|[first, second]| (first, Some(second)))
    }
}

/// A method of a class, by hand. [`quick!`](crate::fast::quick) writes all of it but `call`.
pub(crate) trait Quick: Sized + 'static {
    type Class: PyClass<Frozen = True> + Sync;
    const NAME: &'static str;

    fn original() -> &'static Original;

    fn call<'py>(slf: Borrowed<'_, 'py, Self::Class>, arguments: Arguments<'_, 'py>)
    -> Answer<'py>;
}

/// A method without arguments, by hand: nothing is left to PyO3's.
pub(crate) trait Plain: Sized + 'static {
    type Class: PyClass<Frozen = True> + Sync;
    const NAME: &'static str;

    fn call<'py>(slf: Borrowed<'_, 'py, Self::Class>) -> PyResult<Bound<'py, PyAny>>;
}

/// Declares a [`Quick`] method: `quick!(Get, CacheCore, "get", call)`.
macro_rules! quick {
    ($name:ident, $class:ty, $python:literal, $call:expr) => {
        pub(crate) struct $name;

        impl $crate::fast::Quick for $name {
            type Class = $class;
            const NAME: &'static str = $python;

            fn original() -> &'static $crate::fast::Original {
                static ORIGINAL: $crate::fast::Original = $crate::fast::Original::new();
                &ORIGINAL
            }

            #[inline]
            fn call<'py>(
                slf: Borrowed<'_, 'py, $class>,
                arguments: $crate::fast::Arguments<'_, 'py>,
            ) -> $crate::fast::Answer<'py> {
                ($call)(slf, arguments)
            }
        }
    };
}
pub(crate) use quick;

/// Declares a [`Plain`] method: `plain!(Release, Lease, "release", |lease, py| …)`.
macro_rules! plain {
    ($name:ident, $class:ty, $python:literal, |$slf:ident, $py:ident| $call:expr) => {
        pub(crate) struct $name;

        impl $crate::fast::Plain for $name {
            type Class = $class;
            const NAME: &'static str = $python;

            #[inline]
            fn call<'py>($slf: Borrowed<'_, 'py, $class>) -> PyResult<Bound<'py, PyAny>> {
                let $py = $slf.py();
                $call
            }
        }
    };
}
pub(crate) use plain;

/// Python's `True` or `False`.
#[inline]
pub(crate) fn truth(py: Python<'_>, so: bool) -> Bound<'_, PyAny> {
    PyBool::new(py, so).to_owned().into_any()
}

/// Python's `None`.
#[inline]
pub(crate) fn none(py: Python<'_>) -> Bound<'_, PyAny> {
    py.None().into_bound(py)
}

/// The method that PyO3 made.
pub(crate) struct Original {
    descriptor: PyOnceLock<Py<PyAny>>,
    /// What it calls: found with the first call, for only a method that is bound to something tells.
    function: PyOnceLock<Function>,
}

/// A function of PyO3's, by what it takes.
#[derive(Clone, Copy)]
enum Function {
    /// What quick methods take too.
    Given(ffi::PyCFunctionFastWithKeywords),
    /// A tuple, and a dict or nothing: where the signature has `*`.
    Gathered(ffi::PyCFunctionWithKeywords),
}

impl Original {
    pub(crate) const fn new() -> Self {
        Self {
            descriptor: PyOnceLock::new(),
            function: PyOnceLock::new(),
        }
    }

    fn call(
        &self,
        instance: Borrowed<'_, '_, PyAny>,
        given: &[*mut ffi::PyObject],
        names: *mut ffi::PyObject,
    ) -> PyResult<*mut ffi::PyObject> {
        let py = instance.py();
        let function = self.function.get_or_try_init(py, || self.find(instance))?;
        match function {
            Function::Given(function) => {
                let count = given.len() - named(names);
                // SAFETY: handed on as they came; it does its own catching.
                let answer = unsafe {
                    function(
                        instance.as_ptr(),
                        given.as_ptr(),
                        count.cast_signed(),
                        names,
                    )
                };
                Ok(answer)
            }
            Function::Gathered(function) => {
                let (arguments, by_name) = gather(py, given, names)?;
                let by_name = by_name.as_ref().map_or(ptr::null_mut(), Bound::as_ptr);
                // SAFETY: a tuple, and a dict or nothing, is what such a function takes.
                Ok(unsafe { function(instance.as_ptr(), arguments.as_ptr(), by_name) })
            }
        }
    }

    #[cold]
    fn find(&self, instance: Borrowed<'_, '_, PyAny>) -> PyResult<Function> {
        const GATHERED: c_int = ffi::METH_VARARGS | ffi::METH_KEYWORDS;
        let py = instance.py();
        let unknown = || PyRuntimeError::new_err("a quick method stands without its original");
        let descriptor = self.descriptor.get(py).ok_or_else(unknown)?.bind(py);
        let bound = descriptor.call_method1("__get__", (instance,))?;
        // SAFETY: both check what they are given, and set an error if it is no built-in method. What a function
        // takes is what the flags say, and code is never unloaded.
        unsafe {
            let flags = ffi::PyCFunction_GetFlags(bound.as_ptr());
            match (ffi::PyCFunction_GetFunction(bound.as_ptr()), flags) {
                (Some(function), FLAGS) => Ok(Function::Given(std::mem::transmute::<
                    ffi::PyCFunction,
                    ffi::PyCFunctionFastWithKeywords,
                >(function))),
                (Some(function), GATHERED) => Ok(Function::Gathered(std::mem::transmute::<
                    ffi::PyCFunction,
                    ffi::PyCFunctionWithKeywords,
                >(function))),
                _ => Err(PyErr::take(py).unwrap_or_else(unknown)),
            }
        }
    }
}

/// How many arguments are given by name: the names, or nothing.
fn named(names: *mut ffi::PyObject) -> usize {
    if names.is_null() {
        return 0;
    }
    // SAFETY: a tuple, says the calling convention.
    unsafe { ffi::PyTuple_Size(names) }.unsigned_abs()
}

/// The arguments as a tuple, and those by name as a dict.
fn gather<'py>(
    py: Python<'py>,
    given: &[*mut ffi::PyObject],
    names: *mut ffi::PyObject,
) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    let (by_place, by_name) = given.split_at(given.len() - named(names));
    // SAFETY: the interpreter's arguments are objects.
    let object = |object: &*mut ffi::PyObject| unsafe { Bound::from_borrowed_ptr(py, *object) };
    let arguments = PyTuple::new(py, by_place.iter().map(object))?;
    if by_name.is_empty() {
        return Ok((arguments, None));
    }
    let dict = PyDict::new(py);
    let names = object(&names).cast_into::<PyTuple>()?;
    for (name, value) in names.iter().zip(by_name.iter().map(object)) {
        dict.set_item(name, value)?;
    }
    Ok((arguments, Some(dict)))
}

const FLAGS: c_int = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;

/// Put a quick method in the place of the one that PyO3 made.
pub(crate) fn quicken<M: Quick>(py: Python<'_>) -> PyResult<()> {
    quicken_in::<M>(&py.get_type::<M::Class>())
}

/// The same in a class that stands on PyO3's.
pub(crate) fn quicken_in<M: Quick>(class: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    let made = replace(class, M::NAME, FLAGS, |pointer| {
        pointer.PyCFunctionFastWithKeywords = enter::<M>;
    })?;
    // Once: a second interpreter in this process would find it set, and PyO3 refuses such.
    let _ = M::original().descriptor.set(py, made.unbind());
    Ok(())
}

/// Put a method without arguments in the place of the one that PyO3 made.
pub(crate) fn quicken_plain<M: Plain>(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<M::Class>();
    replace(&class, M::NAME, ffi::METH_NOARGS, |pointer| {
        pointer.PyCFunction = enter_plain::<M>;
    })
    .map(drop)
}

/// Replace a method by another of the same signature and documentation; gives the one that was there.
fn replace<'py>(
    class: &Bound<'py, PyType>,
    name: &'static str,
    flags: c_int,
    point: impl FnOnce(&mut ffi::PyMethodDefPointer),
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let made = class.getattr(name)?;
    let signature: String = made.getattr("__text_signature__")?.extract()?;
    let documentation: Option<String> = made.getattr("__doc__")?.extract()?;
    // The interpreter reads the signature off the documentation of a built-in method.
    let text = format!(
        "{name}{signature}\n--\n\n{}",
        documentation.unwrap_or_default()
    );
    let mut method = ffi::PyMethodDef::zeroed();
    // All of it lives as long as the class, and classes of modules live as long as the process.
    method.ml_name = CString::new(name)?.into_raw();
    method.ml_doc = CString::new(text)?.into_raw();
    method.ml_flags = flags;
    point(&mut method.ml_meth);
    let method = Box::leak(Box::new(method));
    // SAFETY: `method` is never freed, and its flags say what its function takes.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), method);
        Bound::from_owned_ptr_or_err(py, descriptor)?
    };
    class.setattr(name, descriptor)?;
    Ok(made)
}

/// What the interpreter calls: `METH_FASTCALL | METH_KEYWORDS`.
unsafe extern "C" fn enter<M: Quick>(
    slf: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: see the module's head: attached, and `self` is an instance of the class.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Borrowed::from_ptr(py, slf))
    };
    let all = count.unsigned_abs() + named(names);
    let given = if all == 0 {
        &[]
    } else {
        // SAFETY: the interpreter gives so many arguments, those by name last.
        unsafe { std::slice::from_raw_parts(arguments, all) }
    };
    if names.is_null() {
        let quick = panic::catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: as above.
            let slf = unsafe { slf.cast_unchecked::<M::Class>() };
            M::call(slf, Arguments { given, py })
        }));
        match quick {
            Ok(Some(Ok(answer))) => return answer.into_ptr(),
            Ok(Some(Err(error))) => return raise(py, error),
            Ok(None) => {}
            Err(payload) => return panicked(py, &*payload),
        }
    }
    M::original()
        .call(slf, given, names)
        .unwrap_or_else(|error| raise(py, error))
}

/// What the interpreter calls: `METH_NOARGS`.
unsafe extern "C" fn enter_plain<M: Plain>(
    slf: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: see the module's head: attached, and `self` is an instance of the class.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Borrowed::from_ptr(py, slf).cast_unchecked::<M::Class>())
    };
    match panic::catch_unwind(AssertUnwindSafe(|| M::call(slf))) {
        Ok(Ok(answer)) => answer.into_ptr(),
        Ok(Err(error)) => raise(py, error),
        Err(payload) => panicked(py, &*payload),
    }
}

#[cold]
#[inline(never)]
pub(crate) fn raise(py: Python<'_>, error: PyErr) -> *mut ffi::PyObject {
    error.restore(py);
    ptr::null_mut()
}

#[cold]
#[inline(never)]
pub(crate) fn panicked(py: Python<'_>, payload: &(dyn Any + Send)) -> *mut ffi::PyObject {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("panic from Rust code").to_owned();
    raise(py, PanicException::new_err((text,)))
}
