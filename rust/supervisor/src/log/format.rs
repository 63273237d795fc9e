//! One line of a log file; see [`super`] for the format.

use std::io::Write;

/// Which of an instance's streams a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Out,
    /// Standard error, or the keeper.
    Err,
}

/// Appends a formatted line to `buffer`. `line` has no line break.
pub fn push_line(buffer: &mut Vec<u8>, at_ms: u64, source: Source, line: &[u8]) {
    push_time(buffer, at_ms);
    buffer.extend_from_slice(match source {
        Source::Out => b" out ",
        Source::Err => b" err ",
    });
    buffer.extend_from_slice(line);
    buffer.push(b'\n');
}

/// Appends `2026-11-23T14:51:52.123Z`.
fn push_time(buffer: &mut Vec<u8>, at_ms: u64) {
    let (seconds, ms) = (at_ms / 1000, at_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Writing to a vector cannot fail.
    let _ = write!(
        buffer,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
    );
}

/// The date of a day since 1970, by Howard Hinnant's `civil_from_days`: years are
/// counted from March, so that the leap day comes last, in eras of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(at_ms: u64) -> String {
        let mut buffer = Vec::new();
        push_time(&mut buffer, at_ms);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn times_read_as_the_calendar_says() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(time(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(time(1_795_445_512_123), "2026-11-23T14:51:52.123Z");
        assert_eq!(time(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_line_names_its_stream_and_keeps_its_bytes() {
        let mut buffer = Vec::new();
        push_line(&mut buffer, 0, Source::Err, b"caf\xe9");
        assert_eq!(buffer, b"1970-01-01T00:00:00.000Z err caf\xe9\n");
    }
}
