//! JSON that is carried and not understood.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::{self, Edit, EnvelopeError, Limits, scan};

/// One whole, valid JSON value as bytes; a clone shares them.
///
/// It can only be made by reading or writing JSON, so whoever splices it into a message need not look again.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson(Bytes);

impl RawJson {
    /// `{}`.
    pub const EMPTY_OBJECT: Self = Self(Bytes::from_static(b"{}"));
    /// `null`.
    pub const NULL: Self = Self(Bytes::from_static(b"null"));

    /// Takes bytes that hold exactly one JSON value.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, EnvelopeError> {
        let bytes = bytes.into();
        scan::validate(&bytes, Limits::default())?;
        Ok(Self(bytes))
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// What `serde_json` refuses: a map whose keys are not strings, or a `Serialize` that fails.
    pub fn write<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        Ok(Self(Bytes::from(serde_json::to_vec(value)?)))
    }

    /// A literal; what it says is for its tests.
    pub(crate) const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// A JSON string.
    pub fn string(text: &str) -> Self {
        let mut out = Vec::with_capacity(text.len() + 2);
        write_string(&mut out, text);
        Self(out.into())
    }

    /// A JSON number.
    pub fn number(number: u64) -> Self {
        Self(Bytes::copy_from_slice(
            itoa::Buffer::new().format(number).as_bytes(),
        ))
    }

    /// A part of a message that was validated as a whole.
    pub(crate) fn trusted(bytes: Bytes) -> Self {
        debug_assert!(scan::validate(&bytes, Limits::default()).is_ok());
        Self(bytes)
    }

    /// The value's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value's bytes, shared.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The value's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.0.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
    }

    /// An object with some members edited; anything else stays what it is. What is not edited stays byte for byte.
    #[must_use]
    pub fn with_members(&self, edits: &[Edit<'_>]) -> Self {
        if !self.is_object() {
            return self.clone();
        }
        let mut out = Vec::with_capacity(self.0.len() + 64);
        envelope::edited(&self.0, edits, &mut out);
        Self::trusted(out.into())
    }

    /// The value of one member, if it is an object that has it.
    pub fn member(&self, key: &str) -> Option<Self> {
        envelope::member(&self.0, key).map(|value| Self(self.0.slice_ref(value)))
    }

    /// Reads it into a type.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.0)
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => {
                out.extend_from_slice(&text.as_bytes()[done..at]);
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
                done = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[done..at]);
        out.extend_from_slice(escape);
        done = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[done..]);
    out.push(b'"');
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_written_so_that_others_read_the_same(text in any::<String>()) {
            let raw = RawJson::string(&text);
            prop_assert_eq!(serde_json::from_slice::<String>(raw.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn bytes_that_are_not_one_json_value_are_refused() {
        for bad in ["", "{", "1 2", "nul", "[1,]"] {
            assert!(RawJson::parse(bad).is_err(), "{bad}");
        }
        assert!(RawJson::parse(" {\"a\": 1} ").unwrap().is_object());
    }
}
