//! Answers of HTTP servers: the same body however the bytes are cut, and no more than came.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| backstay_mcp::transport::answer::check(bytes));
