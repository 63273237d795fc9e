//! An answer that is shared by all who ask, and knows when it is out of date.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a look-up found. Cloning is cheap and the contents never change.
///
/// Who asks the same again and again keeps the view and asks it whether it [is current](View::is_current): that
/// takes no lock and never waits for a writer.
pub struct View<T>(Option<Arc<Answer<T>>>);

struct Answer<T> {
    items: Box<[T]>,
    stale: AtomicBool,
}

impl<T> View<T> {
    /// Nothing was found. Never current: nobody would tell when there is something.
    pub(crate) const NOTHING: Self = Self(None);

    pub(crate) fn new(items: impl Iterator<Item = T>) -> Self {
        Self(Some(Arc::new(Answer {
            items: items.collect(),
            stale: AtomicBool::new(false),
        })))
    }

    /// Whether a look-up would find the same now. True until a change returns to whoever makes it; false for good
    /// from then on.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|answer| !answer.stale.load(Ordering::Acquire))
    }

    pub(crate) fn expire(&self) {
        if let Some(answer) = &self.0 {
            answer.stale.store(true, Ordering::Release);
        }
    }
}

impl<T> Deref for View<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |answer| &answer.items)
    }
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
