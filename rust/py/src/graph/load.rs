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
struct Load<'a, 'py> {
    state: State,
    known: Identities,
    /// The nodes of the ends.
    nodes: Vec<Node>,
    /// Of the ends that are looked up by name: their names.
    texts: Vec<&'a str>,
    /// Where some were found by address: all ends.
    found: Vec<Found>,
    /// Those that were not.
    unknown: Vec<End<'a, 'py>>,
    /// And their nodes.
    named: Vec<Node>,
}

/// Where the node of an end is.
#[derive(Clone, Copy)]
enum Found {
    Known(Node),
    /// In this place among those that were looked up by name.
    Named(usize),
}

/// The graph of a list of pairs of a service and what it depends on.
#[expect(unsafe_code, reason = "the list stands still; see `Ahead`")]
pub(super) fn load(edges: &Bound<'_, PyList>) -> PyResult<State> {
    let mut load = Load::default();
    load.state.graph.reserve(edges.len());
    // SAFETY: nothing below runs Python code; whatever fails returns at once.
    let mut ahead = unsafe { Ahead::new(edges) }?;
    let mut ends = Vec::with_capacity(ahead::BLOCK);
    loop {
        ahead.next(&mut ends, load.known.given_up())?;
        if ends.is_empty() {
            return Ok(load.state);
        }
        load.nodes.clear();
        if load.known.given_up() {
            load.by_name(ends.as_flattened())?;
        } else {
            for &end in ahead.coming().as_flattened() {
                load.known.fetch(address(end));
            }
            load.by_address(ends.as_flattened())?;
        }
        let (pairs, _) = load.nodes.as_chunks();
        let pairs = pairs.iter().map(|&[service, on]| (service, on));
        load.state.graph.depend_all(pairs);
    }
}

impl<'a, 'py> Load<'a, 'py> {
    /// Find the nodes of a block's ends by their names.
    fn by_name(&mut self, ends: &[End<'a, 'py>]) -> PyResult<()> {
        read(ends, &mut self.texts)?;
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
    fn by_address(&mut self, ends: &[End<'a, 'py>]) -> PyResult<()> {
        self.found.clear();
        self.unknown.clear();
        for (at, &end) in ends.iter().enumerate() {
            // Mostly, a service stands in its edges one after another.
            let found = if at >= 2 && address(ends[at - 2]) == address(end) {
                self.found[at - 2]
            } else if let Some(node) = self.known.find(address(end)) {
                Found::Known(node)
            } else {
                ahead::fetch(end);
                self.unknown.push(end);
                Found::Named(self.unknown.len() - 1)
            };
            self.found.push(found);
        }
        self.named.clear();
        if !self.unknown.is_empty() {
            self.name_unknown(ends.len())?;
        }
        self.nodes
            .extend(self.found.iter().map(|&found| match found {
                Found::Known(node) => node,
                Found::Named(at) => self.named[at],
            }));
        Ok(())
    }

    /// Find the nodes of what is unknown, in a block of so many ends.
    fn name_unknown(&mut self, ends: usize) -> PyResult<()> {
        read(&self.unknown, &mut self.texts)?;
        self.state.graph.add_all(&self.texts, &mut self.named);
        let mut misses = 0;
        for ((&end, text), &node) in self.unknown.iter().zip(&self.texts).zip(&self.named) {
            if self.state.is_next(node) {
                self.state.keep(end.cast::<PyString>()?, text);
                self.known.note(address(end), node);
            } else if self.known.find(address(end)).is_none() {
                misses += 1;
            }
        }
        self.known.count(ends - self.unknown.len(), misses);
        Ok(())
    }
}

fn address(end: End<'_, '_>) -> usize {
    end.as_ptr().addr()
}

/// The texts of some ends.
fn read<'a>(ends: &[End<'a, '_>], texts: &mut Vec<&'a str>) -> PyResult<()> {
    texts.resize(ends.len(), "");
    for (text, &end) in texts.iter_mut().zip(ends) {
        *text = ahead::text(end).ok_or_else(|| ahead::refusal(end))?;
    }
    Ok(())
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
