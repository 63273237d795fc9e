//! What is taken of every dimension, in one atomic word.
//!
//! One word is what makes a reservation both all-or-nothing and exact: four counters with a roll-back would
//! refuse, for a moment, what fits, and coarse units would round. Each dimension gets as many bits as its
//! capacity needs, and the spare ones are shared out, so that a pool can grow.
//!
//! The lowest bits count changes of capacity. A taker reads the word, then the capacity, then swaps the word:
//! if the capacity changed in between, the word did too, and the swap fails. So after a pool has shrunk,
//! nothing is admitted that the smaller capacity refuses.

#[cfg(loom)]
use loom::{sync::atomic::AtomicU64, thread::yield_now};
use std::sync::atomic::Ordering::{Acquire, Release};
#[cfg(not(loom))]
use std::{sync::atomic::AtomicU64, thread::yield_now};

use parking_lot::Mutex;

use crate::amounts::{DIMENSIONS, Dimension};
use crate::error::Shortage;

/// Bits that count changes of capacity.
const EPOCH_BITS: u32 = 6;
const EPOCH_MASK: u128 = (1 << EPOCH_BITS) - 1;

/// An atomic word. A trait so that the algorithm can be model-checked on 64 bits.
pub(crate) trait Word {
    /// How many of its bits can be used.
    const BITS: u32;
    fn new(value: u128) -> Self;
    fn load(&self) -> u128;
    fn swap(&self, old: u128, new: u128) -> Result<(), u128>;
}

impl Word for portable_atomic::AtomicU128 {
    const BITS: u32 = 128;

    fn new(value: u128) -> Self {
        Self::new(value)
    }

    fn load(&self) -> u128 {
        self.load(portable_atomic::Ordering::Acquire)
    }

    fn swap(&self, old: u128, new: u128) -> Result<(), u128> {
        use portable_atomic::Ordering::{AcqRel, Acquire};
        self.compare_exchange_weak(old, new, AcqRel, Acquire)
            .map(drop)
    }
}

/// Which bits of the word belong to which dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    shift: [u32; DIMENSIONS],
    bits: [u32; DIMENSIONS],
}

impl Layout {
    /// A layout whose fields hold at least `capacity`, or `None` where the word is too narrow for that.
    fn new(capacity: [u64; DIMENSIONS], word: u32) -> Option<Self> {
        let mut bits = capacity.map(|most| (u64::BITS - most.leading_zeros()).max(1));
        let spare = (word - EPOCH_BITS).checked_sub(bits.iter().sum())?;
        let each = spare / u32::try_from(DIMENSIONS).ok()?;
        bits = bits.map(|bits| (bits + each).min(63));
        let mut next = EPOCH_BITS;
        let shift = bits.map(|bits| {
            next += bits;
            next - bits
        });
        Some(Self { shift, bits })
    }

    fn most(&self, dimension: usize) -> u64 {
        (1 << self.bits[dimension]) - 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to at most 63 bits")]
    fn get(&self, word: u128, dimension: usize) -> u64 {
        (word >> self.shift[dimension]) as u64 & self.most(dimension)
    }

    fn unpack(&self, word: u128) -> [u64; DIMENSIONS] {
        std::array::from_fn(|dimension| self.get(word, dimension))
    }

    /// The word that adds these amounts. They must not exceed the fields.
    fn pack(&self, amounts: [u64; DIMENSIONS]) -> u128 {
        (0..DIMENSIONS).fold(0, |word, dimension| {
            debug_assert!(amounts[dimension] <= self.most(dimension));
            word | (u128::from(amounts[dimension]) << self.shift[dimension])
        })
    }
}

/// The books of one pool.
#[derive(Debug)]
pub(crate) struct Packed<W> {
    word: W,
    /// What may be taken in all, over-commitment included.
    capacity: [AtomicU64; DIMENSIONS],
    layout: Layout,
    /// One change of capacity at a time. Takers never wait for it.
    resizing: Mutex<()>,
}

impl<W: Word> Packed<W> {
    /// Empty books, or `None` where the capacities are too large to share one word.
    pub(crate) fn new(capacity: [u64; DIMENSIONS]) -> Option<Self> {
        let layout = Layout::new(capacity, W::BITS)?;
        let capacity = capacity.map(AtomicU64::new);
        Some(Self {
            word: W::new(0),
            capacity,
            layout,
            resizing: Mutex::new(()),
        })
    }

    fn capacity(&self) -> [u64; DIMENSIONS] {
        std::array::from_fn(|dimension| self.capacity[dimension].load(Acquire))
    }

