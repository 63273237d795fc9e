//! Heads of clients' requests: more bytes change nothing of what was read, and a plainer reading reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| backstay_mcp::transport::posted::fuzz::check(bytes));
