//! Finds the `id` of a message that is too large to keep.
//!
//! Its bytes pass once, in pieces, and nothing of them is held but a key and a short value: so the one call that
//! the answer was for can be told, while its neighbours go on.

use crate::raw::RawJson;

/// Longer keys and ids are nobody's.
const KEPT: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Skim {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// What stands in the message's own object at the moment: a key or, behind a colon, a value.
    current: Vec<u8>,
    key_is_id: bool,
    id: Option<Vec<u8>>,
}

impl Skim {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.step(byte);
        }
    }

    /// The id, if there was one and it is a JSON value.
    pub(super) fn id(&self) -> Option<RawJson> {
        RawJson::parse(self.id.clone()?).ok()
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            self.keep(byte);
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
            return;
        }
        match byte {
            b'"' => {
                self.keep(byte);
                self.in_string = true;
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.current.clear();
            }
            b':' if self.depth == 1 => {
                self.key_is_id = self.current == b"\"id\"";
                self.current.clear();
            }
            b',' if self.depth == 1 => self.value_ended(),
            b'}' | b']' => {
                if self.depth == 1 {
                    self.value_ended();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b' ' | b'\t' | b'\r' => {}
            _ => self.keep(byte),
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.current.len() < KEPT {
            self.current.push(byte);
        }
    }

    fn value_ended(&mut self) {
        if self.key_is_id {
            self.id = Some(std::mem::take(&mut self.current));
        }
        self.key_is_id = false;
        self.current.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(text: &str) -> Option<String> {
        let mut skim = Skim::default();
        for piece in text.as_bytes().chunks(3) {
            skim.feed(piece);
        }
        skim.id().map(|id| id.as_str().to_owned())
    }

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        assert_eq!(id_of(r#"{"id":7,"result":{"id":8}}"#).as_deref(), Some("7"));
        assert_eq!(
            id_of(r#"{"result":{"id":8,"x":["\"id\":9,"]}, "jsonrpc":"2.0", "id" : "a b" }"#)
                .as_deref(),
            Some("\"a b\"")
        );
        assert_eq!(
            id_of(r#"{"result":"}{\"id\":1","id":2}"#).as_deref(),
            Some("2")
        );
    }

    #[test]
    fn no_id_is_no_id() {
        assert_eq!(id_of(r#"{"method":"x","params":{"id":1}}"#), None);
        assert_eq!(id_of("garbage, id: 5"), None);
    }
}
