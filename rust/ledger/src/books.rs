//! The books of a pool: one atomic word where the capacities fit into it, a lock where they do not.

use crate::amounts::{Amounts, DIMENSIONS, Dimension};
use crate::error::Short;
use crate::packed::Packed;
use crate::sync::WideWord;
use crate::wide::Wide;

#[derive(Debug)]
pub(crate) enum Books {
    /// Any one machine.
    Packed(Packed<WideWord>),
    /// Capacities that need more than 124 bits together: whole data centres in one pool.
    Wide(Wide),
}

/// Amounts as the books of one pool count them: worked out once, taken and given back often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parcel(pub(crate) [u64; DIMENSIONS]);

impl Parcel {
    #[expect(clippy::cast_possible_truncation, reason = "that is what is wanted")]
    #[inline]
    fn packed(delta: u128) -> Self {
        Self([delta as u64, (delta >> 64) as u64, 0, 0])
    }

    #[inline]
    fn delta(self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }
}

impl Books {
    pub(crate) fn new(capacity: Amounts) -> Self {
        let capacity = capacity.as_array();
        match Packed::new(capacity) {
            Some(packed) => Self::Packed(packed),
            None => Self::Wide(Wide::new(capacity)),
        }
    }

    /// The largest capacity that these books can have.
    pub(crate) fn most(&self) -> Amounts {
        Amounts::from_array(match self {
            Self::Packed(packed) => packed.most(),
            Self::Wide(_) => [u64::MAX; DIMENSIONS],
        })
    }

    /// Amounts as these books count them; `None` where that is more than they could ever admit.
    #[inline]
    pub(crate) fn parcel(&self, amounts: Amounts) -> Option<Parcel> {
        match self {
            Self::Packed(packed) => packed.delta(amounts.as_array()).map(Parcel::packed),
            Self::Wide(_) => Some(Parcel(amounts.as_array())),
        }
    }

    /// The inverse of [`parcel`](Self::parcel).
    pub(crate) fn amounts(&self, parcel: Parcel) -> Amounts {
        Amounts::from_array(match self {
            Self::Packed(packed) => packed.amounts(parcel.delta()),
            Self::Wide(_) => parcel.0,
        })
    }

    /// Take all of `want`, or nothing.
    #[inline]
    pub(crate) fn take(&self, want: Parcel) -> Result<(), Short> {
        match self {
            Self::Packed(packed) => packed.take(want.delta()),
            Self::Wide(wide) => wide.take(want.0),
        }
    }

    /// Whether `want` fits now.
    pub(crate) fn check(&self, want: Amounts) -> Result<(), Short> {
        match self {
            Self::Packed(packed) => packed.check(want.as_array()),
            Self::Wide(wide) => wide.check(want.as_array()),
        }
    }

    /// Take one request after another as far as they fit, all at one moment. Says which got in; returns what
    /// they took in all.
    pub(crate) fn take_each(
        &self,
        wants: &[[u64; DIMENSIONS]],
        granted: &mut [bool],
    ) -> [u64; DIMENSIONS] {
        match self {
            Self::Packed(packed) => packed.take_each(wants, granted),
            Self::Wide(wide) => wide.take_each(wants, granted),
        }
    }

    /// Give back what was taken.
    #[inline]
    pub(crate) fn give(&self, parcel: Parcel) {
        match self {
            Self::Packed(packed) => packed.give(parcel.delta()),
            Self::Wide(wide) => wide.give(parcel.0),
        }
    }

    /// What is taken, and of how much, at one moment.
    pub(crate) fn read(&self) -> (Amounts, Amounts) {
        let (used, capacity) = match self {
            Self::Packed(packed) => packed.read(),
            Self::Wide(wide) => wide.read(),
        };
        (Amounts::from_array(used), Amounts::from_array(capacity))
    }

    /// Change the capacity; returns what is taken at that moment.
    pub(crate) fn resize(&self, capacity: Amounts) -> Result<Amounts, Dimension> {
        match self {
            Self::Packed(packed) => packed.resize(capacity.as_array()).map(Amounts::from_array),
            Self::Wide(wide) => Ok(Amounts::from_array(wide.resize(capacity.as_array()))),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn books_too_wide_for_a_word_keep_the_same_rules() {
        let byte = Amounts {
            memory: 1,
            ..Amounts::default()
        };
        let huge = Amounts::from_array([u64::MAX; DIMENSIONS]);
        let books = Books::new(huge);
        assert!(matches!(books, Books::Wide(_)));
        let parcels = [huge, byte].map(|amounts| books.parcel(amounts).unwrap());
        books.take(parcels[0]).unwrap();
        assert_eq!(books.take(parcels[1]).unwrap_err().shortages().len(), 1);
        books.give(parcels[0]);
        assert_eq!(books.read(), (Amounts::default(), huge));
        let mut granted = [false; 2];
        let wants = [huge.as_array(), byte.as_array()];
        assert_eq!(books.take_each(&wants, &mut granted), huge.as_array());
        assert_eq!(granted, [true, false]);
        books.give(parcels[0]);
        assert_eq!(books.resize(Amounts::default()), Ok(Amounts::default()));
        assert!(books.take(parcels[1]).is_err() && books.check(byte).is_err());
    }
}
