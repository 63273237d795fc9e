//! What is left of every dimension, in one atomic word.
//!
//! One word is what makes a reservation both all-or-nothing and exact: four counters with a roll-back would
//! refuse, for a moment, what fits, and coarse units would round. Each dimension gets as many bits as its
//! capacity needs, and the spare ones are shared out, so that a pool can grow.
//!
//! Above each dimension's bits stands a guard, set while the dimension is not overdrawn. Subtracting a request
//! takes a guard down exactly where too little is left, so that all four dimensions are decided by one
//! subtraction. The word holds what is *left*: a change of capacity is a change of the word, and whoever
//! decides on the word has decided on the capacity too. After a shrink a dimension may be overdrawn; its guard
//! is down then, and nothing more of it is admitted.

use std::sync::atomic::Ordering::{Acquire, Release};

use crate::amounts::{DIMENSIONS, Dimension};
use crate::error::Short;
use crate::sequence::Sequence;
use crate::sync::{AtomicU64, Mutex};

/// An atomic word. A trait so that the algorithm can be model-checked on 64 bits.
pub(crate) trait Word {
    /// How many of its bits can be used.
    const BITS: u32;
    fn new(value: u128) -> Self;
    fn load(&self) -> u128;
    /// Put `new` where `old` is, or say what is there. May fail for no reason.
    fn swap(&self, old: u128, new: u128) -> Result<(), u128>;
}

#[cfg(not(loom))]
impl Word for portable_atomic::AtomicU128 {
    const BITS: u32 = 128;

    fn new(value: u128) -> Self {
        Self::new(value)
    }

    #[inline]
    fn load(&self) -> u128 {
        self.load(Acquire)
    }

    #[inline]
    fn swap(&self, old: u128, new: u128) -> Result<(), u128> {
        self.compare_exchange_weak(old, new, std::sync::atomic::Ordering::AcqRel, Acquire)
            .map(drop)
    }
}

/// Which bits of the word belong to which dimension: two dimensions to a half, so that no field lies across both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// The dimensions at the bottom and at the top of each half.
    order: [[u8; 2]; 2],
    /// Without the guards.
    bits: [[u8; 2]; 2],
    /// Bits of a half.
    half: u8,
    /// In each half, the highest bits of its two fields.
    guards: u128,
}

impl Layout {
    /// A layout whose fields hold at least `capacity`, or `None` where the word is too narrow for that.
    fn new(capacity: [u64; DIMENSIONS], word: u32) -> Option<Self> {
        let half = u8::try_from(word / 2).ok()?;
        let need = |d: u8| {
            let bits = u64::BITS - capacity[usize::from(d)].leading_zeros();
            u8::try_from(bits).unwrap_or(u8::MAX).max(1)
        };
        // The widest shares with the narrowest.
        let mut order = [0, 1, 2, 3];
        order.sort_by_key(|d| need(*d));
        let order = [[order[0], order[3]], [order[1], order[2]]];
        let mut bits = order.map(|pair| pair.map(need));
        for pair in &mut bits {
            let spare = half.checked_sub(pair[0] + pair[1] + 2)?;
            *pair = [pair[0] + spare / 2, pair[1] + spare.div_ceil(2)];
        }
        let guard = |[low, high]: [u8; 2]| 1u128 << low | 1u128 << (low + 1 + high);
        Some(Self {
            order,
            bits,
            half,
            guards: guard(bits[0]) | guard(bits[1]) << half,
        })
    }

    fn most(&self) -> [u64; DIMENSIONS] {
        self.spread(self.bits.map(|pair| pair.map(|bits| (1 << bits) - 1)))
    }

    /// Bring what is in the word's order into that of [`Amounts::as_array`](crate::Amounts::as_array).
    fn spread<T: Copy + Default>(&self, pairs: [[T; 2]; 2]) -> [T; DIMENSIONS] {
        let mut all = [T::default(); DIMENSIONS];
        for (order, pair) in self.order.iter().zip(pairs) {
            for (d, value) in order.iter().zip(pair) {
                all[usize::from(*d)] = value;
            }
        }
        all
    }

