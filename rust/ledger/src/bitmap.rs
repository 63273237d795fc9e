//! Which of 65,536 numbers are in a set, with the lowest found in three steps.
//!
//! A tree of 64-bit words: a bit above says whether the word below has any bit set.

const WORDS: usize = 1024;
const MIDDLE: usize = WORDS / 64;

/// A set of `u16`.
#[derive(Debug, Clone)]
pub(crate) struct Bitmap {
    top: u64,
    middle: [u64; MIDDLE],
    words: Box<[u64; WORDS]>,
}

impl Default for Bitmap {
    fn default() -> Self {
        Self {
            top: 0,
            middle: [0; MIDDLE],
            words: Box::new([0; WORDS]),
        }
    }
}

impl Bitmap {
    #[inline]
    pub(crate) fn insert(&mut self, number: u16) {
        let word = usize::from(number >> 6);
        let was_empty = self.words[word] == 0;
        self.words[word] |= 1 << (number & 63);
        if was_empty {
            self.middle[word >> 6] |= 1 << (word & 63);
            self.top |= 1 << (word >> 6);
        }
    }

    /// Take a number out; false if it was not in.
    #[inline]
    pub(crate) fn remove(&mut self, number: u16) -> bool {
        let (word, bit) = (usize::from(number >> 6), 1 << (number & 63));
        let was = self.words[word] & bit != 0;
        self.words[word] &= !bit;
        if self.words[word] == 0 {
            self.middle[word >> 6] &= !(1 << (word & 63));
            if self.middle[word >> 6] == 0 {
                self.top &= !(1 << (word >> 6));
            }
        }
        was
    }

    pub(crate) fn contains(&self, number: u16) -> bool {
        self.words[usize::from(number >> 6)] & (1 << (number & 63)) != 0
    }

    /// Every number in the set, ascending. Costs what the set is large, not what it could be.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        let words = bits(self.top).flat_map(|middle| {
            bits(self.middle[usize::from(middle)]).map(move |bit| middle * 64 + bit)
        });
        words.flat_map(|word| bits(self.words[usize::from(word)]).map(move |bit| word * 64 + bit))
    }

    /// The lowest number in the set.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bit positions are below 64"
    )]
    pub(crate) fn lowest(&self) -> Option<u16> {
        if self.top == 0 {
            return None;
        }
        let middle = self.top.trailing_zeros() as usize;
        let word = middle * 64 + self.middle[middle].trailing_zeros() as usize;
        Some((word * 64) as u16 + self.words[word].trailing_zeros() as u16)
    }
}

/// The numbers of the bits that are set, ascending.
fn bits(mut word: u64) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        // Below 64; and with no bit set, there is none to clear.
        let bit = u16::try_from(word.trailing_zeros()).ok()?;
        let cleared = word.checked_sub(1)?;
        word &= cleared;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_an_ordered_set(changes in prop::collection::vec((any::<bool>(), any::<u16>()), 0..400)) {
            let (mut bitmap, mut model) = (Bitmap::default(), BTreeSet::new());
            for (add, number) in changes {
                if add {
                    bitmap.insert(number);
                    model.insert(number);
                } else {
                    prop_assert_eq!(bitmap.remove(number), model.remove(&number));
                }
                prop_assert_eq!(bitmap.lowest(), model.first().copied());
                prop_assert_eq!(bitmap.contains(number), model.contains(&number));
            }
            prop_assert!(bitmap.iter().eq(model));
        }
    }
}
