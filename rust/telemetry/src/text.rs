//! The exposition format: Prometheus text 0.0.4 and `OpenMetrics` 1.0, whose sample lines we write alike.

use std::io::Write;
use std::sync::Arc;

use crate::series::{Kind, Series};
use crate::store::{Definition, Slice};

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

/// Append a number as the format spells it.
pub(crate) fn number(value: f64, out: &mut Vec<u8>) {
    /// Beyond this, floats are not all the integers they look like.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be a small integer"
        )]
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        let _ = write!(out, "{value:?}");
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

/// The bytes that each of a series' lines begins with, and where each ends.
pub(crate) fn prefixes(definition: &Definition, labels: &[&str]) -> (Box<[u8]>, Box<[u32]>) {
    let mut text = Vec::new();
    let mut ends = Vec::new();
    let mut line = |suffix: &str, le: Option<f64>| {
        text.extend_from_slice(definition.name.as_bytes());
        text.extend_from_slice(suffix.as_bytes());
        let le = le.map(bound);
        let pairs = definition
            .labels
            .iter()
            .map(AsRef::as_ref)
            .zip(labels.iter().copied());
        let mut separator = b'{';
        for (label, value) in pairs.chain(le.as_deref().map(|le| ("le", le))) {
            text.push(separator);
            text.extend_from_slice(label.as_bytes());
            text.extend_from_slice(b"=\"");
            escape(value, true, &mut text);
            text.push(b'"');
            separator = b',';
        }
        if separator == b',' {
            text.push(b'}');
        }
        text.push(b' ');
        ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
    };
    match definition.kind {
        Kind::Counter => line("_total", None),
        Kind::Gauge => line("", None),
        Kind::Histogram => {
            for &le in &*definition.bounds {
                line("_bucket", Some(le));
            }
            line("_bucket", Some(f64::INFINITY));
            line("_count", None);
            line("_sum", None);
        }
    }
    (text.into(), ends.into())
}

/// Call `each` with every line's value, in the order of [`prefixes`].
pub(crate) fn values(definition: &Definition, series: &Series, mut each: impl FnMut(f64)) {
    if definition.kind != Kind::Histogram {
        return each(series.block.float(series.cell));
    }
    let buckets = definition.bounds.len() + 1;
    let mut seen = 0u64;
    for bucket in 0..buckets {
        seen = seen.wrapping_add(series.block.integer(series.cell + bucket));
        each(as_float(seen));
    }
    each(as_float(seen));
    each(series.block.float(series.cell + buckets));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 do not happen"
)]
pub(crate) fn as_float(count: u64) -> f64 {
    count as f64
}

/// Something that differs when a series' value does.
pub(crate) fn fingerprint(definition: &Definition, series: &Series) -> u64 {
    let mut mix = 0u64;
    values(definition, series, |value| {
        mix = mix.rotate_left(7) ^ value.to_bits();
    });
    mix
}

/// A block's lines as last written, and what they were written from.
#[derive(Debug, Default)]
pub(crate) struct BlockText {
    version: u64,
    /// The block's cells as they were.
    sums: Vec<u64>,
    /// Shared with the expositions that are still being read.
    text: Arc<Vec<u8>>,
}

impl BlockText {
    /// The block's lines, from memory where nothing changed.
    pub(crate) fn lines(&mut self, definition: &Definition, slice: &Slice) -> Arc<Vec<u8>> {
        // Cells are compared, not series: they lie side by side, and a scrape mostly finds them as they were.
        let changed = slice.block.differs(&mut self.sums);
        if changed || self.version != slice.version {
            self.version = slice.version;
            let text = Arc::make_mut(&mut self.text);
            text.clear();
            for series in slice.series.iter().flatten() {
                write(definition, series, text);
            }
        }
        Arc::clone(&self.text)
    }
}

fn write(definition: &Definition, series: &Series, text: &mut Vec<u8>) {
    let mut line = 0;
    values(definition, series, |value| {
        text.extend_from_slice(series.prefix(line));
        number(value, text);
        text.push(b'\n');
        line += 1;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(value: f64) -> String {
        let mut out = Vec::new();
        number(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_read_back_as_themselves() {
        for value in [
            0.0,
            -3.0,
            0.1,
            1e300,
            5e-324,
            9_007_199_254_740_993.0,
            1.5,
            f64::MAX,
        ] {
            assert_eq!(
                spelled(value).parse::<f64>().unwrap().to_bits(),
                value.to_bits()
            );
        }
        assert_eq!(spelled(f64::INFINITY), "+Inf");
        assert_eq!(spelled(f64::NAN), "NaN");
        assert_eq!(spelled(1e6), "1000000");
    }
}
