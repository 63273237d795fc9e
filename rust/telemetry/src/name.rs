//! The grammar of metric and label names.

use crate::MetricError;

fn is_word(name: &str, colon: bool) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (colon && b == b':');
    name.bytes().all(good) && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Check a metric's name and its labels' names; `reserved` is what the kind itself uses (`le`).
pub(crate) fn check(name: &str, labels: &[&str], reserved: &str) -> Result<(), MetricError> {
    if !is_word(name, true) {
        return Err(MetricError::InvalidName {
            name: name.to_owned(),
        });
    }
    for (i, label) in labels.iter().enumerate() {
        let taken = label.starts_with("__") || *label == reserved || labels[..i].contains(label);
        if taken || !is_word(label, false) {
            return Err(MetricError::InvalidLabel {
                name: name.to_owned(),
                label: (*label).to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        assert!(check("calls:rate_5m", &["tool", "_x9"], "").is_ok());
        for bad in ["", "9lives", "a-b", "a b", "é"] {
            assert!(check(bad, &[], "").is_err(), "{bad}");
        }
        for bad in [
            vec!["a:b"],
            vec!["__name__"],
            vec!["a", "a"],
            vec![""],
            vec!["le"],
        ] {
            assert!(check("ok", &bad, "le").is_err(), "{bad:?}");
        }
    }
}
