//! What can be wrong with a metric's definition.

use thiserror::Error;

/// Why a metric, or one of its series, could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetricError {
    /// The name does not follow the exposition format's grammar.
    #[error("`{name}` is not a valid metric name")]
    InvalidName {
        /// The name as given.
        name: String,
    },
    /// A label's name does not follow the grammar, is reserved, or stands twice.
    #[error("`{label}` is not a valid label name of metric `{name}`")]
    InvalidLabel {
        /// The metric.
        name: String,
        /// The label's name as given.
        label: String,
    },
    /// The registry has a metric of this name with another definition.
    #[error("metric `{name}` is registered already, with another kind, labels or buckets")]
    Registered {
        /// The name asked for.
        name: String,
    },
    /// A series was asked for with too few or too many label values.
    #[error("metric `{name}` has {expected} labels, not {given}")]
    LabelCount {
        /// The metric.
        name: String,
        /// How many labels it has.
        expected: usize,
        /// How many values were given.
        given: usize,
    },
    /// A histogram cannot sort by these buckets.
    #[error("the buckets of `{name}` will not do: {flaw}")]
    InvalidBuckets {
        /// The metric.
        name: String,
        /// What is wrong with them.
        flaw: &'static str,
    },
    /// A counter only goes up.
    #[error("counter `{name}` cannot be changed by {amount}")]
    Decrease {
        /// The metric.
        name: String,
        /// The amount, written out.
        amount: String,
    },
}
