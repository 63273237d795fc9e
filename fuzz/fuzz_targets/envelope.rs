//! JSON-RPC messages: what must hold for any bytes stands with the parser itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| backstay_mcp::envelope::fuzz::check(bytes));
