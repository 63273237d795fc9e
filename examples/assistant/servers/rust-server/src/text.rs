//! What the tools do with texts.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How fast people read silently.
const WORDS_A_MINUTE: usize = 238;
/// The comparison's table grows with the product of both; this many cells are about 32 MB.
const MAX_CELLS: usize = 8_000_000;

/// Counts of a text, and its `top` most frequent words.
pub fn statistics(text: &str, top: usize) -> Value {
    let words: Vec<String> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'))
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(str::to_lowercase)
        .collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in &words {
        *counts.entry(word).or_default() += 1;
    }
    let mut ranked: Vec<_> = counts.iter().collect();
    ranked.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let frequent: Vec<_> = ranked
        .iter()
        .take(top)
        .map(|&(word, count)| json!({"word": word, "count": count}))
        .collect();
    json!({
        "bytes": text.len(),
        "characters": text.chars().count(),
        "lines": text.lines().count(),
        "words": words.len(),
        "distinct_words": counts.len(),
        "reading_seconds": (words.len() * 60).div_ceil(WORDS_A_MINUTE),
        "frequent": frequent,
    })
}

/// The SHA-256 of a text, in hexadecimal.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
            hex
        })
}

/// The lines that differ, as `- line` and `+ line`, with the common ones between changes left out.
pub fn compare(before: &str, after: &str) -> Result<Vec<String>, String> {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let width = new.len() + 1;
    if (old.len() + 1).saturating_mul(width) > MAX_CELLS {
        return Err(format!(
            "{} and {} lines are too many to compare",
            old.len(),
            new.len()
        ));
    }
    // `common[i][j]`: the length of the longest common subsequence of `old[i..]` and `new[j..]`.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < old.len()
            && (j == new.len() || common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_whatever_their_case() {
        let counted = statistics("The cat.\nThe dog’s bowl", 1);
        assert_eq!(counted["words"], 5);
        assert_eq!(counted["lines"], 2);
        assert_eq!(counted["frequent"], json!([{"word": "the", "count": 2}]));
    }

    #[test]
    fn only_what_changed_is_listed() {
        assert_eq!(compare("a\nb\nc", "a\nc\nd").unwrap(), ["- b", "+ d"]);
        assert!(compare("a\nb", "a\nb").unwrap().is_empty());
    }

    #[test]
    fn texts_that_would_need_too_much_memory_are_refused() {
        let long = "x\n".repeat(4_000);
        assert!(compare(&long, &long).is_err());
    }
}
