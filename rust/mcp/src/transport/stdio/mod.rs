//! Messages over the pipes of a child process, one a line.
//!
//! The pipes outlive this process: the keeper holds them, and a daemon may be killed between any two instructions.
//! What that asks of the writing side is in [`Journal`]; on the reading side a line may have lost its
//! beginning to a former daemon, and is skipped.

mod claim;
mod journal;
mod outbox;
mod read;
mod skim;
mod write;

pub use claim::Claim;
pub use journal::{JOURNAL_START, Journal};
pub use outbox::{Outbox, Refused};
pub use read::{Line, Reader};
pub use write::Writer;
