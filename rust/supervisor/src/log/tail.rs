//! The last lines of a process, for the event that tells of its end.

/// Bytes kept.
const CAP: usize = 4 << 10;

/// The last whole lines, at most 4 KiB of them.
#[derive(Debug, Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// Adds a line.
    pub fn push(&mut self, line: &[u8]) {
        self.0.extend_from_slice(line);
        self.0.push(b'\n');
        // Cut seldom, so that a line costs its own length and not the tail's.
        if self.0.len() > 4 * CAP {
            self.cut();
        }
    }

    /// The lines as text; what is not UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        self.cut();
        let mut text = String::from_utf8_lossy(&self.0).into_owned();
        // Replacement characters are longer than what they replace.
        while text.len() > CAP {
            let first = text.find('\n').map_or(text.len(), |end| end + 1);
            text.drain(..first);
        }
        text
    }

    fn cut(&mut self) {
        let Some(surplus) = self.0.len().checked_sub(CAP) else {
            return;
        };
        let line_end = self.0[surplus..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|end| surplus + end + 1);
        match line_end {
            Some(end) if end < self.0.len() => self.0.drain(..end),
            // One line longer than all we keep: its end says more than its beginning.
            _ => self.0.drain(..surplus),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_whole_and_within_the_cap() {
        let mut tail = Tail::default();
        for number in 0..10_000 {
            tail.push(format!("line {number}").as_bytes());
        }
        let text = tail.text();
        assert!(text.len() <= CAP && text.len() > CAP - 20, "{}", text.len());
        assert!(
            text.starts_with("line ") && text.ends_with("line 9999\n"),
            "{text}"
        );
    }

    #[test]
    fn of_one_endless_line_the_end_is_kept() {
        let mut tail = Tail::default();
        tail.push(&[vec![b'a'; 9000], b"the end".to_vec()].concat());
        assert!(tail.text().ends_with("the end\n"));
    }
}
