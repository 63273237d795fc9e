//! One pool: a capacity, and who holds what of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ahash::RandomState;
use dashmap::DashMap;
use parking_lot::Mutex;

use crate::amounts::{Amounts, DIMENSIONS, Dimension};
use crate::books::Books;
use crate::error::{LedgerError, Refusal, Shortage};
use crate::slot::{Denied, Slot};

/// Names without a reservation that may be remembered beyond as many as hold one.
const IDLE_NAMES: usize = 256;
/// How many holders a refusal names.
const NAMED: usize = 8;
/// No over-commitment.
const PAR: u64 = 1000;

/// A capacity and its holders. Share it behind an [`Arc`].
#[derive(Debug)]
pub struct Pool {
    name: Box<str>,
    books: Arc<Books>,
    /// Every holder's slot. A name that gave everything back stays for a while, so that reserving again
    /// allocates nothing; [`prune`](Self::prune) bounds how many do.
    slots: DashMap<Box<str>, Arc<Slot>, RandomState>,
    /// How many more new names may come before the next look at what can be forgotten.
    room: AtomicUsize,
    /// Guards the capacity as given; what the books admit is derived from it.
    nominal: Mutex<Nominal>,
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
    /// The holder.
    pub holder: String,
    /// What it holds.
    pub amounts: Amounts,
}

/// One reservation. It can be copied, and given back once.
#[derive(Debug, Clone)]
pub struct Lease {
    slot: Arc<Slot>,
    generation: u64,
}

impl Lease {
    /// Who holds it.
    pub fn holder(&self) -> &str {
        &self.slot.holder
    }

    /// What is held; `None` once it was given back.
    pub fn amounts(&self) -> Option<Amounts> {
        self.slot.held(Some(self.generation))
    }

    /// Give it back. False: it was given back before, through this handle or by name.
    pub fn release(&self) -> bool {
        self.slot.release(Some(self.generation)).is_some()
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(name: &str, capacity: Amounts) -> Self {
        Self {
            name: name.into(),
            books: Arc::new(Books::new(capacity)),
            slots: DashMap::default(),
            room: AtomicUsize::new(IDLE_NAMES),
            nominal: Mutex::new(Nominal {
                capacity,
                ratio: [PAR; DIMENSIONS],
            }),
        }
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reserve all of `amounts` for `holder`, or nothing.
    ///
    /// # Errors
    /// [`LedgerError::DoesNotFit`], or [`LedgerError::AlreadyHeld`]: one reservation a holder and pool.
    pub fn reserve(&self, holder: &str, amounts: Amounts) -> Result<Lease, LedgerError> {
        let slot = self.slot(holder);
        match slot.reserve(amounts) {
            Ok(generation) => Ok(Lease { slot, generation }),
            Err(denied) => Err(self.refusal(holder, denied)),
        }
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
        self.books
            .take(sum)
            .map_err(|short| self.refusal(first, Denied::Short(short)))?;
        let mut leases = Vec::with_capacity(requests.len());
        for &(holder, amounts) in requests {
            let slot = self.slot(holder);
            match slot.record(amounts) {
                Ok(generation) => leases.push(Lease { slot, generation }),
                Err(denied) => {
                    let rest = &requests[leases.len()..];
                    let rest = rest.iter().fold(Amounts::default(), |sum, (_, more)| {
                        sum.checked_add(*more).unwrap_or(sum)
                    });
                    self.books.give(rest);
                    for lease in leases {
                        lease.release();
                    }
                    return Err(self.refusal(holder, denied));
                }
            }
        }
        Ok(leases)
    }

    /// Give back what `holder` holds.
    ///
    /// # Errors
    /// [`LedgerError::NotHeld`] when it holds nothing.
    pub fn release(&self, holder: &str) -> Result<Amounts, LedgerError> {
        let slot = self.slots.get(holder);
        slot.and_then(|slot| slot.release(None))
            .ok_or_else(|| LedgerError::NotHeld {
                pool: self.name.to_string(),
                holder: holder.to_owned(),
            })
    }

    /// What `holder` holds.
    pub fn held(&self, holder: &str) -> Option<Amounts> {
        self.slots.get(holder).and_then(|slot| slot.held(None))
    }

    /// Whether `amounts` would fit now.
    pub fn fits(&self, amounts: Amounts) -> bool {
        let free = self.usage().free().as_array();
        amounts
            .as_array()
            .iter()
            .zip(free)
            .all(|(want, free)| *want <= free)
    }

    /// What there is and what is taken.
    pub fn usage(&self) -> Usage {
        let (used, capacity) = self.books.read();
        Usage { used, capacity }
    }

    /// Every holder and what it holds, by name.
    pub fn holders(&self) -> Vec<Holding> {
        let mut holders: Vec<Holding> = self
            .slots
            .iter()
            .filter_map(|slot| {
                let amounts = slot.held(None)?;
                Some(Holding {
                    holder: slot.key().to_string(),
                    amounts,
                })
            })
            .collect();
        holders.sort_unstable_by(|a, b| a.holder.cmp(&b.holder));
        if self.slots.len() > 2 * holders.len() + IDLE_NAMES {
            self.prune();
        }
        holders
    }

    /// How many names are remembered, whether they hold something or not.
    pub fn remembered(&self) -> usize {
        self.slots.len()
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
        self.change(|nominal| nominal.capacity = capacity)
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
            .books
            .resize(capacity)
            .map_err(|dimension| LedgerError::TooLarge {
                pool: self.name.to_string(),
                dimension,
            })?;
        *nominal = next;
        Ok(Usage { used, capacity })
    }

    fn slot(&self, holder: &str) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(holder) {
            return Arc::clone(&slot);
        }
        if self
            .room
            .fetch_update(Relaxed, Relaxed, |room| room.checked_sub(1))
            .is_err()
        {
            self.prune();
        }
        let slot = self
            .slots
            .entry(holder.into())
            .or_insert_with(|| Arc::new(Slot::new(holder, Arc::clone(&self.books))));
        Arc::clone(&slot)
    }

    /// Forget names that hold nothing. A slot somebody has a handle to stays: under the map's own lock,
    /// nobody can get a new one.
    fn prune(&self) {
        self.slots
            .retain(|_, slot| slot.held(None).is_some() || Arc::strong_count(slot) > 1);
        self.room.store(self.slots.len() + IDLE_NAMES, Relaxed);
    }

    fn refusal(&self, holder: &str, denied: Denied) -> LedgerError {
        let pool = self.name.to_string();
        match denied {
            Denied::Held => LedgerError::AlreadyHeld {
                pool,
                holder: holder.to_owned(),
            },
            Denied::Short(shortages) => {
                let holders = self.largest(&shortages);
                let holder = holder.to_owned();
                LedgerError::DoesNotFit(Box::new(Refusal {
                    pool,
                    holder,
                    shortages,
                    holders,
                }))
            }
        }
    }

    /// The largest holders of the first dimension that is short.
    fn largest(&self, shortages: &[Shortage]) -> Vec<(String, u64)> {
        let Some(first) = shortages.first() else {
            return Vec::new();
        };
        let holders = self.holders().into_iter();
        let mut holders: Vec<(String, u64)> = holders
            .map(|held| (held.holder, held.amounts.of(first.dimension)))
            .filter(|(_, amount)| *amount > 0)
            .collect();
        holders.sort_by_key(|(_, amount)| std::cmp::Reverse(*amount));
        holders.truncate(NAMED);
        holders
    }
}
