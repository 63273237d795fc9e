//! A pool's books and those of the pools around it: a reservation in a quota counts in all of them.
//!
//! Quotas nest: fleet, then service. A reservation inside takes the outermost books first, under a lock of the
//! outermost scope: nobody else takes inside it meanwhile, so that what was found to fit the inner books still
//! does when the outermost has admitted it, and nothing is ever taken and handed back. A reservation straight
//! from the outermost pool, and every return, takes no lock.

use std::sync::Arc;

use crate::amounts::{Amounts, DIMENSIONS, Dimension};
use crate::books::{Books, Parcel};
use crate::error::Short;
use crate::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) name: Box<str>,
    books: Books,
    /// The scopes around this one, outermost first.
    around: Box<[Arc<Scope>]>,
    /// Guards taking in, and changing the capacity of, the scopes inside this one if it is the outermost. Held
    /// for some loads and swaps, never across a wait.
    inside: Mutex<()>,
}

/// A request that did not fit, and into which scope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    /// How many scopes are around the one that refused.
    pub(crate) depth: usize,
    pub(crate) short: Short,
}

impl Refused {
    /// Boxed, so that what is admitted need not make room for a refusal.
    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "the box is the point")]
    fn new(depth: usize, short: Short) -> Box<Self> {
        Box::new(Self { depth, short })
    }
}

impl Scope {
    pub(crate) fn new(name: &str, capacity: Amounts) -> Self {
        Self::with(name, capacity, Box::default())
    }

    /// A scope inside `outer`; `None` limits nothing but what `outer` does.
    pub(crate) fn inside(
        outer: &Arc<Self>,
        name: &str,
        capacity: [Option<u64>; DIMENSIONS],
    ) -> Self {
        let most = outer.books.most().as_array();
        let capacity = std::array::from_fn(|d| capacity[d].unwrap_or(most[d]));
        let around = outer.around.iter().chain([outer]).map(Arc::clone).collect();
        Self::with(name, Amounts::from_array(capacity), around)
    }

    fn with(name: &str, capacity: Amounts, around: Box<[Arc<Self>]>) -> Self {
        Self {
            name: name.into(),
            books: Books::new(capacity),
            around,
            inside: Mutex::new(()),
        }
    }

