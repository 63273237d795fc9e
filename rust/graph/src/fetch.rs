//! Asking for memory ahead of its use, so that many waits overlap.

#![expect(
    unsafe_code,
    reason = "a hint to the processor, which reads nothing; there is no safe name for it yet"
)]

/// Have what stands at a place in the cache soon. Where there is no such place, or no such hint, nothing happens.
#[inline]
pub(crate) fn fetch<T>(from: &[T], at: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if let Some(wanted) = from.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it takes any address, and this one is even good.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(wanted).cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = from.get(at);
}
