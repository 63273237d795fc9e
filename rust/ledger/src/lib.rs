//! Resources and ports: who holds what, and what is left.
//!
//! A [`Ledger`] lends CPU, memory, storage and GPUs out of named pools. A reservation is all or nothing over
//! every dimension, exact to the milli-CPU, the byte and the thousandth of a GPU, and belongs to a named
//! holder. [`Ports`] lends TCP ports.
//!
//! Nothing here measures the machine or starts a process: the ledger is the book, not the till. Its Python
//! face is `rust/py/src/ledger.rs` and `backstay.ledger`.

mod amounts;
mod batch;
mod bitmap;
mod books;
mod error;
mod lease;
mod ledger;
#[cfg(all(test, loom))]
mod loom;
mod names;
mod packed;
mod pool;
mod port_table;
mod ports;
mod probe;
mod scope;
mod sequence;
mod size;
mod slot;
mod sync;
mod wide;

pub use amounts::{Amounts, DIMENSIONS, Dimension};
pub use batch::{Batch, HANDLE, RECORD, record};
pub use error::{LedgerError, PortError, Refusal, Shortage};
pub use lease::{Claim, Holder, Lease};
pub use ledger::{Ledger, MACHINE};
pub use pool::{Holding, Pool, Usage};
pub use ports::{HeldPort, PortLease, Ports};
pub use probe::is_free;
pub use size::{InvalidSize, format_size, parse_size};
