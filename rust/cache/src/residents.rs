//! Who is in the cache, in what order they would leave, and who leaves for whom.
//!
//! Three queues, as in W-TinyLFU: new entries pass through a *window* (an LRU); who falls out of it contends with
//! the last one on *probation*, and the one used more often stays; who is used while on probation becomes
//! *protected*. Use counts survive an entry's leaving (`history.rs`) and halve with time. How large the window is
//! and how counts age is the [`Expert`]'s business.
//!
//! Knows hashes and costs, neither keys nor values: those are `shelf.rs`'s, in the same seats.

#![expect(
    clippy::inline_always,
    reason = "a look-up becomes one function: its parts take as long as a call of them"
)]

use hashbrown::HashTable;

use crate::expert::Expert;
use crate::history::{History, aged};
use crate::standing::{Resident, Standing};

/// The place of an entry, the same in all tables of a shelf.
pub type Place = u32;

const NOBODY: Place = u32::MAX;
const QUEUES: usize = 3;
const PROBATION: u16 = 0;
const PROTECTED: u16 = 1;
/// The first name of the window; each later one is the next number, see [`Residents::follow`].
const WINDOW: u16 = 2;

/// The share of what is not window that protected entries may fill.
const PROTECTED_SHARE: f64 = 0.8;

/// Whoever is among the last so-manieth that were moved to the head of a queue need not be moved there again. Moving
/// takes two neighbours out of memory, and most uses are of those who were used a moment ago. What is used again at
/// once and then not for nearly as long as an LRU would keep it leaves that much earlier: on no trace does it show.
const LATELY: u32 = 8;

/// Where somebody is in the index: beside a part of the hash, so that who is not meant is mostly not looked at.
#[derive(Clone, Copy)]
struct Bucket {
    tag: u32,
    place: Place,
}

/// The neighbours in a queue, and what each move between queues asks for. Of a free place, `next` is the next free
/// one.
#[derive(Clone, Copy)]
struct Link {
    prev: Place,
    next: Place,
    cost: u32,
}

#[derive(Clone, Copy)]
struct Queue {
    head: Place,
    tail: Place,
    len: u32,
    cost: u64,
}

const EMPTY: Queue = Queue {
    head: NOBODY,
    tail: NOBODY,
    len: 0,
    cost: 0,
};

/// The residents of one cache, or of the shadow of one.
pub(crate) struct Residents<R> {
    index: HashTable<Bucket>,
    /// By place, as `links` and `hashes`: what every use looks at, what moving does, and what coming and leaving do.
    seats: Vec<R>,
    links: Vec<Link>,
    hashes: Vec<u64>,
    /// The first free place; the others follow by `next`.
    free: Place,
    /// How often somebody was made the newest of a queue. Counts on and around.
    moves: u32,
    queues: [Queue; QUEUES],
    history: History,
    expert: Expert,
    capacity: u64,
    /// What the window is called just now. Whoever bears an old name of the window is on probation.
    window_name: u16,
    window: u64,
    protected: u64,
    epoch: u8,
    /// Accesses in this epoch, and how many end it.
    accesses: u64,
    epoch_ends: u64,
}

impl<R: Resident> Residents<R> {
    pub(crate) fn new(capacity: u64, expert: Expert) -> Self {
        let mut residents = Self {
            index: HashTable::new(),
            seats: Vec::new(),
            links: Vec::new(),
            hashes: Vec::new(),
            free: NOBODY,
            moves: 0,
            queues: [EMPTY; QUEUES],
            history: History::new(),
            expert,
            capacity,
            window_name: WINDOW,
            window: 0,
            protected: 0,
            epoch: 0,
            accesses: 0,
            epoch_ends: 0,
        };
        residents.follow(expert);
        residents
    }

