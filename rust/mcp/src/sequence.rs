//! Maps by numbers that are given out one after the other, as those of calls are.
//!
//! Such a number is its own hash: what was entered together lies together, so that ten thousand calls in flight are a
//! ring in memory and not ten thousand places to wait for. Only for numbers of our own: whoever could choose them could
//! have them collide.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by such numbers.
pub type BySequence<V> = HashMap<u64, V, BuildHasherDefault<Sequential>>;

/// The hash of such a number; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequential(u64);

impl Hasher for Sequential {
    fn write(&mut self, bytes: &[u8]) {
        // Not for these; right all the same.
        for byte in bytes {
            self.write_u64(self.0.rotate_left(5) ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The low bits are the place in the table, the highest seven tell neighbours apart.
        self.0 = number ^ (number << 57);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn neighbours_lie_together_and_are_told_apart() {
        let hash = |number: u64| BuildHasherDefault::<Sequential>::default().hash_one(number);
        for number in [0, 1, 127, 128, 1 << 40] {
            let (one, next) = (hash(number), hash(number + 1));
            assert_eq!(
                (one & 0xffff, next & 0xffff),
                (number & 0xffff, (number + 1) & 0xffff)
            );
            assert_ne!(one >> 57, next >> 57);
        }
        let mut map = BySequence::default();
        map.extend((0..1000).map(|number| (number, number)));
        assert!((0..1000).all(|number| map.remove(&number) == Some(number)) && map.is_empty());
    }
}
