//! From a list of pairs to a graph, as fast as the objects can be looked at.
//!
//! A few dozen pairs at a time: first the objects, then the numbers of those that were met before (told by their
//! address), then the numbers of all other names in one go.

use backstay_graph::Node;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use super::identities::Identities;
use super::state::State;

/// How many pairs are taken together.
const ABREAST: usize = 64;

/// One end of an edge.
#[derive(Clone, Copy)]
enum End {
    Known(Node),
    /// It has a name, at this place among those to be looked up.
    Named(usize),
}

/// The graph of a list of pairs of a service and what it depends on.
pub(super) fn load(edges: &Bound<'_, PyList>) -> PyResult<State> {
    let mut state = State::default();
    let count = edges.len();
    state.graph.reserve(count);
    let mut known = Identities::default();
    let mut pairs = Vec::with_capacity(ABREAST);
    for start in (0..count).step_by(ABREAST) {
        pairs.clear();
        for at in start..count.min(start + ABREAST) {
            pairs.push(edges.get_item(at)?);
        }
        if known.given_up() {
            take(&mut state, &pairs)?;
        } else {
            take_knowing(&mut state, &mut known, &pairs)?;
        }
    }
    Ok(state)
}

/// Take pairs over by their names alone.
fn take(state: &mut State, pairs: &[Bound<'_, PyAny>]) -> PyResult<()> {
    let mut names = Vec::with_capacity(2 * ABREAST);
    for pair in pairs {
        let (service, on) = ends_of(pair)?;
        names.push(as_str(service)?);
        names.push(as_str(on)?);
    }
    let nodes = numbers(state, &names, |_, _, _| ())?;
    let edges = nodes.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    state.graph.depend_all(edges);
    Ok(())
}

/// Take pairs over, by identity where possible.
fn take_knowing(
    state: &mut State,
    known: &mut Identities,
    pairs: &[Bound<'_, PyAny>],
) -> PyResult<()> {
    let mut names = Vec::with_capacity(2 * ABREAST);
    let mut ends = Vec::with_capacity(2 * ABREAST);
    for pair in pairs {
        let (service, on) = ends_of(pair)?;
        for end in [service, on] {
            ends.push(if let Some(node) = known.find(end.as_ptr().addr()) {
                End::Known(node)
            } else {
                names.push(as_str(end)?);
                End::Named(names.len() - 1)
            });
        }
    }
    let nodes = numbers(state, &names, |node, name, new| {
        if new {
            known.note(name.as_ptr().addr(), node);
        } else {
            known.missed();
        }
    })?;
    let node = |end| match end {
        End::Known(node) => node,
        End::Named(place) => nodes[place],
    };
    let edges = ends.chunks_exact(2);
    let edges = edges.map(|ends| (node(ends[0]), node(ends[1])));
    state.graph.depend_all(edges);
    Ok(())
}

/// The numbers of names; `found` hears of each whether it is new.
fn numbers<'a, 'py>(
    state: &mut State,
    names: &[Borrowed<'a, 'py, PyString>],
    mut found: impl FnMut(Node, Borrowed<'a, 'py, PyString>, bool),
) -> PyResult<Vec<Node>> {
    let mut texts = Vec::with_capacity(2 * ABREAST);
    for name in names {
        texts.push(name.to_str()?);
    }
    let mut nodes = Vec::with_capacity(2 * ABREAST);
    state.graph.add_all(&texts, &mut nodes);
    for ((name, text), &node) in names.iter().zip(texts).zip(&nodes) {
        found(node, *name, state.keep(node, name, text));
    }
    Ok(nodes)
}

type Ends<'a, 'py> = (Borrowed<'a, 'py, PyAny>, Borrowed<'a, 'py, PyAny>);

/// The two ends of an edge. Asking for the exact type first is a comparison, not a call.
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
