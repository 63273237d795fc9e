//! Values: read from the cells, and as the exposition spells them.

use crate::Buckets;
use crate::block::{Block, Seat};
use crate::definition::Definition;
use crate::series::{Kind, Series};
use crate::text::as_float;

/// What one line shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// A count, exact however large.
    Integer(u64),
    Float(f64),
}

impl Value {
    pub(crate) fn as_float(self) -> f64 {
        match self {
            Self::Integer(count) => as_float(count),
            Self::Float(value) => value,
        }
    }

    fn bits(self) -> u64 {
        match self {
            Self::Integer(count) => count,
            Self::Float(value) => value.to_bits(),
        }
    }
}

/// Room to spell a value in; reused from line to line.
#[derive(Default)]
pub(crate) struct Spelling {
    integer: itoa::Buffer,
    float: zmij::Buffer,
}

impl Spelling {
    /// The value as the format spells it.
    pub(crate) fn of(&mut self, value: Value) -> &[u8] {
        /// Beyond this, floats are not all the integers they look like.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let value = match value {
            Value::Integer(count) => return self.integer.format(count).as_bytes(),
            Value::Float(value) => value,
        };
        if value.abs() < EXACT && value.fract() == 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be a small integer"
            )]
            self.integer.format(value as i64).as_bytes()
        } else if value.is_nan() {
            b"NaN"
        } else if value.is_infinite() {
            if value > 0.0 { b"+Inf" } else { b"-Inf" }
        } else {
            self.float.format_finite(value).as_bytes()
        }
    }
}

/// Call `each` with the value of every line of the series at `seat`, in the order of the definition's lines.
pub(crate) fn values(
    definition: &Definition,
    block: &Block,
    seat: Seat,
    mut each: impl FnMut(Value),
) {
    match (definition.kind, &definition.buckets) {
        (_, Some(buckets)) => bucket_values(buckets, block, seat, each),
        (Kind::Gauge, _) => each(Value::Float(block.float(seat, 0))),
        _ => each(counter(block, seat)),
    }
}

/// What a counter's cell shows.
pub(crate) fn counter(block: &Block, seat: Seat) -> Value {
    let (whole, rest) = (block.integer(seat, 0), block.fraction(seat, 0));
    if rest > 0.0 {
        Value::Float(as_float(whole) + rest)
    } else {
        Value::Integer(whole)
    }
}

fn bucket_values(buckets: &Buckets, block: &Block, seat: Seat, mut each: impl FnMut(Value)) {
    let (last, per_line) = (buckets.counts() - 1, buckets.per_line());
    let mut seen = 0u64;
    for index in 0..last {
        seen = seen.wrapping_add(block.integer(seat, index));
        if index % per_line == 0 {
            each(Value::Integer(seen));
        }
    }
    seen = seen.wrapping_add(block.integer(seat, last));
    // The bucket without a bound, the count, the sum.
    each(Value::Integer(seen));
    each(Value::Integer(seen));
    each(Value::Float(block.float(seat, last + 1)));
}

/// Something that differs when a series' values do.
pub(crate) fn fingerprint(definition: &Definition, series: &Series) -> u64 {
    let mut mix = 0u64;
    values(definition, &series.block, series.seat, |value| {
        mix = mix.rotate_left(7) ^ value.bits();
    });
    mix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(value: f64) -> String {
        String::from_utf8(Spelling::default().of(Value::Float(value)).to_vec()).unwrap()
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
        assert_eq!(spelled(f64::NEG_INFINITY), "-Inf");
        assert_eq!(spelled(f64::NAN), "NaN");
        assert_eq!(spelled(1e6), "1000000");
        assert_eq!(
            Spelling::default().of(Value::Integer(u64::MAX)),
            b"18446744073709551615"
        );
    }
}
