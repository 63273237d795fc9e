//! Sizes as people write them: `512M`, `1.5Gi`, powers of 1024 either way.

use thiserror::Error;

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a size: write a number of bytes or one with K, M, G, T, P (powers of 1024)"
)]
pub struct InvalidSize {
    /// The text as given.
    pub text: String,
}

const UNITS: [(&str, u32); 6] = [
    ("P", 50),
    ("T", 40),
    ("G", 30),
    ("M", 20),
    ("K", 10),
    ("", 0),
];

/// Read a size. `512M`, `512Mi`, `512MiB` and `512mb` are the same; a fraction of a byte is rounded up.
///
/// # Errors
/// When the text is no size, is negative, or is beyond `u64`.
pub fn parse_size(text: &str) -> Result<u64, InvalidSize> {
    read(text.trim()).ok_or_else(|| InvalidSize {
        text: text.to_owned(),
    })
}

fn read(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let unit = unit
        .strip_suffix('I')
        .filter(|unit| !unit.is_empty())
        .unwrap_or(unit);
    let shift = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?.into()
    };
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u64>().ok()?.into()
    };
    // Whole bytes: half a byte is rounded up, so that nothing gets less than it asked for.
    let bytes = (whole << shift) + (part << shift).div_ceil(scale);
    u64::try_from(bytes).ok()
}

/// Write a size with the largest unit that keeps it exact.
pub fn format_size(bytes: u64) -> String {
    let exact = |shift: u32| bytes != 0 && bytes.trailing_zeros() >= shift;
    match UNITS.into_iter().find(|&(_, shift)| exact(shift)) {
        Some((unit, shift)) if shift > 0 => format!("{}{unit}i", bytes >> shift),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_however_they_are_spelled() {
        for text in [
            "512M",
            "512Mi",
            "512MiB",
            "512mb",
            " 512 M ",
            "524288K",
            "0.5G",
            "536870912",
        ] {
            assert_eq!(parse_size(text), Ok(512 << 20), "{text}");
        }
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("1.5Gi"), Ok(3 << 29));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "M", "-1", "1.2.3", "1X", "1 2", "99999P", "1e3", "i", ".", "1I",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for bytes in [0, 1, 1023, 1024, 1 << 30, (1 << 30) + 1, 3 << 29, u64::MAX] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
    }
}
