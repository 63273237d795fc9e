//! From a list of pairs to a graph, as fast as the objects can be looked at.
//!
//! Objects that were met before are told by their address. Where each edge has objects of its own, the names are
//! looked up, many at a time, because each look-up waits for memory.

use backstay_graph::Node;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::ahead::{self, Ahead, End};
use super::identities::Identities;
use super::state::State;

/// A graph on its way, with room for the block at hand.
#[derive(Default)]
struct Load<'a> {
    state: State,
    known: Identities,
    texts: Vec<&'a str>,
    nodes: Vec<Node>,
}

/// The graph of a list of pairs of a service and what it depends on.
#[expect(unsafe_code, reason = "the list stands still; see `Ahead`")]
pub(super) fn load(edges: &Bound<'_, PyList>) -> PyResult<State> {
    let mut load = Load::default();
    load.state.graph.reserve(edges.len());
    // SAFETY: nothing below runs Python code; whatever fails returns at once.
    let mut ahead = unsafe { Ahead::new(edges) }?;
    let mut ends = Vec::with_capacity(2 * ahead::BLOCK);
    loop {
        ahead.next(&mut ends, load.known.given_up())?;
        if ends.is_empty() {
            return Ok(load.state);
        }
        load.nodes.clear();
        load.texts.clear();
        if load.known.given_up() {
            load.by_name(&ends)?;
        } else {
            load.by_address(&ends)?;
        }
        let pairs = load.nodes.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        load.state.graph.depend_all(pairs);
    }
}

impl<'a> Load<'a> {
    /// Find the nodes of a block's ends by their names.
    fn by_name(&mut self, ends: &[End<'a, '_>]) -> PyResult<()> {
        for &end in ends {
            let text = ahead::text(end).ok_or_else(|| ahead::refusal(end))?;
            self.texts.push(text);
        }
        let before = self.state.graph.bound();
        self.state.graph.add_all(&self.texts, &mut self.nodes);
        if self.state.graph.bound() > before {
            for ((end, text), &node) in ends.iter().zip(&self.texts).zip(&self.nodes) {
                if self.state.is_next(node) {
                    self.state.keep(end.cast::<PyString>()?, text);
                }
            }
        }
        Ok(())
    }

    /// Find the nodes of a block's ends by their addresses, where these are known.
    fn by_address(&mut self, ends: &[End<'a, '_>]) -> PyResult<()> {
        let address = |end: &End<'_, '_>| end.as_ptr().addr();
        for end in ends {
            self.known.fetch(address(end));
        }
        let mut found: Vec<_> = ends
            .iter()
            .map(|end| self.known.find(address(end)))
            .collect();
        let unknown: Vec<usize> = (0..ends.len()).filter(|&at| found[at].is_none()).collect();
        if !unknown.is_empty() {
            for &at in &unknown {
                let text = ahead::text(ends[at]).ok_or_else(|| ahead::refusal(ends[at]))?;
                self.texts.push(text);
            }
            self.state.graph.add_all(&self.texts, &mut self.nodes);
            for ((at, &node), text) in unknown.into_iter().zip(&self.nodes).zip(&self.texts) {
                found[at] = Some(node);
                if self.state.is_next(node) {
                    self.state.keep(ends[at].cast::<PyString>()?, text);
                    self.known.note(address(&ends[at]), node);
                } else {
                    self.known.missed();
                }
            }
            self.nodes.clear();
        }
        self.nodes.extend(found.into_iter().flatten());
        Ok(())
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