    /// Take all of `want`, or nothing.
    pub(crate) fn take(&self, want: [u64; DIMENSIONS]) -> Result<(), Vec<Shortage>> {
        let mut word = self.word.load();
        loop {
            let (used, capacity) = (self.layout.unpack(word), self.capacity());
            // A sum cannot overflow: both sides are below 2^63, or the capacity refuses first.
            let fits = (0..DIMENSIONS).all(|d| want[d] <= capacity[d].saturating_sub(used[d]));
            if fits {
                match self.word.swap(word, word + self.layout.pack(want)) {
                    Ok(()) => return Ok(()),
                    Err(seen) => word = seen,
                }
                continue;
            }
            // A refusal, too, must be true at one moment. The capacity was read after the word, and whoever
            // sees a new capacity sees the word it came with (hence Acquire and Release): if the word is
            // still the same, both held together.
            let again = self.word.load();
            if again == word {
                return Err(shortages(want, used, capacity));
            }
            word = again;
        }
    }

    /// Give back what was taken.
    pub(crate) fn give(&self, amounts: [u64; DIMENSIONS]) {
        let delta = self.layout.pack(amounts);
        let mut word = self.word.load();
        while let Err(seen) = self.word.swap(word, word - delta) {
            word = seen;
        }
    }

    /// What is taken, and of how much, at one moment.
    pub(crate) fn read(&self) -> ([u64; DIMENSIONS], [u64; DIMENSIONS]) {
        let mut word = self.word.load();
        loop {
            let capacity = self.capacity();
            let again = self.word.load();
            // An odd epoch is a change half-way.
            if again & EPOCH_MASK == word & EPOCH_MASK && again & 1 == 0 {
                return (self.layout.unpack(again), capacity);
            }
            if again & 1 == 1 {
                yield_now();
            }
            word = again;
        }
    }

    /// Change the capacity. Returns what is taken at that moment; it may be more than the new capacity.
    pub(crate) fn resize(
        &self,
        capacity: [u64; DIMENSIONS],
    ) -> Result<[u64; DIMENSIONS], Dimension> {
        let beyond = |d: &usize| capacity[*d] > self.layout.most(*d);
        if let Some(dimension) = (0..DIMENSIONS).find(beyond) {
            return Err(Dimension::ALL[dimension]);
        }
        let _one = self.resizing.lock();
        self.next_epoch();
        for (cell, &amount) in self.capacity.iter().zip(&capacity) {
            cell.store(amount, Release);
        }
        Ok(self.layout.unpack(self.next_epoch()))
    }

    /// Make every swap fail that began before. Returns the word as it was.
    fn next_epoch(&self) -> u128 {
        let mut word = self.word.load();
        loop {
            let next = (word & !EPOCH_MASK) | ((word + 1) & EPOCH_MASK);
            match self.word.swap(word, next) {
                Ok(()) => return word,
                Err(seen) => word = seen,
            }
        }
    }
}

/// Every dimension in which `want` is more than what is left.
pub(crate) fn shortages(
    want: [u64; DIMENSIONS],
    used: [u64; DIMENSIONS],
    capacity: [u64; DIMENSIONS],
) -> Vec<Shortage> {
    let shortage = |d: usize| {
        let free = capacity[d].saturating_sub(used[d]);
        let short = Shortage {
            dimension: Dimension::ALL[d],
            asked: want[d],
            free,
            capacity: capacity[d],
        };
        (want[d] > free).then_some(short)
    };
    (0..DIMENSIONS).filter_map(shortage).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Books = Packed<portable_atomic::AtomicU128>;

    #[test]
    fn a_large_machine_fits_into_one_word() {
        assert!(Books::new([512_000, 6 << 40, 50 << 40, 8_000]).is_some());
        assert!(Books::new([u64::MAX >> 1; DIMENSIONS]).is_none());
    }

    #[test]
    fn the_last_byte_can_be_taken_and_one_more_cannot() {
        let books = Books::new([4_000, (8 << 30) + 1, 0, 1_000]).unwrap();
        books.take([3_999, 8 << 30, 0, 333]).unwrap();
        books.take([1, 1, 0, 667]).unwrap();
        let short = books.take([0, 1, 1, 0]).unwrap_err();
        assert_eq!(
            short.iter().map(|s| s.dimension).collect::<Vec<_>>(),
            [Dimension::Memory, Dimension::Storage]
        );
        books.give([3_999, 8 << 30, 0, 333]);
        assert_eq!(books.read().0, [1, 1, 0, 667]);
    }

    #[test]
    fn a_shrunken_pool_admits_nothing_until_it_is_below() {
        let books = Books::new([4_000; DIMENSIONS]).unwrap();
        books.take([3_000; DIMENSIONS]).unwrap();
        assert_eq!(books.resize([2_000; DIMENSIONS]), Ok([3_000; DIMENSIONS]));
        assert!(books.take([1, 0, 0, 0]).is_err());
        books.take([0; DIMENSIONS]).unwrap();
        books.give([3_000; DIMENSIONS]);
        books.take([2_000; DIMENSIONS]).unwrap();
        assert_eq!(books.resize([u64::MAX, 0, 0, 0]), Err(Dimension::Cpus));
    }

    proptest! {
        #[test]
        fn fields_never_spill_into_one_another(
            capacity in prop::array::uniform4(0u64..1 << 29),
            part in prop::array::uniform4(0u64..=1000),
        ) {
            let books = Books::new(capacity).unwrap();
            let first: [u64; 4] = std::array::from_fn(|d| capacity[d] * part[d] / 1000);
            let rest = std::array::from_fn(|d| capacity[d] - first[d]);
            books.take(first).unwrap();
            prop_assert_eq!(books.read(), (first, capacity));
            books.take(rest).unwrap();
            prop_assert_eq!(books.read().0, capacity);
            books.give(first);
            prop_assert_eq!(books.read().0, rest);
        }
    }
}

/// Every interleaving of a few threads, on a word of 64 bits: `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo
/// test --release -p backstay-ledger --lib loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU64 as LoomU64;
    use std::sync::atomic::Ordering::AcqRel;

