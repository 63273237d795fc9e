//! The exposition format: Prometheus text 0.0.4 and `OpenMetrics` 1.0, whose sample lines we write alike.

use crate::Buckets;
use crate::definition::{Definition, Line};
use crate::series::Kind;

/// Which exposition format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Prometheus text format 0.0.4, what every scraper reads.
    #[default]
    Text,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Format {
    /// The media type to answer with.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format to answer a request with that has this `Accept` header.
    pub fn negotiate(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// Append a family's `# HELP` and `# TYPE` lines.
pub(crate) fn header(definition: &Definition, format: Format, out: &mut Vec<u8>) {
    let total = definition.kind == Kind::Counter && format == Format::Text;
    let suffix = if total { "_total" } else { "" };
    for (word, rest) in [("HELP", None), ("TYPE", Some(definition.kind.as_str()))] {
        out.extend_from_slice(b"# ");
        out.extend_from_slice(word.as_bytes());
        out.push(b' ');
        out.extend_from_slice(definition.name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        out.push(b' ');
        match rest {
            Some(kind) => out.extend_from_slice(kind.as_bytes()),
            None => escape(&definition.help, format == Format::OpenMetrics, out),
        }
        out.push(b'\n');
    }
}

fn escape(text: &str, quotes: bool, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            byte => out.push(byte),
        }
    }
}

/// A bucket's bound as its `le` label spells it.
pub(crate) fn bound(value: f64) -> String {
    if value.is_infinite() {
        "+Inf".to_owned()
    } else {
        format!("{value:?}")
    }
}

/// What stands around the labels in each line of a series.
pub(crate) fn lines(
    kind: Kind,
    name: &str,
    labelled: bool,
    buckets: Option<&Buckets>,
) -> Box<[Line]> {
    let line = |suffix: &'static str, le: Option<f64>| {
        let le = le.map(bound);
        let mut head = [name, suffix].concat().into_bytes();
        let mut tail = Vec::new();
        match (labelled, &le) {
            (true, None) => tail.push(b'}'),
            (true, Some(le)) => tail.extend_from_slice(format!(",le=\"{le}\"}}").as_bytes()),
            (false, None) => {}
            (false, Some(le)) => head.extend_from_slice(format!("{{le=\"{le}\"}}").as_bytes()),
        }
        if labelled {
            head.push(b'{');
        }
        tail.push(b' ');
        Line {
            suffix,
            le: le.map(Into::into),
            head: head.into(),
            tail: tail.into(),
        }
    };
    match (kind, buckets) {
        (_, Some(buckets)) => {
            let bounds = buckets.lines().chain([f64::INFINITY]);
            let counts = bounds.map(|le| line("_bucket", Some(le)));
            counts
                .chain([line("_count", None), line("_sum", None)])
                .collect()
        }
        (Kind::Counter, None) => [line("_total", None)].into(),
        (_, None) => [line("", None)].into(),
    }
}

/// A series' labels as its lines have them between their braces.
pub(crate) fn labels(names: &[Box<str>], values: &[&str]) -> Box<[u8]> {
    let mut text = Vec::new();
    for (name, value) in names.iter().zip(values) {
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"=\"");
        escape(value, true, &mut text);
        text.push(b'"');
    }
    text.into()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 do not happen"
)]
pub(crate) fn as_float(count: u64) -> f64 {
    count as f64
}