    /// Let another expert decide from now on.
    ///
    /// If its window is smaller, all in the window are on probation at once: the queues are joined at their ends,
    /// and a new name for the window tells those who came in before from those who come after.
    pub(crate) fn follow(&mut self, expert: Expert) {
        if expert.window < self.expert.window {
            self.join_window_to_probation();
        }
        self.expert = expert;
        self.measure_epoch();
        self.window = share(self.capacity, expert.window).max(1);
        let main = self.capacity - self.window.min(self.capacity);
        self.protected = share(main, PROTECTED_SHARE);
    }

    fn join_window_to_probation(&mut self) {
        let [probation, _, window] = self.queues;
        if window.tail == NOBODY {
            return;
        }
        self.links[window.tail as usize].next = probation.head;
        let tail = match probation.head {
            NOBODY => window.tail,
            head => {
                self.links[head as usize].prev = window.tail;
                probation.tail
            }
        };
        self.queues[usize::from(PROBATION)] = Queue {
            head: window.head,
            tail,
            len: window.len + probation.len,
            cost: window.cost + probation.cost,
        };
        self.queues[usize::from(WINDOW)] = EMPTY;
        self.window_name = self.window_name.checked_add(1).unwrap_or_else(|| {
            // Once in 65,000 changes all names are used up: then whoever has an old one gets the right one.
            for seat in &mut self.seats {
                let standing = seat.standing();
                if standing.queue() >= WINDOW {
                    seat.stand(standing.with_queue(PROBATION, standing.moved()));
                }
            }
            WINDOW
        });
    }

    /// Where in `queues` those with this name are.
    #[inline]
    fn queue(&self, name: u16) -> usize {
        usize::from(match name {
            PROBATION | PROTECTED => name,
            name if name == self.window_name => WINDOW,
            _ => PROBATION,
        })
    }

    /// Change the capacity; who has to leave for it leaves with the next insertions or [`Self::settle`].
    pub(crate) fn resize(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.follow(self.expert);
    }

    pub(crate) fn expert(&self) -> Expert {
        self.expert
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The cost of all residents together.
    pub(crate) fn cost(&self) -> u64 {
        self.queues.iter().map(|queue| queue.cost).sum()
    }

    #[inline]
    pub(crate) fn cost_of(&self, place: Place) -> u32 {
        self.links[place as usize].cost
    }

    pub(crate) fn hash_of(&self, place: Place) -> u64 {
        self.hashes[place as usize]
    }

    #[inline]
    pub(crate) fn seat(&self, place: Place) -> &R {
        &self.seats[place as usize]
    }

    #[inline]
    pub(crate) fn seat_mut(&mut self, place: Place) -> &mut R {
        &mut self.seats[place as usize]
    }

    /// All seats, the free ones too.
    pub(crate) fn seats(&self) -> &[R] {
        &self.seats
    }

    /// Find a resident: `same` is asked for every one whose hash has the same low half.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(Place, &R) -> bool) -> Option<Place> {
        let tag = tag(hash);
        self.index
            .find(hash, |bucket| {
                bucket.tag == tag && same(bucket.place, &self.seats[bucket.place as usize])
            })
            .map(|bucket| bucket.place)
    }

    /// Note that a resident was used.
    #[inline(always)]
    pub(crate) fn touch(&mut self, place: Place) {
        self.tick();
        let seat = &mut self.seats[place as usize];
        let standing = seat.standing();
        let mut count = standing.count();
        if standing.epoch() != self.epoch {
            count = aged(count, standing.epoch(), self.epoch);
        }
        let standing = standing.with_count(count.saturating_add(1), self.epoch);
        seat.stand(standing);
        // A window of everything is an LRU: whoever is used belongs into it.
        if standing.queue() == self.window_name || self.window >= self.capacity {
            self.move_to(place, standing, WINDOW);
        } else {
            self.move_to(place, standing, PROTECTED);
            while self.queues[usize::from(PROTECTED)].cost > self.protected {
                let last = self.queues[usize::from(PROTECTED)].tail;
                self.move_to(last, self.standing(last), PROBATION);
            }
        }
    }

