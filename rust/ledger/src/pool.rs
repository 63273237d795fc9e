//! One pool: a capacity, and who holds what of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::AcqRel;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::amounts::{Amounts, DIMENSIONS, Dimension};
use crate::batch::Batch;
use crate::error::{LedgerError, Refusal, Shortage};
use crate::lease::{Claim, Holder, Lease};
use crate::names::Names;
use crate::scope::Scope;
use crate::slot::{Denied, Slot};

/// How many holders a refusal names.
const NAMED: usize = 8;
/// No over-commitment.
const PAR: u64 = 1000;

/// A capacity and its holders.
#[derive(Debug)]
pub struct Pool {
    scope: Arc<Scope>,
    /// The pool around this one, if it is a quota.
    outer: Option<Arc<Self>>,
    names: Arc<Names>,
    /// Guards the capacity as given; what the books admit is derived from it.
    nominal: Mutex<Nominal>,
    /// The pools inside this one.
    quotas: Mutex<Vec<Weak<Self>>>,
}

#[derive(Debug, Clone, Copy)]
struct Nominal {
    capacity: Amounts,
    /// Thousandths: 1500 lends half as much again as there is.
    ratio: [u64; DIMENSIONS],
}

impl Nominal {
    fn admitted(self) -> Amounts {
        let capacity = self.capacity.as_array();
        Amounts::from_array(std::array::from_fn(|d| {
            let product = u128::from(capacity[d]) * u128::from(self.ratio[d]) / u128::from(PAR);
            u64::try_from(product).unwrap_or(u64::MAX)
        }))
    }
}

/// What a pool has and what is taken of it, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What is reserved.
    pub used: Amounts,
    /// What may be reserved in all, over-commitment included.
    pub capacity: Amounts,
}

impl Usage {
    /// What is left.
    pub fn free(self) -> Amounts {
        self.capacity.saturating_sub(self.used)
    }

    /// What is reserved beyond the capacity, after the pool has shrunk.
    pub fn excess(self) -> Amounts {
        self.used.saturating_sub(self.capacity)
    }
}

/// One holder and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The holder; `pool/holder` if it holds it of a pool inside the one that was asked.
    pub holder: String,
    /// What it holds.
    pub amounts: Amounts,
}

impl Pool {
    /// An empty pool.
    pub fn new(name: &str, capacity: Amounts) -> Arc<Self> {
        Self::with(Scope::new(name, capacity), None)
    }

    /// A pool inside this one: a quota. What is reserved of it is reserved here too, all or nothing. A
    /// dimension without a number is limited by this pool only.
    ///
    /// Quotas nest; a reservation takes from the outermost pool inwards, under a lock of the outermost, and so
    /// costs some tens of nanoseconds more a level.
    pub fn quota(self: &Arc<Self>, name: &str, capacity: [Option<u64>; DIMENSIONS]) -> Arc<Self> {
        let scope = Scope::inside(&self.scope, name, capacity);
        let quota = Self::with(scope, Some(Arc::clone(self)));
        let mut quotas = self.quotas.lock();
        quotas.retain(|quota| quota.strong_count() > 0);
        quotas.push(Arc::downgrade(&quota));
        quota
    }

    fn with(scope: Scope, outer: Option<Arc<Self>>) -> Arc<Self> {
        let capacity = scope.capacity();
        Arc::new(Self {
            scope: Arc::new(scope),
            outer,
            names: Arc::default(),
            nominal: Mutex::new(Nominal {
                capacity,
                ratio: [PAR; DIMENSIONS],
            }),
            quotas: Mutex::default(),
        })
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.scope.name
    }

    /// Reserve all of `amounts` for `holder`, or nothing.
    ///
    /// # Errors
    /// [`LedgerError::DoesNotFit`], or [`LedgerError::AlreadyHeld`]: one reservation a holder and pool.
    #[inline]
    pub fn reserve(&self, holder: &str, amounts: Amounts) -> Result<Lease, LedgerError> {
        let lease = |slot: &Arc<Slot>, generation| Lease {
            slot: Arc::clone(slot),
            generation,
        };
        self.take(holder, amounts, lease)
    }

    /// [`reserve`](Self::reserve) without a lease, to be given back by [`release`](Self::release).
    #[inline]
    pub fn hold(&self, holder: &str, amounts: Amounts) -> Result<(), LedgerError> {
        self.take(holder, amounts, |_, _| ())
    }

    #[inline]
    fn take<T>(
        &self,
        holder: &str,
        amounts: Amounts,
        granted: impl FnOnce(&Arc<Slot>, u64) -> T,
    ) -> Result<T, LedgerError> {
        let taken = self.scope.parcel(amounts).map_err(Denied::Short);
        let taken = taken.and_then(|parcel| {
            self.names.with(&self.scope, holder, |slot| {
                slot.reserve(parcel)
                    .map(|generation| granted(slot, generation))
            })
        });
        // A refusal looks at all names: the lock on this one must be gone.
        taken.map_err(|denied| self.refused(holder, denied))
    }

