//! What the lock-free parts are made of, so that loom can stand in for it.
//!
//! Under `--cfg loom` the atomics and the lock are loom's, which tries every interleaving, and the word that
//! everything is packed into has the 64 bits that loom can model.

#[cfg(loom)]
pub(crate) use self::model::*;
#[cfg(not(loom))]
pub(crate) use self::real::*;

#[cfg(not(loom))]
mod real {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub(crate) use std::thread::yield_now;

    pub(crate) use parking_lot::Mutex;
    pub(crate) use portable_atomic::AtomicU128 as WideWord;
}

#[cfg(loom)]
mod model {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicU64, AtomicU64 as WideWord, AtomicUsize,
    };
    pub(crate) use loom::thread::yield_now;

    /// loom's lock with `parking_lot`'s interface.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}