    /// Take in a new resident, and tell `leaves` who has to leave for it: never the new one itself.
    ///
    /// `cost` must not exceed the capacity.
    pub(crate) fn admit(
        &mut self,
        hash: u64,
        cost: u32,
        leaves: impl FnMut(&mut R, Place),
    ) -> Place {
        self.tick();
        let link = Link {
            prev: NOBODY,
            next: NOBODY,
            cost,
        };
        let place = if self.free == NOBODY {
            self.seats.push(R::default());
            self.links.push(link);
            self.hashes.push(hash);
            self.history.reserve(self.seats.len());
            self.measure_epoch();
            Place::try_from(self.seats.len() - 1).unwrap_or(NOBODY)
        } else {
            let place = self.free;
            self.free = std::mem::replace(&mut self.links[place as usize], link).next;
            self.hashes[place as usize] = hash;
            place
        };
        let hashes = &self.hashes;
        let bucket = Bucket {
            tag: tag(hash),
            place,
        };
        self.index
            .insert_unique(hash, bucket, |bucket| hashes[bucket.place as usize]);
        let count = self.history.take(hash, self.epoch).saturating_add(1);
        let standing = Standing::new(0, WINDOW, count, self.epoch);
        self.enter(place, standing, WINDOW);
        self.settle(place, leaves);
        place
    }

    /// Change what a resident costs; `leaves` hears who has to leave for it.
    pub(crate) fn reprice(&mut self, place: Place, cost: u32, leaves: impl FnMut(&mut R, Place)) {
        let before = std::mem::replace(&mut self.links[place as usize].cost, cost);
        let at = self.queue(self.standing(place).queue());
        let queue = &mut self.queues[at];
        queue.cost = queue.cost - u64::from(before) + u64::from(cost);
        if self.cost() > self.capacity {
            self.move_to(place, self.standing(place), WINDOW);
            self.settle(place, leaves);
        }
    }

    /// Take a resident out, without remembering it.
    pub(crate) fn remove(&mut self, place: Place) {
        let hash = self.hashes[place as usize];
        self.leave(place, self.standing(place));
        let found = self.index.find_entry(hash, |bucket| bucket.place == place);
        if let Ok(bucket) = found {
            bucket.remove();
        }
        self.links[place as usize].next = self.free;
        self.free = place;
    }