    /// Look a holder and what it wants up once, to reserve and give back often.
    pub fn claim(self: &Arc<Self>, holder: &str, amounts: Amounts) -> Claim {
        Claim::new(self.holder(holder), amounts)
    }

    /// Look a holder up once, to reserve different things for it.
    pub fn holder(self: &Arc<Self>, holder: &str) -> Holder {
        let slot = self.names.with(&self.scope, holder, |slot| {
            slot.claims.fetch_add(1, AcqRel);
            Arc::clone(slot)
        });
        Holder::new(Arc::clone(self), slot)
    }

    /// A holder of many small reservations without names of their own.
    ///
    /// # Errors
    /// [`LedgerError::AlreadyHeld`]: one reservation a holder and pool.
    pub fn batch(&self, holder: &str) -> Result<Batch, LedgerError> {
        self.reserve(holder, Amounts::default()).map(Batch::new)
    }

    /// Reserve for every one of `requests`, or for none of them.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve); a refusal is about the sum.
    pub fn reserve_all(&self, requests: &[(&str, Amounts)]) -> Result<Vec<Lease>, LedgerError> {
        let Some(&(first, _)) = requests.first() else {
            return Ok(Vec::new());
        };
        let sum = requests
            .iter()
            .try_fold(Amounts::default(), |sum, (_, more)| sum.checked_add(*more));
        let sum = sum.unwrap_or(Amounts::from_array([u64::MAX; DIMENSIONS]));
        let taken = self.scope.parcel(sum).and_then(|sum| self.scope.take(sum));
        taken.map_err(|refused| self.refusal(first, Denied::Short(refused)))?;
        let mut leases: Vec<Lease> = Vec::with_capacity(requests.len());
        for &(holder, amounts) in requests {
            let lease = self.names.with(&self.scope, holder, |slot| {
                let parcel = self.scope.parcel(amounts).ok()?;
                let generation = slot.record(parcel)?;
                let slot = Arc::clone(slot);
                Some(Lease { slot, generation })
            });
            let Some(lease) = lease else {
                // What is recorded goes back by its lease, and the rest here. No sum is beyond the whole.
                let rest = &requests[leases.len()..];
                let rest = rest.iter().fold(Amounts::default(), |sum, (_, more)| {
                    sum.checked_add(*more).unwrap_or(sum)
                });
                self.scope.give_amounts(rest);
                for lease in leases {
                    lease.release();
                }
                return Err(self.refused(holder, Denied::Held));
            };
            leases.push(lease);
        }
        Ok(leases)
    }

    /// Give back what `holder` holds.
    ///
    /// # Errors
    /// [`LedgerError::NotHeld`] when it holds nothing.
    #[inline]
    pub fn release(&self, holder: &str) -> Result<(), LedgerError> {
        if self.names.release(holder) {
            return Ok(());
        }
        Err(self.not_held(holder))
    }

    #[cold]
    pub(crate) fn not_held(&self, holder: &str) -> LedgerError {
        LedgerError::NotHeld {
            pool: self.name().to_owned(),
            holder: holder.to_owned(),
        }
    }

    /// What `holder` holds.
    pub fn held(&self, holder: &str) -> Option<Amounts> {
        self.names.held(holder)
    }

    /// Whether `amounts` would fit now, here and in the pools around this one.
    pub fn fits(&self, amounts: Amounts) -> bool {
        self.scope.fits(amounts)
    }

    /// What there is and what is taken. The capacity of a quota is no more than there is around it.
    pub fn usage(&self) -> Usage {
        let (used, capacity) = self.scope.read();
        Usage { used, capacity }
    }

    /// Everyone who holds something of this pool, by name, those of the pools inside it included.
    pub fn holders(&self) -> Vec<Holding> {
        let mut holders = Vec::new();
        self.for_each(&[], &mut |path, holder, amounts| {
            let holder = joined(path, holder);
            holders.push(Holding { holder, amounts });
        });
        holders.sort_unstable_by(|a, b| a.holder.cmp(&b.holder));
        holders
    }

    /// See everyone who holds something: the pools on the way there, the holder, and what it holds.
    fn for_each(&self, path: &[&str], see: &mut impl FnMut(&[&str], &str, Amounts)) {
        self.names
            .for_each(|holder, amounts| see(path, holder, amounts));
        let quotas: Vec<_> = self
            .quotas
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for quota in quotas {
            quota.for_each(&[path, &[quota.name()]].concat(), see);
        }
    }

