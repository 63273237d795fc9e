//! The cache that threads share: its bounds, its lifetimes, and loading once.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};

use backstay_cache::{Cache, Lifetime, Limit, Terms};

#[test]
fn a_value_is_found_until_it_is_taken_out() {
    let cache = Cache::new(Limit::Entries(100));
    assert_eq!(cache.insert("a".to_owned(), 1), Ok(None));
    assert_eq!(cache.insert("a".to_owned(), 2), Ok(Some(1)));
    assert_eq!(cache.get("a"), Some(2));
    assert!(cache.contains("a"));
    assert_eq!(cache.remove("a"), Some(2));
    assert_eq!(cache.get("a"), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.insertions), (1, 1, 2));
}

#[test]
fn shards_share_the_limit_exactly() {
    let cache = Cache::with(
        Limit::Entries(1003),
        8,
        ahash::RandomState::with_seeds(1, 2, 3, 4),
    );
    assert_eq!(cache.stats().capacity, 1003);
    for key in 0..10_000 {
        cache.insert(key, key).unwrap();
    }
    assert_eq!(cache.len(), 1003);
    assert_eq!(cache.stats().evictions, 10_000 - 1003);
}

#[test]
fn a_lifetime_of_nothing_is_over_at_once() {
    let lifetime = Lifetime {
        ttl_ms: Some(0),
        idle_ms: None,
    };
    let cache = Cache::new(Limit::Entries(10)).lifetime(lifetime);
    cache.insert(1, 1).unwrap();
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.remove(&1), None);
    assert!(cache.is_empty());
}

#[test]
fn a_tag_takes_out_all_that_bear_it_in_every_shard() {
    let cache = Cache::with(Limit::Entries(1000), 4, ahash::RandomState::new());
    for key in 0..100 {
        let tags: &[&str] = if key % 3 == 0 {
            &["three", "all"]
        } else {
            &["all"]
        };
        cache
            .insert_with(
                key,
                (),
                &Terms {
                    tags,
                    ..Terms::default()
                },
            )
            .unwrap();
    }
    assert_eq!(cache.invalidate("three"), 34);
    assert_eq!(cache.invalidate("three"), 0);
    assert_eq!(cache.len(), 66);
    assert_eq!(cache.invalidate("all"), 66);
}

#[test]
fn threads_never_see_a_value_of_another_key_nor_more_than_fits() {
    let cache = Cache::with(Limit::Entries(500), 4, ahash::RandomState::new());
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let cache = &cache;
            scope.spawn(move || {
                let mut key = thread;
                for _ in 0..5_000 {
                    key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let key = key >> 54;
                    match cache.get(&key) {
                        Some(value) => assert_eq!(value, key * 7),
                        None => drop(cache.insert(key, key * 7)),
                    }
                    if key % 97 == 0 {
                        cache.remove(&key);
                    }
                }
            });
        }
    });
    assert!(cache.len() <= 500);
}

#[test]
fn however_many_ask_one_loads() {
    let cache = Cache::new(Limit::Entries(10));
    let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let value = cache.get_or_load(&1, || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, ()>(7)
                });
                assert_eq!(value, Ok(7));
            });
        }
    });
    assert_eq!(loads.into_inner(), 1);
}

#[test]
fn a_failure_reaches_all_who_wait_and_is_not_kept() {
    let cache: Cache<i32, i32> = Cache::new(Limit::Entries(10));
    let (loads, asking) = (AtomicUsize::new(0), Barrier::new(2));
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get_or_load(&1, || {
                loads.fetch_add(1, Ordering::Relaxed);
                asking.wait();
                // The follower has been counted as a miss: it is about to wait, or waits.
                while cache.stats().misses < 2 {
                    std::thread::yield_now();
                }
                Err("no")
            })
        });
        asking.wait();
        let follower = cache.get_or_load(&1, || Err("no"));
        assert_eq!(*leader.join().unwrap().unwrap_err(), "no");
        assert_eq!(*follower.unwrap_err(), "no");
    });
    assert_eq!(loads.into_inner(), 1);
    assert_eq!(cache.get_or_load(&1, || Ok::<_, ()>(2)), Ok(2));
}

#[test]
fn a_loader_that_panics_leaves_the_next_one_to_load() {
    let cache: Cache<i32, i32> = Cache::new(Limit::Entries(10));
    std::thread::scope(|scope| {
        let panics = scope.spawn(|| cache.get_or_load::<()>(&1, || panic!("as it should")));
        assert!(panics.join().is_err());
    });
    assert_eq!(cache.get_or_load(&1, || Ok::<_, ()>(3)), Ok(3));
}

#[test]
fn a_dropped_future_leaves_its_loading_to_the_next() {
    let cache: Cache<i32, i32> = Cache::new(Limit::Entries(10));
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(cache.get_or_load_async::<(), _>(&1, std::future::pending));
    assert!(first.as_mut().poll(&mut context).is_pending());
    let mut second = pin!(cache.get_or_load_async(&1, async || Ok::<_, ()>(5)));
    assert!(
        second.as_mut().poll(&mut context).is_pending(),
        "it waits for the first"
    );
    drop(first);
    assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(5)));
    assert_eq!(cache.get(&1), Some(5));
}

#[test]
fn futures_share_one_loading() {
    let cache: Cache<i32, i32> = Cache::new(Limit::Entries(10));
    let mut context = Context::from_waker(Waker::noop());
    let gate = Arc::new(AtomicUsize::new(0));
    let loader = {
        let gate = Arc::clone(&gate);
        move || {
            std::future::poll_fn(move |_| match gate.load(Ordering::Relaxed) {
                0 => Poll::Pending,
                _ => Poll::Ready(Err("no")),
            })
        }
    };
    let mut first = pin!(cache.get_or_load_async(&1, loader));
    let mut second = pin!(cache.get_or_load_async(&1, async || panic!("nobody asks it")));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    gate.store(1, Ordering::Relaxed);
    assert_eq!(
        first.as_mut().poll(&mut context),
        Poll::Ready(Err(Arc::new("no")))
    );
    assert_eq!(
        second.as_mut().poll(&mut context),
        Poll::Ready(Err(Arc::new("no")))
    );
}