    /// All residents, the one that would stay longest first within each queue.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Place> {
        self.queues.iter().flat_map(|queue| {
            std::iter::successors(some(queue.head), |&place| {
                some(self.links[place as usize].next)
            })
        })
    }

    /// The one who would leave next.
    pub(crate) fn last(&self) -> Option<Place> {
        some(self.victim()).or(some(self.queues[usize::from(WINDOW)].tail))
    }

    /// Make room, `newest` excepted.
    fn settle(&mut self, newest: Place, mut leaves: impl FnMut(&mut R, Place)) {
        while self.queues[usize::from(WINDOW)].cost > self.window {
            let candidate = self.queues[usize::from(WINDOW)].tail;
            if candidate == newest {
                break;
            }
            if self.cost() <= self.capacity {
                self.move_to(candidate, self.standing(candidate), PROBATION);
                continue;
            }
            let victim = self.victim();
            if victim != NOBODY && self.wins(candidate, victim) {
                self.evict(victim, &mut leaves);
                self.move_to(candidate, self.standing(candidate), PROBATION);
            } else {
                if victim != NOBODY && self.expert.wears {
                    let count = self.count(victim).saturating_sub(1);
                    let worn = self.standing(victim).with_count(count, self.epoch);
                    self.seats[victim as usize].stand(worn);
                }
                self.evict(candidate, &mut leaves);
            }
        }
        while self.cost() > self.capacity {
            let Some(place) = self.last() else { break };
            self.evict(place, &mut leaves);
        }
    }

    fn wins(&self, candidate: Place, victim: Place) -> bool {
        self.count(candidate) > self.count(victim).saturating_add(self.expert.handicap)
    }

    fn victim(&self) -> Place {
        match self.queues[usize::from(PROBATION)].tail {
            NOBODY => self.queues[usize::from(PROTECTED)].tail,
            place => place,
        }
    }

    fn evict(&mut self, place: Place, leaves: &mut impl FnMut(&mut R, Place)) {
        let hash = self.hashes[place as usize];
        self.history.put(hash, self.count(place), self.epoch);
        self.remove(place);
        leaves(&mut self.seats[place as usize], place);
    }

    fn count(&self, place: Place) -> u8 {
        let standing = self.standing(place);
        aged(standing.count(), standing.epoch(), self.epoch)
    }

    #[inline]
    fn tick(&mut self) {
        self.accesses += 1;
        if self.accesses >= self.epoch_ends {
            self.accesses = 0;
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// By entries, not by cost: an epoch is so many uses of each.
    fn measure_epoch(&mut self) {
        self.epoch_ends = u64::from(self.expert.memory) * (self.seats.len() as u64).max(1);
    }

    /// Make a resident, who stands so, the newest of a queue, or leave it where it is among the newest.
    #[inline]
    fn move_to(&mut self, place: Place, standing: Standing, into: u16) {
        let from = self.queue(standing.queue());
        if from == usize::from(into) {
            let since = self.moves.wrapping_sub(standing.moved());
            if since > self.queues[from].len / LATELY {
                self.unlink(place, from);
                self.link(place, standing, into);
            }
            return;
        }
        self.leave(place, standing);
        self.enter(place, standing, into);
    }

    fn enter(&mut self, place: Place, standing: Standing, into: u16) {
        let cost = self.links[place as usize].cost;
        let queue = &mut self.queues[usize::from(into)];
        queue.len += 1;
        queue.cost += u64::from(cost);
        self.link(place, standing, into);
    }

    fn leave(&mut self, place: Place, standing: Standing) {
        let cost = self.links[place as usize].cost;
        let from = self.queue(standing.queue());
        let queue = &mut self.queues[from];
        queue.len -= 1;
        queue.cost -= u64::from(cost);
        self.unlink(place, from);
    }

    /// Put somebody at the head of a queue.
    #[inline]
    fn link(&mut self, place: Place, standing: Standing, into: u16) {
        let name = if into == WINDOW {
            self.window_name
        } else {
            into
        };
        self.moves = self.moves.wrapping_add(1);
        self.seats[place as usize].stand(standing.with_queue(name, self.moves));
        let queue = &mut self.queues[usize::from(into)];
        let head = std::mem::replace(&mut queue.head, place);
        let link = &mut self.links[place as usize];
        (link.prev, link.next) = (NOBODY, head);
        match head {
            NOBODY => queue.tail = place,
            head => self.links[head as usize].prev = place,
        }
    }

    #[inline]
    fn unlink(&mut self, place: Place, from: usize) {
        let Link { prev, next, .. } = self.links[place as usize];
        let queue = &mut self.queues[from];
        match prev {
            NOBODY => queue.head = next,
            prev => self.links[prev as usize].next = next,
        }
        match next {
            NOBODY => queue.tail = prev,
            next => self.links[next as usize].prev = prev,
        }
    }

    #[inline]
    fn standing(&self, place: Place) -> Standing {
        self.seats[place as usize].standing()
    }
}

fn some(place: Place) -> Option<Place> {
    (place != NOBODY).then_some(place)
}

/// The part of a hash that stands in the index.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low half")]
fn tag(hash: u64) -> u32 {
    hash as u32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a capacity, to within its rounding"
)]
fn share(capacity: u64, part: f64) -> u64 {
    (capacity as f64 * part) as u64
}
