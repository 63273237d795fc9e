//! "Did you mean": the nearest known name to one that is not.

/// The name nearest to `wanted`, if one is near enough to be what was meant.
///
/// Looks at no more than 10,000 names, so that an unknown name costs a bounded time.
pub(crate) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.len() > 128 {
        return None;
    }
    let limit = (wanted.len() / 3).clamp(1, 5);
    known
        .take(10_000)
        .filter_map(|name| {
            if name.ends_with(wanted) && name.len() > wanted.len() && wanted.len() > 2 {
                return Some((0, name)); // The bare name of a tool that has a prefix here.
            }
            (name.len().abs_diff(wanted.len()) <= limit)
                .then(|| (distance(wanted.as_bytes(), name.as_bytes()), name))
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance over bytes.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let known = [
            "files__read_file",
            "files__write_file",
            "time__convert_time",
        ];
        assert_eq!(
            nearest("files__raed_file", known.into_iter()),
            Some("files__read_file")
        );
        assert_eq!(
            nearest("convert_time", known.into_iter()),
            Some("time__convert_time")
        );
        assert_eq!(nearest("something_else_entirely", known.into_iter()), None);
    }
}
