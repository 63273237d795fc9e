//! Resources and ports: who holds what, and what is left.
//!
//! A [`Ledger`] lends CPU, memory, storage and GPUs out of named pools. A reservation is all or nothing over
//! every dimension, exact to the milli-CPU, the byte and the thousandth of a GPU, and belongs to a named
//! holder. [`Ports`] lends TCP ports.
//!
//! Nothing here measures the machine or starts a process: the ledger is the book, not the till. Its Python
//! face is `rust/py/src/ledger.rs` and `backstay.ledger`.

mod amounts;
mod bitmap;
mod books;
mod error;
mod ledger;
mod packed;
mod pool;
mod ports;
mod probe;
mod size;
mod slot;

pub use amounts::{Amounts, DIMENSIONS, Dimension};
pub use error::{LedgerError, PortError, Refusal, Shortage};
pub use ledger::{Ledger, MACHINE};
pub use pool::{Holding, Lease, Pool, Usage};
pub use ports::{PortLease, Ports};
pub use probe::is_free;
pub use size::{InvalidSize, format_size, parse_size};