    /// What is left of each; negative where more is held than there is.
    #[expect(clippy::cast_possible_truncation, reason = "the half that is wanted")]
    fn unpack(&self, word: u128) -> [i64; DIMENSIONS] {
        let halves = [word as u64, (word >> self.half) as u64];
        let mut pairs = [[0; 2]; 2];
        for (half, (pair, [low, high])) in pairs.iter_mut().zip(self.bits).enumerate() {
            let fields = [halves[half], halves[half] >> (low + 1)];
            for ((free, field), bits) in pair.iter_mut().zip(fields).zip([low, high]) {
                *free = (field & ((2 << bits) - 1)).cast_signed() - (1 << bits);
            }
        }
        self.spread(pairs)
    }

    /// The inverse of [`unpack`](Self::unpack).
    fn pack(&self, free: [i64; DIMENSIONS]) -> u128 {
        let most = self.most();
        self.join(std::array::from_fn(|d| {
            (free[d] + most[d].cast_signed() + 1).cast_unsigned()
        }))
    }

    /// Put each number into its field.
    #[inline]
    fn join(&self, numbers: [u64; DIMENSIONS]) -> u128 {
        let half = |half: usize| {
            let [low, high] = self.order[half].map(|d| numbers[usize::from(d)]);
            low | high << (self.bits[half][0] + 1)
        };
        u128::from(half(0)) | u128::from(half(1)) << self.half
    }

    /// What a request takes off the word; `None` where it is more than could ever be there.
    #[inline]
    fn delta(&self, want: [u64; DIMENSIONS]) -> Option<u128> {
        let mut beyond = 0;
        for (order, bits) in self.order.iter().zip(self.bits) {
            for (d, bits) in order.iter().zip(bits) {
                beyond |= want[usize::from(*d)] >> bits;
            }
        }
        (beyond == 0).then(|| self.join(want))
    }

    /// The word after a request, or `None` where it does not fit.
    #[inline]
    fn after(&self, word: u128, delta: u128) -> Option<u128> {
        let next = word.wrapping_sub(delta);
        if word & next & self.guards == self.guards {
            return Some(next);
        }
        self.after_overdrawn(word, delta)
    }

    /// As [`after`](Self::after), dimension by dimension: of what is overdrawn, nothing can still be asked for.
    #[cold]
    fn after_overdrawn(&self, word: u128, delta: u128) -> Option<u128> {
        let free = self.unpack(word);
        let want = self.unpack(delta | self.guards).map(i64::unsigned_abs);
        fits(want, free).then(|| self.pack(less(free, want)))
    }
}

/// Whether a request fits into what is left.
#[inline]
fn fits(want: [u64; DIMENSIONS], free: [i64; DIMENSIONS]) -> bool {
    (0..DIMENSIONS).all(|d| want[d] <= u64::try_from(free[d]).unwrap_or(0))
}

/// What is left after a request that [`fits`].
fn less(free: [i64; DIMENSIONS], want: [u64; DIMENSIONS]) -> [i64; DIMENSIONS] {
    std::array::from_fn(|d| free[d] - want[d].cast_signed())
}

/// The books of one pool.
///
/// Takers need only the first 64 bytes, and none of what other threads write without the word.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Packed<W> {
    free: W,
    layout: Layout,
    /// What may be taken in all, over-commitment included.
    capacity: [AtomicU64; DIMENSIONS],
    /// Over `capacity` and `free` together.
    sequence: Sequence,
    /// The capacity again, and the turn of `sequence`: one change at a time. Takers never wait for it.
    resizing: Mutex<([u64; DIMENSIONS], u64)>,
}

impl<W: Word> Packed<W> {
    /// Empty books, or `None` where the capacities are too large to share one word.
    pub(crate) fn new(capacity: [u64; DIMENSIONS]) -> Option<Self> {
        let layout = Layout::new(capacity, W::BITS)?;
        Some(Self {
            free: W::new(layout.delta(capacity)? | layout.guards),
            layout,
            capacity: capacity.map(AtomicU64::new),
            sequence: Sequence::default(),
            resizing: Mutex::new((capacity, 0)),
        })
    }

    /// The largest capacity that these books can have.
    pub(crate) fn most(&self) -> [u64; DIMENSIONS] {
        self.layout.most()
    }

    /// A request as the word counts it; `None` where it is more than could ever be there.
    #[inline]
    pub(crate) fn delta(&self, want: [u64; DIMENSIONS]) -> Option<u128> {
        self.layout.delta(want)
    }

