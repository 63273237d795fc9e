//! Packed reservations: whatever the bytes, the books agree with what was granted and nothing is given back twice.
#![no_main]

use backstay_ledger::{Amounts, HANDLE, Pool, RECORD};
use libfuzzer_sys::fuzz_target;

const CAPACITY: Amounts = Amounts {
    cpu_milli: 4_000,
    memory: 1 << 33,
    storage: 1 << 40,
    gpu_milli: 2_000,
};

fn numbers(record: &[u8]) -> [u128; 4] {
    let (words, _) = record.as_chunks::<8>();
    std::array::from_fn(|word| u128::from(u64::from_le_bytes(words[word])))
}

fuzz_target!(|bytes: &[u8]| {
    let pool = Pool::new("machine", CAPACITY);
    let Ok(batch) = pool.batch("fuzz") else {
        return;
    };
    // Requests, and behind them handles that nobody was given.
    let (requests, strange) = bytes.split_at(bytes.len() / 2);
    let mut handles = Vec::new();
    let reserved = batch.reserve(requests, &mut handles);
    assert_eq!(reserved.is_ok(), requests.len() % RECORD == 0);
    let mut sum = [0; 4];
    for (request, handle) in requests
        .chunks_exact(RECORD)
        .zip(handles.chunks_exact(HANDLE))
    {
        if handle.iter().any(|byte| *byte != 0) {
            let asked = numbers(request);
            sum = std::array::from_fn(|dimension| sum[dimension] + asked[dimension]);
        }
    }
    let used = |pool: &Pool| pool.usage().used.as_array().map(u128::from);
    assert_eq!(
        used(&pool),
        sum,
        "the books say something else than was granted"
    );
    let most = CAPACITY.as_array().map(u128::from);
    assert!(
        (0..4).all(|dimension| sum[dimension] <= most[dimension]),
        "more was lent than there is"
    );

    let held = batch.held();
    if let Ok(released) = batch.release(strange) {
        assert_eq!(batch.held(), held - released, "not as many went as it said");
    }
    let _ = batch.which_held(strange);
    let rest = batch.held();
    assert_eq!(
        batch.release(&handles),
        Ok(rest),
        "what was granted is not given back"
    );
    assert_eq!(batch.release(&handles), Ok(0), "given back twice");
    assert_eq!(used(&pool), [0; 4]);
    batch.close();
});
