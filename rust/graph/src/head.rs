//! Heads: as much of a name as two words hold, which for many is all of it.
//!
//! Two names of up to 15 bytes are the same if their heads are, so telling them apart touches no text. What is
//! longer has a hash and its last seven bytes in its head: equal heads then only say that it is worth looking.

use ahash::RandomState;

/// Up to 15 bytes of a name, padded, and in the last byte how many there are; or what stands for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head(u64, u64);

/// Where the length stands, and what stands there for names that are longer.
const LENGTH: u32 = 56;
const LONG: u64 = 0xff << LENGTH;

impl Head {
    /// No name has it.
    pub(crate) const NONE: Self = Self(0, LONG - 1);

    /// The hasher is for names that are longer than a head, and always the same for names that are compared.
    #[inline]
    pub(crate) fn of(name: &str, hasher: &RandomState) -> Self {
        let text = name.as_bytes();
        let length = text.len();
        if length < 8 {
            return Self(short(text), (length as u64) << LENGTH);
        }
        // The last eight bytes begin with what is in the first word already, and always with one such.
        let (first, last) = (word(text, 0), word(text, length - 8) >> 8);
        if length < 16 {
            let rest = last >> (8 * (15 - length));
            Self(first, rest | (length as u64) << LENGTH)
        } else {
            Self(long(text, hasher), last | LONG)
        }
    }

    /// A head for tests of the table, whose hash under no keys is `place`, nearly.
    #[cfg(test)]
    pub(crate) fn placed(place: u32, number: u32) -> Self {
        Self(place.into(), 1 << 32 | u64::from(number))
    }

    /// Whether the head is the whole name.
    #[inline]
    pub(crate) fn is_whole(self) -> bool {
        self.1 < LONG
    }

    /// A hash of the head: one multiplication, by secret keys, so that nobody can choose names that meet.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is cut off was folded in"
    )]
    pub(crate) fn mixed(self, keys: (u64, u64)) -> u32 {
        let product = u128::from(self.0 ^ keys.0) * u128::from(self.1 ^ keys.1);
        ((product >> 96) ^ (product >> 32)) as u32
    }
}

/// Eight bytes from a place on, the first one lowest.
#[inline]
fn word(text: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&text[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(never)]
fn long(text: &[u8], hasher: &RandomState) -> u64 {
    hasher.hash_one(text)
}

/// Fewer than eight bytes in a word, the first one lowest.
#[inline]
fn short(text: &[u8]) -> u64 {
    let length = text.len();
    match (text.first_chunk(), text.last_chunk()) {
        // They overlap, and agree where they do.
        (Some(first), Some(last)) => {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            u64::from(first) | u64::from(last) << (8 * (length - 4))
        }
        _ if length == 0 => 0,
        // The first byte, one in the middle and the last are all there are.
        _ => [0, length / 2, length - 1]
            .into_iter()
            .map(|at| u64::from(text[at]) << (8 * at))
            .fold(0, |word, byte| word | byte),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use ahash::RandomState;

    use super::Head;

    fn head(text: &[u8]) -> Head {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        Head::of(std::str::from_utf8(text).unwrap(), &hasher)
    }

    #[test]
    fn equal_heads_of_up_to_15_bytes_are_equal_names() {
        // Every text over two letters, one of them the padding's own.
        let mut seen: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
        for length in 0..=15 {
            for bits in 0..1u32 << length {
                let text: Vec<u8> = (0..length)
                    .map(|at| if bits >> at & 1 == 1 { b'a' } else { 0 })
                    .collect();
                let head = head(&text);
                assert!(head.is_whole());
                if let Some(other) = seen.insert((head.0, head.1), text.clone()) {
                    panic!("{text:?} and {other:?} have one head");
                }
            }
        }
    }

    #[test]
    fn each_byte_of_a_short_name_is_in_its_head() {
        for length in 1..=15 {
            let text: Vec<u8> = (1..=length).collect();
            let head = head(&text);
            let bytes = [head.0.to_le_bytes(), head.1.to_le_bytes()].concat();
            let padded = [&text[..], &vec![0; 15 - text.len()], &[length]].concat();
            assert_eq!(bytes, padded);
        }
    }

    #[test]
    fn a_long_name_is_never_taken_for_a_whole_one() {
        for length in [16, 17, 40, 254, 255, 256, 271] {
            assert!(!head(&vec![0x7f; length]).is_whole());
        }
    }
}
