//! What instances say: rotated, capped files, and the last lines in memory.
//!
//! # Format
//!
//! `logs/<instance>.log` holds one line for each line of output:
//!
//! ```text
//! 2026-11-23T14:51:52.123Z out Listening on port 30001
//! 2026-11-23T14:51:52.130Z err (node:42) Warning: something
//! ```
//!
//! A time in UTC with milliseconds, `out` or `err`, one space, and the bytes as
//! they came, UTF-8 or not, without a closing carriage return. A line over 16 KiB
//! becomes several. What the keeper itself has to say (lines lost to a full disk)
//! comes as `err` and begins with `[backstay]`.
//!
//! When a line would take the file over its cap it becomes `<instance>.log.1`, that
//! one `.log.2` and so on, by rename; the oldest goes. Whoever follows a file sees
//! its inode change.

pub mod file;
pub mod format;
pub mod pump;
pub mod tail;
