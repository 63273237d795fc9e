//! Many small reservations of one holder, packed: no name, no object and no allocation for each.
//!
//! A request is 32 bytes: four little-endian `u64`, in the order of [`Amounts::as_array`]. The answer to each is
//! a handle of 8 bytes, likewise; zero says that it did not fit. A handle carries the generation of its entry,
//! so that one that was given back gives nothing back again. The books are changed once for hundreds of
//! requests, each decided as if it had come alone, all at one moment.

use parking_lot::Mutex;

use crate::amounts::{Amounts, DIMENSIONS};
use crate::error::LedgerError;
use crate::lease::Lease;

/// Bytes of a packed request.
pub const RECORD: usize = 8 * DIMENSIONS;
/// Bytes of a handle.
pub const HANDLE: usize = 8;
/// Reservations that a batch holds at most: 640 MiB of entries.
const MOST: usize = 1 << 24;
/// Requests that are decided with one change of the books, while readers of this one holder wait.
const AT_ONCE: usize = 256;

/// A holder of many small reservations. What they come to in all shows in the pool under its name.
///
/// Dropping it gives nothing back; [`close`](Self::close) does, and so does giving back by the holder's name.
#[derive(Debug)]
pub struct Batch {
    lease: Lease,
    /// Guards the entries for as long as one call works on them; the holder's own slot orders what happens to
    /// the books.
    slab: Mutex<Slab>,
}

#[derive(Debug, Default)]
struct Slab {
    entries: Vec<Entry>,
    /// Entries that hold nothing.
    free: Vec<u32>,
}

/// 40 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    amounts: [u64; DIMENSIONS],
    /// Odd while it holds something; moves on with every change.
    generation: u32,
}

impl Slab {
    fn held(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Note a reservation and give its handle.
    #[expect(clippy::cast_possible_truncation, reason = "no more entries than MOST")]
    fn insert(&mut self, amounts: [u64; DIMENSIONS]) -> u64 {
        let Some(at) = self.free.pop() else {
            self.entries.push(Entry {
                amounts,
                generation: 1,
            });
            return handle(self.entries.len() as u32 - 1, 1);
        };
        let entry = &mut self.entries[at as usize];
        entry.amounts = amounts;
        entry.generation = entry.generation.wrapping_add(1);
        handle(at, entry.generation)
    }

    /// The entry a handle stands for, if it still holds something.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a handle is two halves of 32 bits"
    )]
    fn entry(&mut self, handle: u64) -> Option<(u32, &mut Entry)> {
        let (at, generation) = (handle as u32, (handle >> 32) as u32);
        let entry = self.entries.get_mut(at as usize)?;
        (generation & 1 == 1 && entry.generation == generation).then_some((at, entry))
    }

    /// Take out what a handle stands for.
    fn remove(&mut self, handle: u64) -> Option<[u64; DIMENSIONS]> {
        let (at, entry) = self.entry(handle)?;
        entry.generation = entry.generation.wrapping_add(1);
        let amounts = entry.amounts;
        self.free.push(at);
        Some(amounts)
    }
}

fn handle(at: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(at)
}

fn add(sum: [u64; DIMENSIONS], more: [u64; DIMENSIONS]) -> [u64; DIMENSIONS] {
    std::array::from_fn(|d| sum[d] + more[d])
}

/// The whole records in `bytes`.
fn whole<'a, const EACH: usize>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<&'a [[u8; EACH]], LedgerError> {
    match bytes.as_chunks() {
        (records, []) => Ok(records),
        _ => Err(LedgerError::Ragged {
            bytes: bytes.len(),
            what,
            each: EACH,
        }),
    }
}

/// Write amounts as a packed request.
pub fn record(amounts: Amounts) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    for (part, amount) in bytes.chunks_exact_mut(8).zip(amounts.as_array()) {
        part.copy_from_slice(&amount.to_le_bytes());
    }
    bytes
}

fn amounts(record: &[u8; RECORD]) -> [u64; DIMENSIONS] {
    let parts = record.as_chunks().0;
    std::array::from_fn(|d| u64::from_le_bytes(parts[d]))
}

