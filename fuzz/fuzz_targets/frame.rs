//! The keeper's frames: whole or not yet, never more than allowed, and written as they were read.
#![no_main]

use backstay_supervisor::wire::frame::{decode, encode};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    loop {
        let before = buffer.clone();
        let Ok(Some(frame)) = decode(&mut buffer) else {
            break;
        };
        let mut written = BytesMut::new();
        assert!(
            encode(&frame, &mut written).is_ok(),
            "read and cannot be written"
        );
        assert_eq!(
            written[..],
            before[..before.len() - buffer.len()],
            "not written as read"
        );
    }
});
