//! What followed what: which keys will be asked for next, so that they can be loaded before.
//!
//! It learns from the keys that were *missed*, and from the first use of those that were loaded ahead. Keys that
//! are used all the time stay out of it, so a walk through rarely used items is seen as the walk it is, however
//! much else happens between its steps.
//!
//! Keys are known by their hashes: two with the same one share a prediction, which costs a loading and nothing
//! else. Bounded: when full, the oldest key that was not seen again gives way.

use hashbrown::{HashSet, HashTable};

use crate::residents::Place;

const FOLLOWERS: usize = 2;
/// How sure one can be of a follower; a greater count would take longer to unlearn than to learn.
const SUREST: u8 = 7;

#[derive(Clone, Copy, Default)]
struct Follower {
    hash: u64,
    /// How often it followed, less how often another did; 0: nobody.
    count: u8,
}

struct Known<K> {
    hash: u64,
    key: K,
    followers: [Follower; FOLLOWERS],
    seen_again: bool,
}

/// What followed what.
pub struct Successors<K> {
    index: HashTable<Place>,
    known: Vec<Known<K>>,
    most: usize,
    /// Where the search for the next key to give way goes on.
    hand: usize,
    last: Option<u64>,
    /// Loaded ahead and not used yet.
    ahead: HashSet<u64, ahash::RandomState>,
}

impl<K> Successors<K> {
    /// One that knows up to `most` keys.
    pub fn new(most: usize) -> Self {
        Self {
            index: HashTable::new(),
            known: Vec::new(),
            most: most.clamp(1, Place::MAX as usize),
            hand: 0,
            last: None,
            ahead: HashSet::default(),
        }
    }

    /// Whether this is the first use of a key that was loaded ahead; such a use is to be told to [`Self::missed`].
    #[inline]
    pub fn was_ahead(&mut self, hash: u64) -> bool {
        !self.ahead.is_empty() && self.ahead.remove(&hash)
    }

    /// Note that a key was loaded ahead.
    pub fn loaded_ahead(&mut self, hash: u64) {
        if self.ahead.len() >= self.most {
            self.ahead.clear();
        }
        self.ahead.insert(hash);
    }

    /// Note that a key was asked for that was not there, or would not have been there. Gives the key that was
    /// forgotten for it, to be dropped by the caller.
    pub fn missed(&mut self, hash: u64, key: impl FnOnce() -> K) -> Option<K> {
        if let Some(before) = self.last.replace(hash).filter(|&before| before != hash)
            && let Some(place) = self.place(before)
        {
            follow(&mut self.known[place].followers, hash);
        }
        if let Some(place) = self.place(hash) {
            self.known[place].seen_again = true;
            return None;
        }
        let known = Known {
            hash,
            key: key(),
            followers: [Follower::default(); FOLLOWERS],
            seen_again: false,
        };
        let (place, forgotten) = if self.known.len() < self.most {
            self.known.push(known);
            (self.known.len() - 1, None)
        } else {
            let place = self.give_way();
            let old = std::mem::replace(&mut self.known[place], known);
            (place, Some(old.key))
        };
        let known = &self.known;
        let place = Place::try_from(place).unwrap_or(Place::MAX);
        self.index
            .insert_unique(hash, place, |&place| known[place as usize].hash);
        forgotten
    }

    /// The keys that will follow `hash`, in order: up to `most` of them, each the likeliest after the one before.
    pub fn after(&self, hash: u64, most: usize) -> Vec<(u64, &K)> {
        let mut next = Vec::new();
        let mut at = hash;
        while next.len() < most {
            let Some(follower) = self.place(at).and_then(|place| {
                let followers = &self.known[place].followers;
                followers
                    .iter()
                    .max_by_key(|f| f.count)
                    .filter(|f| f.count > 0)
            }) else {
                break;
            };
            // Around in a circle is far enough.
            if follower.hash == hash || next.iter().any(|&(known, _)| known == follower.hash) {
                break;
            }
            let Some(place) = self.place(follower.hash) else {
                break;
            };
            at = follower.hash;
            next.push((at, &self.known[place].key));
        }
        next
    }

    /// Forget everything; gives the keys, to be dropped by the caller.
    pub fn clear(&mut self) -> Vec<K> {
        self.index.clear();
        self.ahead.clear();
        (self.hand, self.last) = (0, None);
        std::mem::take(&mut self.known)
            .into_iter()
            .map(|known| known.key)
            .collect()
    }

    /// Every key that is known: for a garbage collector.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.known.iter().map(|known| &known.key)
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn place(&self, hash: u64) -> Option<usize> {
        let known = &self.known;
        self.index
            .find(hash, |&place| known[place as usize].hash == hash)
            .map(|&place| place as usize)
    }

    fn give_way(&mut self) -> usize {
        loop {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.known.len();
            let known = &mut self.known[place];
            if std::mem::take(&mut known.seen_again) {
                continue;
            }
            if let Ok(entry) = self
                .index
                .find_entry(known.hash, |&at| at as usize == place)
            {
                entry.remove();
            }
            return place;
        }
    }
}

/// One vote for `hash`, which takes one from the others: so a few places find whoever follows most often.
fn follow(followers: &mut [Follower; FOLLOWERS], hash: u64) {
    if let Some(follower) = followers.iter_mut().find(|f| f.count > 0 && f.hash == hash) {
        follower.count = (follower.count + 1).min(SUREST);
    } else if let Some(free) = followers.iter_mut().find(|f| f.count == 0) {
        *free = Follower { hash, count: 1 };
    } else {
        for follower in followers {
            follower.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(most: usize, walk: impl IntoIterator<Item = u64>) -> Successors<u64> {
        let mut successors = Successors::new(most);
        for key in walk {
            successors.missed(key, || key);
        }
        successors
    }

    fn after(successors: &Successors<u64>, key: u64, most: usize) -> Vec<u64> {
        successors
            .after(key, most)
            .into_iter()
            .map(|(_, &key)| key)
            .collect()
    }

    #[test]
    fn a_walk_seen_once_is_known() {
        let successors = learnt(10, [1, 2, 3, 4]);
        assert_eq!(after(&successors, 1, 2), [2, 3]);
        assert_eq!(after(&successors, 3, 9), [4]);
        assert_eq!(after(&successors, 4, 9), []);
    }

    #[test]
    fn a_circle_ends_where_it_began() {
        assert_eq!(after(&learnt(10, [1, 2, 3, 1]), 1, 9), [2, 3]);
    }

    #[test]
    fn the_likeliest_follower_wins_and_habits_change() {
        let mut successors = learnt(10, [1, 2, 1, 2, 1, 3]);
        assert_eq!(after(&successors, 1, 1), [2]);
        for key in [1, 3, 1, 3, 1, 3] {
            successors.missed(key, || key);
        }
        assert_eq!(after(&successors, 1, 1), [3]);
    }

    #[test]
    fn it_forgets_the_oldest_rather_than_grow() {
        let successors = learnt(3, 0..100);
        assert_eq!(successors.len(), 3);
        assert_eq!(after(&successors, 97, 9), [98, 99]);
        assert_eq!(after(&successors, 5, 9), []);
    }

    #[test]
    fn first_use_of_what_was_loaded_ahead_is_told_once() {
        let mut successors = learnt(3, [1]);
        successors.loaded_ahead(2);
        assert!(successors.was_ahead(2));
        assert!(!successors.was_ahead(2));
    }
}
