//! An exposition in parts: to be copied once, to where it is wanted.

use std::sync::Arc;

/// Everything a scrape gets, as it was at one time.
#[derive(Debug, Default, Clone)]
pub struct Exposition {
    parts: Vec<Arc<Vec<u8>>>,
    len: usize,
}

impl Exposition {
    pub(crate) fn push(&mut self, part: Arc<Vec<u8>>) {
        if !part.is_empty() {
            self.len += part.len();
            self.parts.push(part);
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its bytes, part after part.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| part.as_slice())
    }
}
