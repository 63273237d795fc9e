//! What a family is: fixed at registration.

use crate::Buckets;
use crate::block;
use crate::series::Kind;
use crate::text;

/// The value of every label of a family's overflow series.
pub const OVERFLOW: &str = "_other";

/// How many series a family holds unless told otherwise.
pub const DEFAULT_SERIES_CAP: usize = 10_000;

/// The counts of a log-linear histogram are many, and writers are spread over them: fewer rows will do.
const MOST_ROWS_OF_MANY: usize = 4;

#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) kind: Kind,
    /// Without the `_total` of counters.
    pub(crate) name: Box<str>,
    pub(crate) help: Box<str>,
    pub(crate) labels: Box<[Box<str>]>,
    /// Only of a histogram.
    pub(crate) buckets: Option<Buckets>,
    pub(crate) cap: usize,
    /// The lines of one series.
    pub(crate) lines: Box<[Line]>,
}

/// One line of a series' exposition: what stands around its labels.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) suffix: &'static str,
    pub(crate) le: Option<Box<str>>,
    /// The bytes before the label values' own.
    pub(crate) head: Box<[u8]>,
    /// The bytes between the labels and the value.
    pub(crate) tail: Box<[u8]>,
}

impl Definition {
    pub(crate) fn new(
        kind: Kind,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: Option<Buckets>,
        cap: usize,
    ) -> Self {
        let lines = text::lines(kind, name, !labels.is_empty(), buckets.as_ref());
        Self {
            kind,
            name: name.into(),
            help: help.into(),
            labels: labels.iter().map(|&label| label.into()).collect(),
            buckets,
            cap,
            lines,
        }
    }

    /// Whether a registration that asks for `other` may have this.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        let told = |of: &Self| (of.kind, of.cap, of.buckets.clone());
        told(self) == told(other) && self.help == other.help && self.labels == other.labels
    }

    /// Cells per series: a value, or every bucket's count and the sum.
    pub(crate) fn width(&self) -> usize {
        self.buckets
            .as_ref()
            .map_or(1, |buckets| buckets.counts() + 1)
    }

    /// Gauges are set, so they have one row; the others are only added to.
    pub(crate) fn rows(&self) -> usize {
        match (self.kind, &self.buckets) {
            (Kind::Gauge, _) => 1,
            (_, Some(Buckets::LogLinear(_))) => block::rows().min(MOST_ROWS_OF_MANY),
            _ => block::rows(),
        }
    }

    pub(crate) fn series_per_block(&self) -> usize {
        block::series_per_block(self.width())
    }
}