    /// The inverse of [`delta`](Self::delta).
    pub(crate) fn amounts(&self, delta: u128) -> [u64; DIMENSIONS] {
        let free = self.layout.unpack(delta | self.layout.guards);
        free.map(i64::unsigned_abs)
    }

    /// Take all of a request, or nothing.
    #[inline]
    pub(crate) fn take(&self, delta: u128) -> Result<(), Short> {
        loop {
            let mut word = self.free.load();
            while let Some(next) = self.layout.after(word, delta) {
                match self.free.swap(word, next) {
                    Ok(()) => return Ok(()),
                    Err(seen) => word = seen,
                }
            }
            // A refusal, and the capacity it names, must be true at one moment; if it fits by now, try again.
            self.check(self.amounts(delta))?;
        }
    }

    /// Whether `want` fits now.
    #[cold]
    pub(crate) fn check(&self, want: [u64; DIMENSIONS]) -> Result<(), Short> {
        let (free, capacity) = self.settled();
        if fits(want, free) {
            return Ok(());
        }
        let free = free.map(|free| u64::try_from(free).unwrap_or(0));
        Err(Short {
            want,
            free,
            capacity,
        })
    }

    /// Take one request after another as far as they fit, all at one moment. Says which got in; returns what
    /// they took in all.
    pub(crate) fn take_each(
        &self,
        wants: &[[u64; DIMENSIONS]],
        granted: &mut [bool],
    ) -> [u64; DIMENSIONS] {
        let mut word = self.free.load();
        loop {
            let before = self.layout.unpack(word);
            let mut free = before;
            for (want, granted) in wants.iter().zip(granted.iter_mut()) {
                *granted = fits(*want, free);
                if *granted {
                    free = less(free, *want);
                }
            }
            match self.free.swap(word, self.layout.pack(free)) {
                Ok(()) => return std::array::from_fn(|d| before[d].abs_diff(free[d])),
                Err(seen) => word = seen,
            }
        }
    }

    /// Give back what was taken.
    #[inline]
    pub(crate) fn give(&self, delta: u128) {
        let mut word = self.free.load();
        while let Err(seen) = self.free.swap(word, word + delta) {
            word = seen;
        }
    }

    /// What is taken, and of how much, at one moment.
    pub(crate) fn read(&self) -> ([u64; DIMENSIONS], [u64; DIMENSIONS]) {
        let (free, capacity) = self.settled();
        let used = std::array::from_fn(|d| (capacity[d].cast_signed() - free[d]).cast_unsigned());
        (used, capacity)
    }

    /// What is left, and of how much, at one moment.
    fn settled(&self) -> ([i64; DIMENSIONS], [u64; DIMENSIONS]) {
        self.sequence.read(|| {
            let capacity = std::array::from_fn(|d| self.capacity[d].load(Acquire));
            (self.layout.unpack(self.free.load()), capacity)
        })
    }

