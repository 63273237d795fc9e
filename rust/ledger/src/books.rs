//! The books of a pool: one atomic word where the capacities fit into it, a lock where they do not.

use parking_lot::Mutex;
use portable_atomic::AtomicU128;

use crate::amounts::{Amounts, DIMENSIONS, Dimension};
use crate::error::Shortage;
use crate::packed::{Packed, shortages};

#[derive(Debug)]
pub(crate) enum Books {
    /// Any one machine.
    Packed(Packed<AtomicU128>),
    /// Capacities that need more than 122 bits together: whole data centres in one pool.
    Wide(Mutex<Wide>),
}

#[derive(Debug)]
pub(crate) struct Wide {
    used: [u64; DIMENSIONS],
    capacity: [u64; DIMENSIONS],
}

impl Books {
    pub(crate) fn new(capacity: Amounts) -> Self {
        let capacity = capacity.as_array();
        match Packed::new(capacity) {
            Some(packed) => Self::Packed(packed),
            None => Self::Wide(Mutex::new(Wide {
                used: [0; DIMENSIONS],
                capacity,
            })),
        }
    }

    /// Take all of `want`, or nothing.
    pub(crate) fn take(&self, want: Amounts) -> Result<(), Vec<Shortage>> {
        let want = want.as_array();
        match self {
            Self::Packed(packed) => packed.take(want),
            Self::Wide(wide) => {
                let mut wide = wide.lock();
                let short = shortages(want, wide.used, wide.capacity);
                if !short.is_empty() {
                    return Err(short);
                }
                for (used, want) in wide.used.iter_mut().zip(want) {
                    *used += want;
                }
                Ok(())
            }
        }
    }

    /// Give back what was taken.
    pub(crate) fn give(&self, amounts: Amounts) {
        match self {
            Self::Packed(packed) => packed.give(amounts.as_array()),
            Self::Wide(wide) => {
                for (used, amount) in wide.lock().used.iter_mut().zip(amounts.as_array()) {
                    *used -= amount;
                }
            }
        }
    }

    /// What is taken, and of how much, at one moment.
    pub(crate) fn read(&self) -> (Amounts, Amounts) {
        let (used, capacity) = match self {
            Self::Packed(packed) => packed.read(),
            Self::Wide(wide) => {
                let wide = wide.lock();
                (wide.used, wide.capacity)
            }
        };
        (Amounts::from_array(used), Amounts::from_array(capacity))
    }

    /// Change the capacity; returns what is taken at that moment.
    pub(crate) fn resize(&self, capacity: Amounts) -> Result<Amounts, Dimension> {
        match self {
            Self::Packed(packed) => packed.resize(capacity.as_array()).map(Amounts::from_array),
            Self::Wide(wide) => {
                let mut wide = wide.lock();
                wide.capacity = capacity.as_array();
                Ok(Amounts::from_array(wide.used))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_too_wide_for_a_word_keep_the_same_rules() {
        let huge = Amounts::from_array([u64::MAX; DIMENSIONS]);
        let books = Books::new(huge);
        assert!(matches!(books, Books::Wide(_)));
        books.take(huge).unwrap();
        assert_eq!(
            books
                .take(Amounts {
                    memory: 1,
                    ..Amounts::default()
                })
                .unwrap_err()
                .len(),
            1
        );
        books.give(huge);
        assert_eq!(books.read(), (Amounts::default(), huge));
        assert_eq!(books.resize(Amounts::default()), Ok(Amounts::default()));
        assert!(
            books
                .take(Amounts {
                    memory: 1,
                    ..Amounts::default()
                })
                .is_err()
        );
    }
}
