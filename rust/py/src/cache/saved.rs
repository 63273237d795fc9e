//! Entries to a file and back. What makes bytes of objects runs outside the lock, and before anything changes.

use std::path::PathBuf;

use backstay_cache::snapshot::{self, Record};
use backstay_cache::{Lifetime, Terms};
use pyo3::prelude::*;

use super::Cache;
use crate::errors::Raise;

/// What is gathered of an entry under the lock.
type Gathered = (Py<PyAny>, Py<PyAny>, Lifetime, u64, Vec<String>);

impl Cache {
    pub(super) fn save_to(
        &self,
        py: Python<'_>,
        path: PathBuf,
        dumps: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let now = self.now(py)?;
        let gathered: Vec<Gathered> = {
            let locked = self.shelf.lock(py);
            locked
                .iter(now)
                .map(|(place, key, value)| {
                    let (lifetime, cost, tags) = locked.terms(place, now);
                    let tags = tags.into_iter().map(str::to_owned).collect();
                    (key.clone_ref(py), value.clone_ref(py), lifetime, cost, tags)
                })
                .collect()
        };
        let bytes = |object: Py<PyAny>| dumps.call1((object,))?.extract::<Vec<u8>>();
        let mut records = Vec::with_capacity(gathered.len());
        // The one that would leave first stands first, so that loading them in turn leaves the same order.
        for (key, value, lifetime, cost, tags) in gathered.into_iter().rev() {
            let (key, value) = (bytes(key)?, bytes(value)?);
            records.push(Record {
                key,
                value,
                cost,
                lifetime,
                tags,
            });
        }
        py.detach(|| snapshot::write(&path, &records)).or_raise()?;
        Ok(records.len())
    }

    pub(super) fn load_from(
        &self,
        py: Python<'_>,
        path: PathBuf,
        loads: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let records = py.detach(|| snapshot::read(&path)).or_raise()?;
        let object = |bytes: &[u8]| loads.call1((bytes,));
        let mut entries = Vec::with_capacity(records.len());
        for record in &records {
            let (key, value) = (object(&record.key)?, object(&record.value)?);
            entries.push((key, value, record));
        }
        let count = entries.len();
        for (key, value, record) in entries {
            let tags: Vec<&str> = record.tags.iter().map(String::as_str).collect();
            let terms = Terms {
                cost: record.cost,
                lifetime: record.lifetime,
                tags: &tags,
            };
            self.insert(&key, &value, &terms)?;
        }
        Ok(count)
    }
}
