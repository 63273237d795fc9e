//! How daemon and keeper talk: frames over a unix stream socket.
//!
//! A frame is twelve bytes of header, a JSON message and, for notes, raw bytes:
//!
//! ```text
//! u32 length of the JSON | u32 length of the raw bytes | u32 number of descriptors   (big endian)
//! JSON | raw bytes
//! ```
//!
//! Descriptors travel with the frame's first byte (`SCM_RIGHTS`). Every length is
//! capped before anything is allocated, so a confused peer costs a connection and
//! no memory. [`frame`] is pure; [`socket`] moves bytes and descriptors;
//! [`message`] says what the JSON means.

pub mod frame;
pub mod message;
pub mod socket;
