//! A cache's file: damage is refused, and what is read can be written and read again.
#![no_main]

use std::path::Path;

use backstay_cache::snapshot::{decode, encode};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

const NOW: u64 = 1 << 40;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("a file");
    let _ = decode(path, bytes, NOW);
    // What has the right checksum is not trusted either.
    let mut sealed = b"backstay cache 1\n".to_vec();
    sealed.extend(bytes);
    let digest = Sha256::digest(&sealed);
    sealed.extend(digest);
    let Ok(records) = decode(path, &sealed, NOW) else {
        return;
    };
    let again = decode(path, &encode(&records, NOW), NOW);
    assert!(again.is_ok_and(|again| {
        // Who has no time left is left out.
        let lives = |ttl: Option<u64>| ttl != Some(0);
        let kept = records
            .iter()
            .filter(|record| lives(record.lifetime.ttl_ms.or(record.lifetime.idle_ms)));
        again.iter().eq(kept)
    }));
});