    /// How many names are remembered, whether they hold something or not.
    pub fn remembered(&self) -> usize {
        self.names.len()
    }

    /// Whether anybody holds anything of it, or a pool inside it is in use.
    pub(crate) fn is_in_use(&self) -> bool {
        let mut used = false;
        self.for_each(&[], &mut |_, _, _| used = true);
        used || self
            .quotas
            .lock()
            .iter()
            .any(|quota| quota.strong_count() > 0)
    }

    /// The capacity as given, before over-commitment.
    pub fn capacity(&self) -> Amounts {
        self.nominal.lock().capacity
    }

    /// Change the capacity while the pool is in use: a CPU was unplugged, a limit was lowered.
    ///
    /// Nothing is taken away. What is held beyond the new capacity is returned as [`Usage::excess`], and
    /// nothing new is admitted until it is given back.
    ///
    /// # Errors
    /// [`LedgerError::TooLarge`] when the pool cannot count that far.
    pub fn resize(&self, capacity: Amounts) -> Result<Usage, LedgerError> {
        self.resize_with(|_| capacity)
    }

    /// [`resize`](Self::resize) from what it is to something else, with nobody resizing in between.
    ///
    /// # Errors
    /// As `resize`.
    pub fn resize_with(&self, next: impl FnOnce(Amounts) -> Amounts) -> Result<Usage, LedgerError> {
        self.change(|nominal| nominal.capacity = next(nominal.capacity))
    }

    /// Lend `thousandths` of a dimension's capacity: 1500 is half as much again as there is.
    ///
    /// # Errors
    /// [`LedgerError::TooLarge`] when the pool cannot count that far.
    pub fn over_commit(
        &self,
        dimension: Dimension,
        thousandths: u64,
    ) -> Result<Usage, LedgerError> {
        self.change(|nominal| nominal.ratio[dimension as usize] = thousandths)
    }

    fn change(&self, edit: impl FnOnce(&mut Nominal)) -> Result<Usage, LedgerError> {
        let mut nominal = self.nominal.lock();
        let mut next = *nominal;
        edit(&mut next);
        let capacity = next.admitted();
        let used = self
            .scope
            .resize(capacity)
            .map_err(|dimension| LedgerError::TooLarge {
                pool: self.name().to_owned(),
                dimension,
            })?;
        *nominal = next;
        Ok(Usage { used, capacity })
    }

    /// A refused reservation by name, which may have made the name.
    #[cold]
    fn refused(&self, holder: &str, denied: Denied) -> LedgerError {
        self.names.tidy(holder);
        self.refusal(holder, denied)
    }

    /// Say why. Walks over the holders of the pool that is short, to name the largest.
    #[cold]
    pub(crate) fn refusal(&self, holder: &str, denied: Denied) -> LedgerError {
        let holder = holder.to_owned();
        match denied {
            Denied::Held => LedgerError::AlreadyHeld {
                pool: self.name().to_owned(),
                holder,
            },
            Denied::Short(refused) => {
                let pool = self.at(refused.depth);
                let shortages = refused.short.shortages();
                let holders = pool.largest(&shortages);
                let pool = pool.name().to_owned();
                LedgerError::DoesNotFit(Box::new(Refusal {
                    pool,
                    holder,
                    shortages,
                    holders,
                }))
            }
        }
    }

    /// This pool, or the one around it with so many more around that.
    fn at(&self, depth: usize) -> &Self {
        match &self.outer {
            Some(outer) if self.scope.depth() > depth => outer.at(depth),
            _ => self,
        }
    }

    /// The largest holders of the first dimension that is short.
    fn largest(&self, shortages: &[Shortage]) -> Vec<(String, u64)> {
        let Some(first) = shortages.first() else {
            return Vec::new();
        };
        // The smallest of the largest on top, to be replaced.
        let mut largest = BinaryHeap::with_capacity(NAMED + 1);
        self.for_each(&[], &mut |path, holder, amounts| {
            let amount = amounts.of(first.dimension);
            let more = |Reverse((least, _)): &Reverse<(u64, _)>| amount > *least;
            if amount > 0 && (largest.len() < NAMED || largest.peek().is_some_and(more)) {
                largest.push(Reverse((amount, Reverse(joined(path, holder)))));
                if largest.len() > NAMED {
                    largest.pop();
                }
            }
        });
        let largest = largest.into_sorted_vec().into_iter();
        largest
            .map(|Reverse((amount, Reverse(holder)))| (holder, amount))
            .collect()
    }
}

/// The name of a holder as seen from a pool further out.
fn joined(path: &[&str], holder: &str) -> String {
    let parts: Vec<&str> = path.iter().copied().chain([holder]).collect();
    parts.join("/")
}