    /// Change the capacity. Returns what is taken at that moment; it may be more than the new capacity.
    pub(crate) fn resize(
        &self,
        capacity: [u64; DIMENSIONS],
    ) -> Result<[u64; DIMENSIONS], Dimension> {
        let most = self.most();
        if let Some(d) = (0..DIMENSIONS).find(|&d| capacity[d] > most[d]) {
            return Err(Dimension::ALL[d]);
        }
        let mut resizing = self.resizing.lock();
        let (now, turn) = &mut *resizing;
        let before = std::mem::replace(now, capacity).map(u64::cast_signed);
        self.sequence.write(turn, || {
            for (cell, &amount) in self.capacity.iter().zip(&capacity) {
                cell.store(amount, Release);
            }
            let mut word = self.free.load();
            loop {
                let free = self.layout.unpack(word);
                let next = std::array::from_fn(|d| free[d] + capacity[d].cast_signed() - before[d]);
                match self.free.swap(word, self.layout.pack(next)) {
                    Ok(()) => {
                        return Ok(std::array::from_fn(|d| {
                            (before[d] - free[d]).cast_unsigned()
                        }));
                    }
                    Err(seen) => word = seen,
                }
            }
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Books = Packed<portable_atomic::AtomicU128>;

    fn take(books: &Books, want: [u64; DIMENSIONS]) -> Result<(), Short> {
        match books.delta(want) {
            Some(delta) => books.take(delta),
            None => books.check(want),
        }
    }

    fn give(books: &Books, amounts: [u64; DIMENSIONS]) {
        let delta = books.delta(amounts).expect("what is held has one");
        assert_eq!(books.amounts(delta), amounts);
        books.give(delta);
    }

    #[test]
    fn a_large_machine_fits_into_one_word() {
        assert!(Books::new([512_000, 6 << 40, 50 << 40, 8_000]).is_some());
        assert!(Books::new([u64::MAX >> 1; DIMENSIONS]).is_none());
        assert!(Books::new([1 << 61, 0, 0, 0]).is_none());
        assert_eq!(Books::new([1 << 60, 0, 0, 0]).unwrap().read().1[0], 1 << 60);
    }

    #[test]
    fn the_last_byte_can_be_taken_and_one_more_cannot() {
        let books = Books::new([4_000, (8 << 30) + 1, 0, 1_000]).unwrap();
        take(&books, [3_999, 8 << 30, 0, 333]).unwrap();
        take(&books, [1, 1, 0, 667]).unwrap();
        let short = take(&books, [0, 1, 1, 0]).unwrap_err().shortages();
        assert_eq!(
            short.iter().map(|s| s.dimension).collect::<Vec<_>>(),
            [Dimension::Memory, Dimension::Storage]
        );
        assert!(take(&books, [u64::MAX, 0, 0, 0]).is_err());
        give(&books, [3_999, 8 << 30, 0, 333]);
        assert_eq!(books.read().0, [1, 1, 0, 667]);
    }

    #[test]
    fn a_shrunken_pool_admits_nothing_until_it_is_below() {
        let books = Books::new([4_000; DIMENSIONS]).unwrap();
        take(&books, [3_000; DIMENSIONS]).unwrap();
        assert_eq!(
            books.resize([2_000, 3_500, 0, 3_000]),
            Ok([3_000; DIMENSIONS])
        );
        assert!(take(&books, [1, 0, 0, 0]).is_err());
        assert!(take(&books, [0, 501, 0, 0]).is_err());
        take(&books, [0; DIMENSIONS]).unwrap();
        take(&books, [0, 500, 0, 0]).unwrap();
        assert_eq!(books.read().0, [3_000, 3_500, 3_000, 3_000]);
        give(&books, [3_000, 3_500, 3_000, 3_000]);
        take(&books, [2_000, 3_500, 0, 3_000]).unwrap();
        assert_eq!(books.resize([u64::MAX, 0, 0, 0]), Err(Dimension::Cpus));
    }

    proptest! {
        #[test]
        fn fields_never_spill_into_one_another(
            capacity in prop::array::uniform4(0u64..1 << 29),
            part in prop::array::uniform4(0u64..=1000),
            later in prop::array::uniform4(0u64..1 << 29),
        ) {
            let books = Books::new(capacity).unwrap();
            let first: [u64; 4] = std::array::from_fn(|d| capacity[d] * part[d] / 1000);
            let rest = std::array::from_fn(|d| capacity[d] - first[d]);
            take(&books, first).unwrap();
            prop_assert_eq!(books.read(), (first, capacity));
            take(&books, rest).unwrap();
            prop_assert_eq!(books.read().0, capacity);
            if books.resize(later).is_ok() {
                prop_assert_eq!(books.read(), (capacity, later));
            }
            give(&books, first);
            prop_assert_eq!(books.read().0, rest);
        }

        #[test]
        fn several_at_once_get_what_each_would_get_in_turn(
            capacity in prop::array::uniform4(0u64..30),
            shrunk in prop::array::uniform4(0u64..30),
            wants in prop::collection::vec(prop::array::uniform4(0u64..9), 0..20),
        ) {
            let (together, apart) = (Books::new(capacity).unwrap(), Books::new(capacity).unwrap());
            for books in [&together, &apart] {
                take(books, capacity.map(|all| all / 2)).unwrap();
                books.resize(shrunk).unwrap();
            }
            let mut granted = vec![false; wants.len()];
            let before = together.read().0;
            let sum = together.take_each(&wants, &mut granted);
            for (want, granted) in wants.iter().zip(granted) {
                prop_assert_eq!(take(&apart, *want).is_ok(), granted);
            }
            prop_assert_eq!(together.read(), apart.read());
            let after: [u64; 4] = std::array::from_fn(|d| before[d] + sum[d]);
            prop_assert_eq!(together.read().0, after);
        }
    }
}
