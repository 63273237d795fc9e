//! The ledger: pools by name, the machine's own among them.

use std::sync::Arc;

use ahash::RandomState;
use dashmap::DashMap;

use crate::amounts::{Amounts, DIMENSIONS};
use crate::error::LedgerError;
use crate::pool::Pool;

/// The name of the pool that every ledger has.
pub const MACHINE: &str = "machine";

/// The pools of one fleet. Cloning is cheap and gives another handle to the same ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    machine: Arc<Pool>,
    others: Arc<DashMap<Box<str>, Arc<Pool>, RandomState>>,
}

impl Ledger {
    /// A ledger whose machine has this capacity.
    pub fn new(capacity: Amounts) -> Self {
        Self {
            machine: Pool::new(MACHINE, capacity),
            others: Arc::default(),
        }
    }

    /// The machine's own pool.
    pub fn machine(&self) -> &Arc<Pool> {
        &self.machine
    }

    /// Add a pool beside the machine's: another disk, another node.
    ///
    /// # Errors
    /// [`LedgerError::PoolExists`].
    pub fn add_pool(&self, name: &str, capacity: Amounts) -> Result<Arc<Pool>, LedgerError> {
        self.add(name, || Pool::new(name, capacity))
    }

    /// Add a pool inside another: a quota, see [`Pool::quota`].
    ///
    /// # Errors
    /// [`LedgerError::PoolExists`], [`LedgerError::UnknownPool`].
    pub fn add_quota(
        &self,
        name: &str,
        within: &str,
        capacity: [Option<u64>; DIMENSIONS],
    ) -> Result<Arc<Pool>, LedgerError> {
        let outer = self.pool(within)?;
        self.add(name, || outer.quota(name, capacity))
    }

    fn add(&self, name: &str, make: impl FnOnce() -> Arc<Pool>) -> Result<Arc<Pool>, LedgerError> {
        let exists = || LedgerError::PoolExists {
            pool: name.to_owned(),
        };
        if name == MACHINE {
            return Err(exists());
        }
        match self.others.entry(name.into()) {
            dashmap::Entry::Occupied(_) => Err(exists()),
            dashmap::Entry::Vacant(vacant) => Ok(Arc::clone(&vacant.insert(make()))),
        }
    }

    /// Take a pool away that nobody uses.
    ///
    /// # Errors
    /// [`LedgerError::UnknownPool`], [`LedgerError::PoolInUse`]. The machine's own is always in use.
    pub fn remove_pool(&self, name: &str) -> Result<(), LedgerError> {
        let in_use = || LedgerError::PoolInUse {
            pool: name.to_owned(),
        };
        if name == MACHINE || self.pool(name)?.is_in_use() {
            return Err(in_use());
        }
        self.others.remove(name);
        Ok(())
    }

    /// The pool of this name.
    ///
    /// # Errors
    /// [`LedgerError::UnknownPool`].
    pub fn pool(&self, name: &str) -> Result<Arc<Pool>, LedgerError> {
        if name == MACHINE {
            return Ok(Arc::clone(&self.machine));
        }
        let pool = self.others.get(name).map(|pool| Arc::clone(&pool));
        pool.ok_or_else(|| LedgerError::UnknownPool {
            pool: name.to_owned(),
        })
    }

    /// The names of all pools, the machine's first.
    pub fn pools(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .others
            .iter()
            .map(|pool| pool.key().to_string())
            .collect();
        names.sort_unstable();
        names.insert(0, MACHINE.to_owned());
        names
    }
}
