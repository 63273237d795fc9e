//! One pass over JSON text that builds nothing: is it JSON, and where does each value end?
//!
//! Text is checked as UTF-8 before it comes here. Nesting is kept in a fixed bit set and not on the stack,
//! so no input can make it recurse.

use super::error::EnvelopeError;
use super::limits::Limits;

/// Where something stands in a message. Empty means that it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// No bytes, at a place.
    pub(crate) fn at(place: u32) -> Self {
        Self {
            start: place,
            end: place,
        }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Checks that `bytes` are exactly one JSON value within the limits.
pub(crate) fn validate(bytes: &[u8], limits: Limits) -> Result<(), EnvelopeError> {
    let mut scanner = Scanner::new(bytes, limits)?;
    scanner.value(0)?;
    scanner.end()
}

pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
}

/// Which containers are open: one bit a level, set for an object.
struct Open([u64; Limits::DEEPEST / 64]);

impl Open {
    fn set(&mut self, level: usize, object: bool) {
        let (word, bit) = (level / 64, 1 << (level % 64));
        if object {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }

    fn is_object(&self, level: usize) -> bool {
        self.0[level / 64] & (1 << (level % 64)) != 0
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: Limits) -> Result<Self, EnvelopeError> {
        let max = limits.max_bytes.min(Limits::LARGEST);
        if bytes.len() > max {
            return Err(EnvelopeError::TooLarge {
                bytes: bytes.len(),
                limit: max,
            });
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            return Err(EnvelopeError::NotUtf8 {
                at: error.valid_up_to(),
            });
        }
        Ok(Self {
            bytes,
            at: 0,
            max_depth: limits.max_depth.min(Limits::DEEPEST),
        })
    }

    /// Over text that was validated as a part of a message, and so is neither too long nor not UTF-8.
    pub(crate) fn again(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            max_depth: Limits::DEEPEST,
        }
    }

    pub(crate) fn slice(&self, span: Span) -> &'a [u8] {
        &self.bytes[span.range()]
    }

    /// The next byte that is not white space, without taking it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes the next byte that is not white space, which must be this one.
    pub(crate) fn take(&mut self, wanted: u8, expected: &'static str) -> Result<(), EnvelopeError> {
        if self.peek() == Some(wanted) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(expected))
    }

    /// After the value nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), EnvelopeError> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.wrong("the end of the message"))
        }
    }

    /// Calls `field` with each key of the object that comes next; it must take the value.
    pub(crate) fn object(
        &mut self,
        depth: usize,
        mut field: impl FnMut(&mut Self, &'a [u8]) -> Result<(), EnvelopeError>,
    ) -> Result<Span, EnvelopeError> {
        self.members(depth, |scanner, key| {
            let key = scanner.slice(key);
            field(scanner, key)
        })
    }

    /// As [`Scanner::object`], with the place of each key.
    pub(crate) fn members(
        &mut self,
        depth: usize,
        mut field: impl FnMut(&mut Self, Span) -> Result<(), EnvelopeError>,
    ) -> Result<Span, EnvelopeError> {
        self.peek();
        let start = self.at;
        if depth >= self.max_depth {
            return Err(EnvelopeError::TooDeep {
                limit: self.max_depth,
            });
        }
        self.take(b'{', "an object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(self.span(start));
        }
        loop {
            let key = self.key()?;
            field(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(self.span(start));
                }
                _ => return Err(self.wrong("`,` or `}`")),
            }
        }
    }

    /// Calls `element` before each element of the array that comes next; it must take the value.
    pub(crate) fn array(
        &mut self,
        depth: usize,
        mut element: impl FnMut(&mut Self) -> Result<(), EnvelopeError>,
    ) -> Result<(), EnvelopeError> {
        if depth >= self.max_depth {
            return Err(EnvelopeError::TooDeep {
                limit: self.max_depth,
            });
        }
        self.take(b'[', "an array")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.peek();
            element(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("`,` or `]`")),
            }
        }
    }

    /// Takes the value that comes next, whatever it is, `depth` containers being open around it.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Span, EnvelopeError> {
        self.peek();
        let start = self.at;
        let mut open = Open([0; Limits::DEEPEST / 64]);
        let mut level = depth;
        loop {
            match self.peek() {
                Some(opening @ (b'{' | b'[')) => {
                    if level >= self.max_depth {
                        return Err(EnvelopeError::TooDeep {
                            limit: self.max_depth,
                        });
                    }
                    let object = opening == b'{';
                    open.set(level, object);
                    self.at += 1;
                    if self.peek() == Some(opening + 2) {
                        self.at += 1;
                    } else {
                        level += 1;
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                _ => return Err(self.wrong("a value")),
            }
            loop {
                if level == depth {
                    return Ok(self.span(start));
                }
                let object = open.is_object(level - 1);
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if object => self.at += 1,
                    Some(b']') if !object => self.at += 1,
                    _ => return Err(self.wrong(if object { "`,` or `}`" } else { "`,` or `]`" })),
                }
                level -= 1;
            }
        }
    }

    /// A key with its quotes, and the colon behind it.
    fn key(&mut self) -> Result<Span, EnvelopeError> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key"));
        }
        let span = self.string()?;
        self.take(b':', "`:`")?;
        Ok(span)
    }

    fn string(&mut self) -> Result<Span, EnvelopeError> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at = plain_run(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.span(start));
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.wrong("a character of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), EnvelopeError> {
        let length = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.wrong("four hexadecimal digits"));
                }
                6
            }
            _ => return Err(self.wrong("an escape")),
        };
        self.at += length;
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), EnvelopeError> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.wrong("a value"))
    }

    fn number(&mut self) -> Result<(), EnvelopeError> {
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), EnvelopeError> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.wrong("a digit"))
        } else {
            Ok(())
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "`new` refuses what is longer than a u32 can say"
    )]
    fn span(&self, start: usize) -> Span {
        Span {
            start: start as u32,
            end: self.at as u32,
        }
    }

    fn wrong(&self, expected: &'static str) -> EnvelopeError {
        EnvelopeError::NotJson {
            at: self.at.min(self.bytes.len()),
            expected,
        }
    }
}

/// The first position from `at` on that holds a quote, a backslash or a control character.
fn plain_run(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    // Eight bytes at a time. Borrows can only raise false alarms above a true one, so the lowest is right.
    while let Some(eight) = bytes
        .get(at..at + 8)
        .and_then(|eight| eight.try_into().ok())
    {
        let word = u64::from_le_bytes(eight);
        let quote = (word ^ QUOTES).wrapping_sub(ONES) & !(word ^ QUOTES);
        let backslash = (word ^ BACKSLASHES).wrapping_sub(ONES) & !(word ^ BACKSLASHES);
        let control = word.wrapping_sub(SPACES) & !word;
        let found = (quote | backslash | control) & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte < b' ' || byte == b'"' || byte == b'\\' {
            return at;
        }
        at += 1;
    }
    at
}
