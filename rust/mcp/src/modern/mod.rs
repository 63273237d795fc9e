//! The words of 2026-07-28, the version without sessions: the *modern* era, as its specification calls it.
//!
//! Every request says in `params._meta` what it speaks and what its client can do ([`meta`]), over HTTP also
//! in headers ([`headers`], [`param`]); every result says what kind it is ([`result`]), and one kind asks
//! the client for something before the call can go on ([`input`]). Messages are read and changed as bytes:
//! what joins the eras edits members ([`Edit`](crate::Edit)) and rebuilds nothing.
//!
//! Who says what to whom is not here: the client's side is `backstay-gateway`, the server's is
//! [`upstream`](crate::upstream).

pub mod errors;
pub mod headers;
pub mod input;
pub mod meta;
pub mod param;
pub mod result;
