//! What families of every kind offer alike.

/// Implements the common methods of a family: `$family` must say how to make a `$handle` of a series in
/// `fn handle(&self, Arc<Series>) -> $handle` and give its [`Family`](crate::family::Family) in `fn inner(&self)`.
macro_rules! family_face {
    ($family:ident, $handle:ident) => {
        impl $family {
            /// The series with these label values, made if new; the overflow series when the family is full.
            ///
            /// Keep the handle where the labels are fixed: a handle costs a few nanoseconds to write to, a
            /// look-up some tens.
            ///
            /// # Panics
            /// When the number of values is not that of the family's labels.
            #[track_caller]
            pub fn with(&self, labels: &[&str]) -> $handle {
                match self.try_with(labels) {
                    Ok(handle) => handle,
                    Err(error) => panic!("{error}"),
                }
            }

            /// [`with`](Self::with) for label values that come from outside.
            pub fn try_with(&self, labels: &[&str]) -> Result<$handle, crate::MetricError> {
                Ok(self.handle(self.inner().series(labels)?))
            }

            /// Forget the series with these label values. Handles still out write to nowhere.
            pub fn remove(&self, labels: &[&str]) -> bool {
                self.inner().remove(labels)
            }

            /// Forget every series whose label values `keep` refuses. Returns how many went.
            pub fn retain(&self, keep: impl FnMut(&[Box<str>]) -> bool) -> usize {
                self.inner().retain(keep)
            }

            /// The family's name, without the `_total` of counters.
            pub fn name(&self) -> &str {
                &self.inner().definition.name
            }

            /// The names of the labels.
            pub fn label_names(&self) -> &[Box<str>] {
                &self.inner().definition.labels
            }

            /// How many series there may be before the rest share the overflow series.
            pub fn cap(&self) -> usize {
                self.inner().definition.cap
            }

            /// How many series there are, the overflow series included.
            pub fn len(&self) -> usize {
                self.inner().len()
            }

            /// Whether there is no series yet.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// How many look-ups found the family full and got the overflow series.
            pub fn overflowed(&self) -> u64 {
                self.inner().overflowed()
            }
        }
    };
}

pub(crate) use family_face;
