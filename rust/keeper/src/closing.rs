//! In which order a fleet ends: the last started first, one service at a time.

use std::collections::HashSet;

/// What is left to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Groups of instances, the next one last.
    later: Vec<Vec<String>>,
    /// Those that are ending now.
    now: HashSet<String>,
}

impl Closing {
    /// Of the running instances, `(place in the order of starting, service, name)`.
    ///
    /// Neighbours of one service end together: its instances do not depend on each other.
    pub(crate) fn plan(mut running: Vec<(u64, String, String)>) -> Self {
        running.sort_unstable();
        let mut later: Vec<(String, Vec<String>)> = Vec::new();
        for (_, service, name) in running {
            match later.last_mut() {
                Some((same, names)) if *same == service => names.push(name),
                _ => later.push((service, vec![name])),
            }
        }
        Self {
            later: later.into_iter().map(|(_, names)| names).collect(),
            now: HashSet::new(),
        }
    }

    /// Those to end next, if all before them have ended.
    pub(crate) fn next(&mut self) -> Vec<String> {
        if !self.now.is_empty() {
            return Vec::new();
        }
        let names = self.later.pop().unwrap_or_default();
        self.now.extend(names.iter().cloned());
        names
    }

    /// Takes note of one that has ended.
    pub(crate) fn ended(&mut self, name: &str) {
        self.now.remove(name);
    }

    /// Whether all have.
    pub(crate) fn is_done(&self) -> bool {
        self.now.is_empty() && self.later.is_empty()
    }

    /// Those that have not, to be ended at once.
    pub(crate) fn hurry(&mut self) -> Vec<String> {
        self.now.extend(self.later.drain(..).flatten());
        self.now.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_end_one_after_another_in_reverse() {
        let running = [
            (3, "web", "web.2"),
            (1, "db", "db.1"),
            (2, "web", "web.1"),
            (4, "job", "job.1"),
        ];
        let mut closing = Closing::plan(
            running
                .map(|(order, service, name)| (order, service.into(), name.into()))
                .into(),
        );
        assert_eq!(closing.next(), ["job.1"]);
        assert_eq!(
            closing.next(),
            [""; 0],
            "not before the one before has ended"
        );
        closing.ended("job.1");
        assert_eq!(closing.next(), ["web.1", "web.2"]);
        closing.ended("web.2");
        closing.ended("web.1");
        assert!(!closing.is_done());
        assert_eq!(closing.next(), ["db.1"]);
        closing.ended("db.1");
        assert!(closing.is_done());
    }
}
