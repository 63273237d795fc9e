//! The log probe's expression.

use regex::bytes::{Regex, RegexBuilder};

/// Bounds what a pattern may cost in memory; far above any readable one.
const COMPILED_MAX: usize = 1 << 20;

/// Compiles a log probe's pattern; it is matched on bytes, as logs need not be UTF-8.
pub fn compile_pattern(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(COMPILED_MAX).build()
}
