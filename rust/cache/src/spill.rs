//! What left a shelf in one operation, to be dropped by the caller, after the lock.

/// Entries that left: mostly none or one, so these need no allocation.
#[derive(Debug)]
#[must_use = "dropping entries may run their own code: do it where no lock is held"]
pub struct Spill<K, V> {
    first: Option<(K, V)>,
    rest: Vec<(K, V)>,
}

impl<K, V> Default for Spill<K, V> {
    fn default() -> Self {
        Self {
            first: None,
            rest: Vec::new(),
        }
    }
}

impl<K, V> Spill<K, V> {
    pub(crate) fn push(&mut self, entry: (K, V)) {
        if self.first.is_none() {
            self.first = Some(entry);
        } else {
            self.rest.push(entry);
        }
    }

    /// How many left.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether nobody left.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl<K, V> IntoIterator for Spill<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Chain<std::option::IntoIter<(K, V)>, std::vec::IntoIter<(K, V)>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}
