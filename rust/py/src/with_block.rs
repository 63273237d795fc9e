//! What makes a class a context manager that gives itself back at the end of the block.

/// `with_block!(Class, end)`, or `with_block!(Class, begin, end)` where entering does something that can fail.
macro_rules! with_block {
    ($class:ident, $end:expr) => {
        $crate::with_block::with_block!($class, |_this| Ok(()), $end);
    };
    ($class:ident, $begin:expr, $end:expr) => {
        #[pymethods]
        impl $class {
            fn __enter__(slf: Py<Self>) -> PyResult<Py<Self>> {
                let begin: fn(&Self) -> PyResult<()> = $begin;
                begin(slf.get())?;
                Ok(slf)
            }

            #[pyo3(signature = (_kind: "object", _error: "object", _traceback: "object", /))]
            fn __exit__(
                &self,
                py: Python<'_>,
                _kind: &Bound<'_, PyAny>,
                _error: &Bound<'_, PyAny>,
                _traceback: &Bound<'_, PyAny>,
            ) {
                let end: fn(&Self, Python<'_>) -> bool = $end;
                end(self, py);
            }
        }
    };
}
pub(crate) use with_block;

/// `quick_block!(Enter, Exit, Class, begin, end)`: the same two methods without what PyO3 puts around a call; what can
/// fail gives an error that Python has.
macro_rules! quick_block {
    ($enter:ident, $exit:ident, $class:ident, |$begun:ident, $py:ident| $begin:expr, |$ended:ident, $at:ident| $end:expr) => {
        $crate::fast::plain!($enter, $class, "__enter__", |$begun, $py| {
            $begin?;
            Ok($begun.to_owned().into_any())
        });
        $crate::fast::quick!($exit, $class, "__exit__", {
            #[inline]
            fn exit<'py>(
                $ended: Borrowed<'_, 'py, $class>,
                arguments: $crate::fast::Arguments<'_, 'py>,
            ) -> $crate::fast::Answer<'py> {
                let [_, _, _] = arguments.exactly()?;
                let $at = $ended.py();
                $end;
                Some(Ok($crate::fast::none($at)))
            }
            exit
        });
    };
}
pub(crate) use quick_block;
