//! Globs over tool names: `*` any run, `?` one character, the rest itself.

use crate::config::ToolFilter;

/// Whether the whole of `name` matches `pattern`. Linear in practice, quadratic at worst; no recursion.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one more character swallowed.
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((after, from)) => {
                    back = Some((after, from + 1));
                    p = after;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Whether one of the patterns matches.
pub(crate) fn any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

impl ToolFilter {
    /// Whether the tool of this name is offered.
    pub fn offers(&self, name: &str) -> bool {
        (self.allow.is_empty() || any(&self.allow, name)) && !any(&self.deny, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("read_*", "read_file", true),
            ("read_*", "write_file", false),
            ("*_file", "read_text_file", true),
            ("*a*b", "xaxxbxb", true),
            ("*a*b", "xaxxbxc", false),
            ("rea?", "read", true),
            ("rea?", "rea", false),
            ("", "", true),
            ("*", "", true),
            ("grün*", "grünes", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn deny_wins_over_allow() {
        let filter = ToolFilter {
            allow: vec!["read_*".into()],
            deny: vec!["*secret*".into()],
        };
        assert!(filter.offers("read_file"));
        assert!(!filter.offers("read_secret_file"));
        assert!(!filter.offers("write_file"));
        assert!(ToolFilter::default().offers("anything"));
    }
}
