//! Every interleaving of a few threads, with the books in a word of 64 bits: `make test-loom`.

use std::sync::Weak;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread::spawn;

use crate::amounts::{Amounts, DIMENSIONS};
use crate::error::Short;
use crate::packed::{Packed, Word};
use crate::scope::Scope;
use crate::slot::Slot;

impl Word for AtomicU64 {
    const BITS: u32 = 64;

    fn new(value: u128) -> Self {
        Self::new(u64::try_from(value).unwrap())
    }

    fn load(&self) -> u128 {
        self.load(Acquire).into()
    }

    fn swap(&self, old: u128, new: u128) -> Result<(), u128> {
        let (old, new) = (u64::try_from(old).unwrap(), u64::try_from(new).unwrap());
        self.compare_exchange(old, new, AcqRel, Acquire)
            .map(drop)
            .map_err(u128::from)
    }
}

type Books = Packed<AtomicU64>;

fn books(each: u64) -> Arc<Books> {
    Arc::new(Packed::new([each; DIMENSIONS]).unwrap())
}

fn take(books: &Books, want: [u64; DIMENSIONS]) -> Result<(), Short> {
    books.take(books.delta(want).unwrap())
}

fn give(books: &Books, amounts: [u64; DIMENSIONS]) {
    books.give(books.delta(amounts).unwrap());
}

/// Try every interleaving of `model`. Were there but one, the model would show nothing.
fn every_interleaving(model: impl Fn() + Send + Sync + 'static) {
    let tried = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = std::sync::Arc::clone(&tried);
    loom::model(move || {
        count.fetch_add(1, AcqRel);
        model();
    });
    assert!(tried.load(Acquire) > 3, "only {tried:?} interleavings");
}

#[test]
fn two_takers_share_what_fits_both_and_fight_for_what_does_not() {
    every_interleaving(|| {
        let books = books(3);
        let other = Arc::clone(&books);
        let thread = spawn(move || take(&other, [1, 2, 0, 1]).is_ok());
        let mine = take(&books, [2, 1, 3, 1]).is_ok();
        assert!(mine && thread.join().unwrap(), "both fit");
        assert_eq!(books.read().0, [3, 3, 3, 2]);

        let other = Arc::clone(&books);
        let thread = spawn(move || take(&other, [0, 0, 0, 1]).is_ok());
        let mine = take(&books, [0, 0, 0, 1]).is_ok();
        assert!(mine != thread.join().unwrap(), "one of them fits");
    });
}

#[test]
fn what_fits_is_not_refused_while_others_come_and_go() {
    every_interleaving(|| {
        let books = books(2);
        let other = Arc::clone(&books);
        let thread = spawn(move || {
            take(&other, [1; DIMENSIONS]).unwrap();
            give(&other, [1; DIMENSIONS]);
        });
        take(&books, [1; DIMENSIONS]).unwrap();
        give(&books, [1; DIMENSIONS]);
        thread.join().unwrap();
        assert_eq!(books.read().0, [0; DIMENSIONS]);
    });
}

#[test]
fn after_a_shrink_nothing_more_is_admitted() {
    every_interleaving(|| {
        let books = books(4);
        let other = Arc::clone(&books);
        let thread = spawn(move || take(&other, [3; DIMENSIONS]).is_ok());
        let used = books.resize([2; DIMENSIONS]).unwrap();
        // Whoever got in did so before the shrink, and the shrink saw it.
        let admitted = thread.join().unwrap();
        assert_eq!(used, [if admitted { 3 } else { 0 }; DIMENSIONS]);
    });
}