    /// Amounts as this scope counts them.
    ///
    /// # Errors
    /// When they are more than it could ever admit.
    #[inline]
    pub(crate) fn parcel(&self, amounts: Amounts) -> Result<Parcel, Box<Refused>> {
        self.books
            .parcel(amounts)
            .ok_or_else(|| self.beyond(amounts))
    }

    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "as `Refused::new`")]
    fn beyond(&self, amounts: Amounts) -> Box<Refused> {
        let (used, capacity) = self.books.read();
        let short = Short {
            want: amounts.as_array(),
            free: capacity.saturating_sub(used).as_array(),
            capacity: capacity.as_array(),
        };
        Refused::new(self.depth(), short)
    }

    /// The inverse of [`parcel`](Self::parcel).
    pub(crate) fn amounts(&self, parcel: Parcel) -> Amounts {
        self.books.amounts(parcel)
    }

    /// Take all of `want` here and in every scope around, or nothing.
    #[inline]
    pub(crate) fn take(&self, want: Parcel) -> Result<(), Box<Refused>> {
        if self.around.is_empty() {
            return self
                .books
                .take(want)
                .map_err(|short| Refused::new(0, short));
        }
        self.take_nested(want)
    }

    fn take_nested(&self, want: Parcel) -> Result<(), Box<Refused>> {
        let Some((outermost, between)) = self.around.split_first() else {
            return self.take(want);
        };
        let amounts = self.books.amounts(want);
        let _one = outermost.inside.lock();
        let inner = || {
            between
                .iter()
                .map(|scope| &scope.books)
                .chain([&self.books])
        };
        for (books, depth) in inner().zip(1..) {
            let refused = |short| Refused::new(depth, short);
            books.check(amounts).map_err(refused)?;
        }
        outermost.take(outermost.parcel(amounts)?)?;
        for books in inner() {
            // It was found to fit, and since then there were only returns.
            let taken = books.parcel(amounts).map(|parcel| books.take(parcel));
            debug_assert!(matches!(taken, Some(Ok(()))), "taken past the lock");
        }
        Ok(())
    }

    /// Take one request after another as far as they fit. Says which got in; returns what they took in all.
    pub(crate) fn take_each(
        &self,
        wants: &[[u64; DIMENSIONS]],
        granted: &mut [bool],
    ) -> [u64; DIMENSIONS] {
        if self.around.is_empty() {
            return self.books.take_each(wants, granted);
        }
        let mut sum = [0; DIMENSIONS];
        for (want, granted) in wants.iter().zip(granted) {
            let parcel = self.books.parcel(Amounts::from_array(*want));
            *granted = parcel.is_some_and(|want| self.take_nested(want).is_ok());
            if *granted {
                sum = std::array::from_fn(|d| sum[d] + want[d]);
            }
        }
        sum
    }

    /// Give back what was taken, innermost first: outside never shows less than inside.
    #[inline]
    pub(crate) fn give(&self, parcel: Parcel) {
        self.books.give(parcel);
        if !self.around.is_empty() {
            self.give_around(self.books.amounts(parcel));
        }
    }

    /// [`give`](Self::give) amounts that were taken, in whatever parcels.
    pub(crate) fn give_amounts(&self, amounts: Amounts) {
        if let Some(parcel) = self.books.parcel(amounts) {
            self.give(parcel);
        }
    }

    fn give_around(&self, amounts: Amounts) {
        for scope in self.around.iter().rev() {
            // It was taken there, so there is a parcel of it.
            if let Some(parcel) = scope.books.parcel(amounts) {
                scope.books.give(parcel);
            }
        }
    }

    /// Whether `want` fits here and in every scope around.
    pub(crate) fn fits(&self, want: Amounts) -> bool {
        let mut around = self.around.iter();
        self.books.check(want).is_ok() && around.all(|scope| scope.books.check(want).is_ok())
    }

    /// What is taken, and of how much; of a quota, no more than there is around it.
    pub(crate) fn read(&self) -> (Amounts, Amounts) {
        let (used, capacity) = self.books.read();
        let around = self.around.iter().map(|scope| scope.books.read().1);
        (used, around.fold(capacity, Amounts::min))
    }

    /// How many scopes are around this one.
    pub(crate) fn depth(&self) -> usize {
        self.around.len()
    }

    /// The capacity of its own books.
    pub(crate) fn capacity(&self) -> Amounts {
        self.books.read().1
    }

    /// Change the capacity; returns what is taken at that moment.
    pub(crate) fn resize(&self, capacity: Amounts) -> Result<Amounts, Dimension> {
        let _one = self.around.first().map(|outermost| outermost.inside.lock());
        self.books.resize(capacity)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn memory(bytes: u64) -> Amounts {
        Amounts {
            memory: bytes,
            ..Amounts::default()
        }
    }

    fn take(scope: &Scope, bytes: u64) -> Result<(), usize> {
        let taken = scope
            .parcel(memory(bytes))
            .and_then(|want| scope.take(want));
        taken.map_err(|refused| refused.depth)
    }

    #[test]
    fn a_reservation_counts_in_every_scope_around_it_and_the_first_too_small_refuses() {
        let machine = Arc::new(Scope::new("machine", memory(10)));
        let fleet = Arc::new(Scope::inside(
            &machine,
            "fleet",
            [None, Some(6), None, None],
        ));
        let web = Scope::inside(&fleet, "web", [None, Some(4), None, None]);
        take(&web, 3).unwrap();
        let used = [&machine, &fleet].map(|scope| scope.read().0);
        assert_eq!(used, [memory(3); 2]);
        assert_eq!(take(&web, 2), Err(2));
        assert_eq!(take(&web, u64::MAX), Err(2));
        assert_eq!(take(&fleet, 4), Err(1));
        take(&machine, 7).unwrap();
        assert_eq!(take(&web, 1), Err(0));
        assert!(!web.fits(memory(1)) && web.fits(memory(0)));
        assert_eq!(
            web.read(),
            (memory(3), memory(4)),
            "a refusal took something"
        );
        web.give(web.parcel(memory(3)).unwrap());
        assert_eq!(
            [&machine, &fleet].map(|scope| scope.read().0.memory),
            [7, 0]
        );
    }

    #[test]
    fn a_quota_without_a_number_has_what_is_around_it_even_after_that_grew() {
        let machine = Arc::new(Scope::new("machine", memory(10)));
        let fleet = Scope::inside(&machine, "fleet", [None; DIMENSIONS]);
        assert_eq!(fleet.read().1, memory(10));
        machine.resize(memory(15)).unwrap();
        take(&fleet, 15).unwrap();
        assert_eq!(fleet.read(), (memory(15), memory(15)));
    }
}
