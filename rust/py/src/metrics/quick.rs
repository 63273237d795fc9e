//! Finding a series by its labels and writing to it, without what PyO3 puts around a call.

use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::labelled::Face;
use super::{Counter, Gauge, Histogram};
use crate::fast::{Answer, Arguments, none, quick, quicken};

quick!(CounterLabels, Counter, "labels", labels);
quick!(GaugeLabels, Gauge, "labels", labels);
quick!(HistogramLabels, Histogram, "labels", labels);
quick!(CounterInc, Counter, "inc", count);
quick!(GaugeInc, Gauge, "inc", increase);
quick!(GaugeDec, Gauge, "dec", decrease);
quick!(GaugeSet, Gauge, "set", set);
quick!(HistogramObserve, Histogram, "observe", observe);

pub(crate) fn quicken_all(py: Python<'_>) -> PyResult<()> {
    let all: [fn(Python<'_>) -> PyResult<()>; 8] = [
        quicken::<CounterLabels>,
        quicken::<GaugeLabels>,
        quicken::<HistogramLabels>,
        quicken::<CounterInc>,
        quicken::<GaugeInc>,
        quicken::<GaugeDec>,
        quicken::<GaugeSet>,
        quicken::<HistogramObserve>,
    ];
    all.iter().try_for_each(|quicken| quicken(py))
}

#[inline]
fn labels<'py, T: Face>(slf: Borrowed<'_, 'py, T>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    let child = slf.get().metric().near(arguments.iter(), slf.py())?;
    Some(Ok(child.into_any()))
}

/// The series to write to; that there is none is left to the method of PyO3's to say.
#[inline]
fn series<'a, T: Face>(slf: &'a Borrowed<'_, '_, T>) -> Option<&'a T::Series> {
    slf.get().metric().series().ok()
}

/// A float, or what is meant where nothing is given.
#[inline]
fn amount(arguments: Arguments<'_, '_>, default: Option<f64>) -> Option<f64> {
    match arguments.exactly() {
        Some([amount]) => Some(amount.cast_exact::<PyFloat>().ok()?.value()),
        None => arguments.exactly::<0>().and(default),
    }
}

#[inline]
fn count<'py>(slf: Borrowed<'_, 'py, Counter>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    let amount = amount(arguments, Some(1.0)).filter(|amount| *amount >= 0.0)?;
    series(&slf)?.add(amount);
    Some(Ok(none(slf.py())))
}

#[inline]
fn increase<'py>(slf: Borrowed<'_, 'py, Gauge>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    series(&slf)?.add(amount(arguments, Some(1.0))?);
    Some(Ok(none(slf.py())))
}

#[inline]
fn decrease<'py>(slf: Borrowed<'_, 'py, Gauge>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    series(&slf)?.add(-amount(arguments, Some(1.0))?);
    Some(Ok(none(slf.py())))
}

#[inline]
fn set<'py>(slf: Borrowed<'_, 'py, Gauge>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    series(&slf)?.set(amount(arguments, None)?);
    Some(Ok(none(slf.py())))
}

#[inline]
fn observe<'py>(slf: Borrowed<'_, 'py, Histogram>, arguments: Arguments<'_, 'py>) -> Answer<'py> {
    series(&slf)?.observe(amount(arguments, None)?);
    Some(Ok(none(slf.py())))
}