#[test]
fn what_fits_before_and_after_a_shrink_is_not_refused_during_it() {
    every_interleaving(|| {
        let books = books(4);
        take(&books, [2; DIMENSIONS]).unwrap();
        let other = Arc::clone(&books);
        let thread = spawn(move || {
            give(&other, [2; DIMENSIONS]);
            other.resize([2; DIMENSIONS]).unwrap();
        });
        take(&books, [2; DIMENSIONS]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_reader_never_sees_a_capacity_without_its_change() {
    every_interleaving(|| {
        let books = books(4);
        take(&books, [3; DIMENSIONS]).unwrap();
        let other = Arc::clone(&books);
        let thread = spawn(move || other.resize([2; DIMENSIONS]).unwrap());
        let (used, capacity) = books.read();
        assert_eq!(used, [3; DIMENSIONS]);
        assert!(capacity == [4; DIMENSIONS] || capacity == [2; DIMENSIONS]);
        thread.join().unwrap();
    });
}

#[test]
fn several_at_once_do_not_mix_with_one_alone() {
    every_interleaving(|| {
        let books = books(3);
        let other = Arc::clone(&books);
        let thread = spawn(move || take(&other, [2; DIMENSIONS]).is_ok());
        let mut granted = [false; 2];
        books.take_each(&[[2; DIMENSIONS], [1; DIMENSIONS]], &mut granted);
        let alone = thread.join().unwrap();
        assert_eq!(granted, [!alone, true]);
        assert_eq!(books.read().0, [3; DIMENSIONS]);
    });
}

fn memory(bytes: u64) -> Amounts {
    Amounts {
        memory: bytes,
        ..Amounts::default()
    }
}

#[test]
fn a_reservation_is_given_back_once_whoever_tries() {
    every_interleaving(|| {
        let scope = std::sync::Arc::new(Scope::new("p", memory(1)));
        let all = scope.parcel(memory(1)).unwrap();
        let slot = Arc::new(Slot::new("a".into(), scope, Weak::new()));
        let generation = slot.reserve(all).unwrap();
        let other = Arc::clone(&slot);
        let thread = spawn(move || other.release(Some(generation)).is_some());
        let mine = slot.release(None).is_some();
        assert!(mine != thread.join().unwrap(), "one of them gives it back");
        assert_eq!(slot.scope.read().0, memory(0));
        assert!(slot.reserve(all).is_ok());
        assert_eq!(slot.release(Some(generation)), None);
    });
}

#[test]
fn what_a_holder_holds_is_never_seen_half_changed() {
    every_interleaving(|| {
        let scope = std::sync::Arc::new(Scope::new("p", Amounts::from_array([3; DIMENSIONS])));
        let slot = Arc::new(Slot::new("a".into(), scope, Weak::new()));
        let [one, two] = [1, 2].map(|each| Amounts::from_array([each; DIMENSIONS]));
        let generation = slot.reserve(slot.scope.parcel(one).unwrap()).unwrap();
        slot.release(Some(generation)).unwrap();
        let other = Arc::clone(&slot);
        let thread = spawn(move || other.held(None));
        slot.reserve(slot.scope.parcel(two).unwrap()).unwrap();
        let seen = thread.join().unwrap();
        assert!(seen.is_none_or(|seen| seen == two), "{seen:?}");
    });
}

#[test]
fn two_in_a_quota_fight_for_its_last_part() {
    every_interleaving(|| {
        let machine = std::sync::Arc::new(Scope::new("machine", memory(3)));
        let fleet = Scope::inside(&machine, "fleet", [None, Some(1), None, None]);
        let fleet = std::sync::Arc::new(fleet);
        let one = fleet.parcel(memory(1)).unwrap();
        let inside = std::sync::Arc::clone(&fleet);
        let thread = spawn(move || inside.take(one).is_ok());
        let mine = fleet.take(one).is_ok();
        assert!(mine != thread.join().unwrap(), "one of them fits");
        assert_eq!((fleet.read().0, machine.read().0), (memory(1), memory(1)));
    });
}

#[test]
fn a_quota_is_kept_and_refuses_nothing_that_fits() {
    every_interleaving(|| {
        let machine = std::sync::Arc::new(Scope::new("machine", memory(3)));
        let fleet = std::sync::Arc::new(Scope::inside(
            &machine,
            "fleet",
            [None, Some(2), None, None],
        ));
        let one = fleet.parcel(memory(1)).unwrap();
        let inside = std::sync::Arc::clone(&fleet);
        let thread = spawn(move || {
            inside.take(one).unwrap();
            inside.give(one);
        });
        fleet.take(one).unwrap();
        machine.take(machine.parcel(memory(1)).unwrap()).unwrap();
        thread.join().unwrap();
        assert_eq!((fleet.read().0, machine.read().0), (memory(1), memory(2)));
    });
}