impl Batch {
    pub(crate) fn new(lease: Lease) -> Self {
        Self {
            lease,
            slab: Mutex::default(),
        }
    }

    /// Who owns it.
    pub fn holder(&self) -> &str {
        self.lease.holder()
    }

    /// What is held in all; `None` once it was closed.
    pub fn amounts(&self) -> Option<Amounts> {
        self.lease.amounts()
    }

    /// How many reservations it holds.
    pub fn held(&self) -> usize {
        if self.lease.amounts().is_none() {
            return 0;
        }
        self.slab.lock().held()
    }

    /// Reserve each of the packed requests that fits, and write one handle for each to `handles`.
    ///
    /// # Errors
    /// [`LedgerError::Ragged`], [`LedgerError::BatchFull`], and [`LedgerError::NotHeld`] once it was closed;
    /// nothing is reserved then, but for what of a long batch came before the holder's end.
    pub fn reserve(&self, records: &[u8], handles: &mut Vec<u8>) -> Result<(), LedgerError> {
        let records = whole::<RECORD>(records, "requests")?;
        let mut slab = self.slab.lock();
        let (held, more) = (slab.held(), records.len());
        if held + more > MOST {
            let holder = self.holder().to_owned();
            return Err(LedgerError::BatchFull {
                holder,
                held,
                more,
                most: MOST,
            });
        }
        handles.reserve(more * HANDLE);
        let (mut wants, mut granted) = ([[0; DIMENSIONS]; AT_ONCE], [false; AT_ONCE]);
        for records in records.chunks(AT_ONCE) {
            let wants = &mut wants[..records.len()];
            for (want, record) in wants.iter_mut().zip(records) {
                *want = amounts(record);
            }
            self.change(|held| {
                let sum = self.lease.slot.scope.take_each(wants, &mut granted);
                add(held, sum)
            })?;
            for (want, granted) in wants.iter().zip(granted) {
                let handle = if granted { slab.insert(*want) } else { 0 };
                handles.extend_from_slice(&handle.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Give back what the packed handles stand for; returns how many of them still held something.
    ///
    /// # Errors
    /// [`LedgerError::Ragged`], and [`LedgerError::NotHeld`] once it was closed.
    pub fn release(&self, handles: &[u8]) -> Result<usize, LedgerError> {
        let handles = whole(handles, "handles")?;
        let mut slab = self.slab.lock();
        let (mut sum, mut count) = ([0; DIMENSIONS], 0);
        for handle in handles {
            if let Some(amounts) = slab.remove(u64::from_le_bytes(*handle)) {
                sum = add(sum, amounts);
                count += 1;
            }
        }
        self.change(|held| {
            self.lease.slot.scope.give_amounts(Amounts::from_array(sum));
            std::array::from_fn(|d| held[d] - sum[d])
        })?;
        Ok(count)
    }

    /// Which of the packed handles still hold something: a bit for each, the lowest of the first byte first.
    ///
    /// # Errors
    /// [`LedgerError::Ragged`].
    pub fn which_held(&self, handles: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let handles = whole(handles, "handles")?;
        let mut bits = vec![0; handles.len().div_ceil(8)];
        if self.lease.amounts().is_some() {
            let mut slab = self.slab.lock();
            for (i, handle) in handles.iter().enumerate() {
                bits[i / 8] |=
                    u8::from(slab.entry(u64::from_le_bytes(*handle)).is_some()) << (i % 8);
            }
        }
        Ok(bits)
    }

    /// Give everything back and end. False: that happened before.
    pub fn close(&self) -> bool {
        let mut slab = self.slab.lock();
        *slab = Slab::default();
        self.lease.release()
    }

    /// Change what the holder holds in all, in the books and beside its name.
    fn change(
        &self,
        change: impl FnOnce([u64; DIMENSIONS]) -> [u64; DIMENSIONS],
    ) -> Result<(), LedgerError> {
        let Lease { slot, generation } = &self.lease;
        let changed = slot.change(*generation, |held| {
            Amounts::from_array(change(held.as_array()))
        });
        changed.ok_or_else(|| LedgerError::NotHeld {
            pool: slot.scope.name.to_string(),
            holder: self.holder().to_owned(),
        })
    }
}
