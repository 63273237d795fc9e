//! Packed requests in, handles out: whatever the bytes.

use std::collections::BTreeMap;

use backstay_ledger::{Amounts, HANDLE, LedgerError, Pool, RECORD, record};
use proptest::prelude::*;

fn memory(bytes: u64) -> Amounts {
    Amounts {
        memory: bytes,
        ..Amounts::default()
    }
}

fn packed(amounts: &[u64]) -> Vec<u8> {
    let records = amounts.iter().map(|&bytes| record(memory(bytes)));
    records.flatten().collect()
}

fn granted(handles: &[u8]) -> Vec<bool> {
    let handles = handles.chunks_exact(HANDLE);
    handles.map(|handle| handle != [0; HANDLE]).collect()
}

#[test]
fn each_request_that_fits_is_granted_and_its_handle_is_good_once() {
    let pool = Pool::new("p", memory(10));
    let batch = pool.batch("crawler").unwrap();
    let mut handles = Vec::new();
    batch
        .reserve(&packed(&[4, 7, 6, 1, 0]), &mut handles)
        .unwrap();
    assert_eq!(granted(&handles), [true, false, true, false, true]);
    assert_eq!(pool.held("crawler"), Some(memory(10)));
    assert_eq!((pool.usage().used, batch.held()), (memory(10), 3));
    assert_eq!(batch.which_held(&handles).unwrap(), [0b10101]);

    let first = &handles[..HANDLE];
    assert_eq!(batch.release(&[first, first].concat()).unwrap(), 1);
    assert_eq!(batch.amounts(), Some(memory(6)));
    let mut again = Vec::new();
    batch.reserve(&packed(&[4]), &mut again).unwrap();
    assert_eq!(
        batch.release(first).unwrap(),
        0,
        "the entry is another's now"
    );
    assert_eq!(batch.release(&handles).unwrap(), 2);
    assert_eq!((pool.usage().used, batch.held()), (memory(4), 1));
}

#[test]
fn the_end_of_the_holder_is_the_end_of_its_batch() {
    let pool = Pool::new("p", memory(10));
    let batch = pool.batch("a").unwrap();
    assert!(matches!(
        pool.batch("a"),
        Err(LedgerError::AlreadyHeld { .. })
    ));
    let mut handles = Vec::new();
    batch.reserve(&packed(&[3]), &mut handles).unwrap();
    pool.release("a").unwrap();
    assert_eq!(pool.usage().used, memory(0));
    assert_eq!((batch.amounts(), batch.held()), (None, 0));
    assert_eq!(batch.which_held(&handles).unwrap(), [0]);
    let other = pool.reserve("a", memory(10)).unwrap();
    assert!(matches!(
        batch.release(&handles),
        Err(LedgerError::NotHeld { .. })
    ));
    let none = batch.reserve(&packed(&[0]), &mut handles);
    assert!(matches!(none, Err(LedgerError::NotHeld { .. })) && !batch.close());
    assert_eq!(other.amounts(), Some(memory(10)));
}

#[test]
fn closing_gives_everything_back_once() {
    let pool = Pool::new("p", memory(10));
    let batch = pool.batch("a").unwrap();
    batch.reserve(&packed(&[3, 3]), &mut Vec::new()).unwrap();
    assert!(batch.close() && !batch.close());
    assert_eq!(pool.usage().used, memory(0));
    assert!(pool.holders().is_empty());
}

#[test]
fn a_batch_in_a_quota_counts_in_the_pools_around_it() {
    let machine = Pool::new("machine", memory(10));
    let fleet = machine.quota("fleet", [None, Some(6), None, None]);
    machine.hold("other", memory(5)).unwrap();
    let batch = fleet.batch("a").unwrap();
    let mut handles = Vec::new();
    batch
        .reserve(&packed(&[4, 2, u64::MAX, 1]), &mut handles)
        .unwrap();
    assert_eq!(granted(&handles), [true, false, false, true]);
    assert_eq!(machine.usage().used, memory(10));
    batch.release(&handles).unwrap();
    assert_eq!(machine.usage().used, memory(5));
}

#[test]
fn four_threads_share_a_batch_and_a_pool() {
    let pool = Pool::new("p", memory(1_000));
    let batch = pool.batch("a").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut handles = Vec::new();
                for _ in 0..40 {
                    handles.clear();
                    batch.reserve(&packed(&[1; 600]), &mut handles).unwrap();
                    assert!(pool.usage().excess().is_zero());
                    let all = granted(&handles).iter().filter(|granted| **granted).count();
                    assert_eq!(batch.release(&handles).unwrap(), all);
                }
            });
        }
    });
    assert_eq!((pool.usage().used, batch.held()), (memory(0), 0));
}

/// Panics if any bytes as requests, or as handles, break a promise of the batch.
fn check(requests: &[u8], handles: &[u8]) {
    let capacity = Amounts::from_array([1 << 20, 1 << 40, 1 << 40, 1 << 12]);
    let pool = Pool::new("p", capacity);
    let batch = pool.batch("a").expect("nobody else is there");
    let mut given = Vec::new();
    let reserved = batch.reserve(requests, &mut given);
    assert_eq!(reserved.is_ok(), requests.len().is_multiple_of(RECORD));
    assert_eq!(
        given.len(),
        if reserved.is_ok() {
            requests.len() / RECORD * HANDLE
        } else {
            0
        }
    );

    // The same requests one by one, in the same order, get the same answers.
    let one_by_one = Pool::new("p", capacity);
    let mut expected = BTreeMap::new();
    for (i, record) in requests
        .chunks_exact(RECORD)
        .enumerate()
        .filter(|_| reserved.is_ok())
    {
        let mut parts = [0; 4];
        for (part, bytes) in parts.iter_mut().zip(record.chunks_exact(8)) {
            *part = bytes
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | u64::from(*byte));
        }
        let want = Amounts::from_array(parts);
        if one_by_one.hold(&i.to_string(), want).is_ok() {
            expected.insert(i, want);
        }
    }
    let granted = granted(&given);
    assert!(
        granted
            .iter()
            .enumerate()
            .all(|(i, granted)| expected.contains_key(&i) == *granted)
    );
    assert_eq!(pool.usage(), one_by_one.usage());

    let before = batch.held();
    let released = batch.release(handles);
    assert_eq!(released.is_ok(), handles.len().is_multiple_of(HANDLE));
    assert_eq!(batch.held(), before - released.unwrap_or(0));
    assert!(batch.release(&given).is_ok());
    assert_eq!((pool.usage().used, batch.held()), (Amounts::default(), 0));
}

proptest! {
    #[test]
    fn any_bytes_are_requests_and_handles_or_are_refused_whole(
        requests in prop::collection::vec(any::<u8>(), 0..600),
        handles in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&requests, &handles);
    }

    #[test]
    fn packed_requests_get_what_they_would_get_one_by_one(
        wants in prop::collection::vec(prop::array::uniform4(0u64..1 << 19), 0..400),
        handles in prop::collection::vec((0u32..40, 0u32..4), 0..40),
    ) {
        let requests: Vec<u8> = wants.into_iter().flat_map(|want| record(Amounts::from_array(want))).collect();
        let handles = handles.into_iter().map(|(at, generation)| u64::from(generation) << 32 | u64::from(at));
        let handles: Vec<u8> = handles.flat_map(u64::to_le_bytes).collect();
        check(&requests, &handles);
    }
}
