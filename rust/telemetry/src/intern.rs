//! Label values, each text once: a hundred thousand series of ten services share ten names.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;

#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: HashTable<Arc<str>>,
    hasher: RandomState,
}

impl Interner {
    /// The shared copy of `text`.
    pub(crate) fn intern(&mut self, text: &str) -> Arc<str> {
        let hash = self.hasher.hash_one(text);
        let hasher = |text: &Arc<str>| self.hasher.hash_one(&**text);
        let entry = self.texts.entry(hash, |known| **known == *text, hasher);
        Arc::clone(entry.or_insert_with(|| text.into()).get())
    }

    /// Forget the texts that a dead series was the last to use.
    pub(crate) fn release(&mut self, texts: &[Arc<str>]) {
        for text in texts {
            // One is the table's, the others the series' own, which goes next.
            let own = texts.iter().filter(|other| Arc::ptr_eq(other, text));
            if Arc::strong_count(text) > 1 + own.count() {
                continue;
            }
            let hash = self.hasher.hash_one(&**text);
            if let Ok(entry) = self
                .texts
                .find_entry(hash, |known| Arc::ptr_eq(known, text))
            {
                entry.remove();
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_only_while_it_is_used() {
        let mut texts = Interner::default();
        let (one, two) = ([texts.intern("a"), texts.intern("b")], [texts.intern("a")]);
        assert!(Arc::ptr_eq(&one[0], &two[0]));
        texts.release(&one);
        drop(one);
        assert_eq!(texts.len(), 1);
        texts.release(&two);
        assert_eq!(texts.len(), 0);
    }
}
