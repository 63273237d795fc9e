//! From a list of pairs to a graph, as fast as the objects can be looked at.
//!
//! Objects that were met before are told by their address. Where each edge has objects of its own, names are looked
//! up one by one as long as the table of names is near, and many at a time when each look-up waits for memory.

use std::ops::Range;

use backstay_graph::Node;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use super::identities::Identities;
use super::state::State;

/// How many pairs are taken together.
const ABREAST: usize = 64;

/// Of more services than this, the names are too far away to be looked up one by one.
const FAR: usize = 16_384;

/// The graph of a list of pairs of a service and what it depends on.
pub(super) fn load(edges: &Bound<'_, PyList>) -> PyResult<State> {
    let mut state = State::default();
    let mut known = Identities::default();
    let count = edges.len();
    state.graph.reserve(count);
    for start in (0..count).step_by(ABREAST) {
        let places = start..count.min(start + ABREAST);
        if known.given_up() && state.graph.bound() > FAR {
            take_many(&mut state, edges, places)?;
        } else {
            take(&mut state, &mut known, edges, places)?;
        }
    }
    Ok(state)
}

/// Take pairs over one by one.
fn take(
    state: &mut State,
    known: &mut Identities,
    edges: &Bound<'_, PyList>,
    places: Range<usize>,
) -> PyResult<()> {
    let mut nodes = Vec::with_capacity(ABREAST);
    let mut last = None;
    for place in places {
        let pair = edges.get_item(place)?;
        let (service, on) = ends_of(&pair)?;
        // Mostly, what a service depends on stands together.
        let service = number(state, known, service, last)?;
        last = Some(service);
        nodes.push((service, number(state, known, on, None)?));
    }
    state.graph.depend_all(nodes);
    Ok(())
}

/// The number of an object's name, which may be that of `likely`.
#[inline]
fn number(
    state: &mut State,
    known: &mut Identities,
    end: Borrowed<'_, '_, PyAny>,
    likely: Option<Node>,
) -> PyResult<Node> {
    if let Some(node) = known.find(end.as_ptr().addr()) {
        return Ok(node);
    }
    let name = as_str(end)?;
    let text = name.to_str()?;
    if let Some(likely) = likely
        && state.graph.is_name(likely, text)
    {
        known.missed();
        return Ok(likely);
    }
    let node = state.graph.add(text);
    if state.keep(node, &name, text) {
        known.note(name.as_ptr().addr(), node);
    } else {
        known.missed();
    }
    Ok(node)
}

/// Take pairs over by their names, all at once.
fn take_many(state: &mut State, edges: &Bound<'_, PyList>, places: Range<usize>) -> PyResult<()> {
    let mut pairs = Vec::with_capacity(ABREAST);
    for place in places {
        pairs.push(edges.get_item(place)?);
    }
    let mut names = Vec::with_capacity(2 * ABREAST);
    for pair in &pairs {
        let (service, on) = ends_of(pair)?;
        names.push(as_str(service)?);
        names.push(as_str(on)?);
    }
    let mut texts = Vec::with_capacity(2 * ABREAST);
    for name in &names {
        texts.push(name.to_str()?);
    }
    let mut nodes = Vec::with_capacity(2 * ABREAST);
    state.graph.add_all(&texts, &mut nodes);
    for ((name, text), &node) in names.iter().zip(texts).zip(&nodes) {
        state.keep(node, name, text);
    }
    let pairs = nodes.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    state.graph.depend_all(pairs);
    Ok(())
}

type Ends<'a, 'py> = (Borrowed<'a, 'py, PyAny>, Borrowed<'a, 'py, PyAny>);

/// The two ends of an edge. Asking for the exact type first is a comparison, not a call.
#[inline]
fn ends_of<'a, 'py>(edge: &'a Bound<'py, PyAny>) -> PyResult<Ends<'a, 'py>> {
    let pair = match edge.cast_exact::<PyTuple>() {
        Ok(pair) => pair,
        Err(_) => edge.cast::<PyTuple>()?,
    };
    match pair.len() {
        2 => Ok((pair.get_borrowed_item(0)?, pair.get_borrowed_item(1)?)),
        _ => Err(PyValueError::new_err(
            "an edge is a pair: a service and what it depends on",
        )),
    }
}

#[inline]
fn as_str<'a, 'py>(end: Borrowed<'a, 'py, PyAny>) -> PyResult<Borrowed<'a, 'py, PyString>> {
    match end.cast_exact::<PyString>() {
        Ok(name) => Ok(name),
        Err(_) => Ok(end.cast::<PyString>()?),
    }
}

/// The graph of named services and pairs of places in that list.
pub(super) fn load_indices(names: &[Bound<'_, PyString>], pairs: &[u32]) -> PyResult<State> {
    let mut state = State::default();
    for (place, name) in names.iter().enumerate() {
        if state.add(name)?.index() < place {
            return Err(PyValueError::new_err(format!("`{name}` is named twice")));
        }
    }
    if !pairs.len().is_multiple_of(2) {
        return Err(PyValueError::new_err(
            "an edge is a pair of numbers, and the last has no second",
        ));
    }
    if let Some(index) = pairs
        .iter()
        .find(|&&index| state.graph.at(index as usize).is_none())
    {
        let services = state.graph.len();
        return Err(PyValueError::new_err(format!(
            "there is no service {index} among {services}"
        )));
    }
    let ends = |pair: &[u32]| {
        let at = |index| state.graph.at(index as usize);
        Some((at(pair[0])?, at(pair[1])?))
    };
    let edges: Vec<_> = pairs.chunks_exact(2).filter_map(ends).collect();
    state.graph.depend_all(edges);
    Ok(state)
}