    impl Word for LoomU64 {
        const BITS: u32 = 64;

        fn new(value: u128) -> Self {
            Self::new(u64::try_from(value).unwrap())
        }

        fn load(&self) -> u128 {
            self.load(Acquire).into()
        }

        fn swap(&self, old: u128, new: u128) -> Result<(), u128> {
            let (old, new) = (u64::try_from(old).unwrap(), u64::try_from(new).unwrap());
            self.compare_exchange(old, new, AcqRel, Acquire)
                .map(drop)
                .map_err(u128::from)
        }
    }

    fn books(each: u64) -> Arc<Packed<LoomU64>> {
        Arc::new(Packed::new([each; DIMENSIONS]).unwrap())
    }

    #[test]
    fn loom_two_takers_share_what_fits_both_and_fight_for_what_does_not() {
        loom::model(|| {
            let books = books(3);
            let other = Arc::clone(&books);
            let thread = loom::thread::spawn(move || other.take([1, 2, 0, 1]).is_ok());
            let mine = books.take([2, 1, 3, 1]).is_ok();
            assert!(mine && thread.join().unwrap(), "both fit");
            assert_eq!(books.read().0, [3, 3, 3, 2]);

            let other = Arc::clone(&books);
            let thread = loom::thread::spawn(move || other.take([0, 0, 0, 1]).is_ok());
            let mine = books.take([0, 0, 0, 1]).is_ok();
            assert!(mine != thread.join().unwrap(), "one of them fits");
        });
    }

    #[test]
    fn loom_what_fits_is_not_refused_while_others_come_and_go() {
        loom::model(|| {
            let books = books(2);
            let other = Arc::clone(&books);
            let thread = loom::thread::spawn(move || {
                other.take([1; DIMENSIONS]).unwrap();
                other.give([1; DIMENSIONS]);
            });
            books.take([1; DIMENSIONS]).unwrap();
            books.give([1; DIMENSIONS]);
            thread.join().unwrap();
            assert_eq!(books.read().0, [0; DIMENSIONS]);
        });
    }

    #[test]
    fn loom_after_a_shrink_nothing_more_is_admitted() {
        loom::model(|| {
            let books = books(4);
            let other = Arc::clone(&books);
            let thread = loom::thread::spawn(move || other.take([3; DIMENSIONS]).is_ok());
            let used = books.resize([2; DIMENSIONS]).unwrap();
            // Whoever got in did so before the shrink, and the shrink saw it.
            let admitted = thread.join().unwrap();
            assert_eq!(
                used,
                if admitted {
                    [3; DIMENSIONS]
                } else {
                    [0; DIMENSIONS]
                }
            );
        });
    }
    #[test]
    fn loom_what_fits_before_and_after_a_shrink_is_not_refused_during_it() {
        loom::model(|| {
            let books = books(4);
            books.take([2; DIMENSIONS]).unwrap();
            let other = Arc::clone(&books);
            let thread = loom::thread::spawn(move || {
                other.give([2; DIMENSIONS]);
                other.resize([2; DIMENSIONS]).unwrap();
            });
            books.take([2; DIMENSIONS]).unwrap();
            thread.join().unwrap();
        });
    }
}
