//! Who is in the cache, in what order they would leave, and who leaves for whom.
//!
//! Three queues, as in W-TinyLFU: new entries pass through a *window* (an LRU); who falls out of it contends with
//! the last one on *probation*, and the one used more often stays; who is used while on probation becomes
//! *protected*. Use counts survive an entry's leaving (`history.rs`) and halve with time. How large the window is
//! and how counts age is the [`Expert`]'s business.
//!
//! Knows hashes and costs, neither keys nor values: those are `shelf.rs`'s, at the same place number.

#![expect(
    clippy::inline_always,
    reason = "a look-up becomes one function: its parts take as long as a call of them"
)]

use hashbrown::HashTable;

use crate::expert::Expert;
use crate::history::{History, aged};

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

#[derive(Clone, Copy)]
struct Link {
    hash: u64,
    prev: Place,
    next: Place,
    cost: u32,
    /// Its queue: [`PROBATION`], [`PROTECTED`], or the name that the window had when it came in. Whoever bears an
    /// old name of the window is on probation.
    queue: u16,
    count: u8,
    epoch: u8,
}

#[derive(Clone, Copy)]
struct Queue {
    head: Place,
    tail: Place,
    cost: u64,
}

const EMPTY: Queue = Queue {
    head: NOBODY,
    tail: NOBODY,
    cost: 0,
};

/// The residents of one cache, or of the shadow of one.
pub(crate) struct Residents {
    index: HashTable<Place>,
    links: Vec<Link>,
    /// The first free place; the others follow by `next`.
    free: Place,
    queues: [Queue; QUEUES],
    history: History,
    expert: Expert,
    capacity: u64,
    /// What the window is called just now.
    window_name: u16,
    window: u64,
    protected: u64,
    epoch: u8,
    /// Accesses in this epoch, and how many end it.
    accesses: u64,
    epoch_ends: u64,
}

impl Residents {
    pub(crate) fn new(capacity: u64, expert: Expert) -> Self {
        let mut residents = Self {
            index: HashTable::new(),
            links: Vec::new(),
            free: NOBODY,
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
        let (window, probation) = (
            self.queues[usize::from(WINDOW)],
            self.queues[usize::from(PROBATION)],
        );
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
            cost: window.cost + probation.cost,
        };
        self.queues[usize::from(WINDOW)] = EMPTY;
        self.window_name = self.window_name.checked_add(1).unwrap_or_else(|| {
            // Once in 65,000 changes all names are used up: then whoever has an old one gets the right one.
            for link in self.links.iter_mut().filter(|link| link.queue >= WINDOW) {
                link.queue = PROBATION;
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

    pub(crate) fn cost_of(&self, place: Place) -> u32 {
        self.links[place as usize].cost
    }

    pub(crate) fn hash_of(&self, place: Place) -> u64 {
        self.links[place as usize].hash
    }

    /// Find a resident: `same` is asked for every one with this very hash.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(Place) -> bool) -> Option<Place> {
        self.index
            .find(hash, |&place| {
                self.links[place as usize].hash == hash && same(place)
            })
            .copied()
    }

    /// Note that a resident was used; gives its hash and cost.
    #[inline(always)]
    pub(crate) fn touch(&mut self, place: Place) -> (u64, u32) {
        self.tick();
        let epoch = self.epoch;
        let link = &mut self.links[place as usize];
        let known = (link.hash, link.cost);
        if link.epoch != epoch {
            link.count = aged(link.count, link.epoch, epoch);
            link.epoch = epoch;
        }
        link.count = link.count.saturating_add(1);
        let queue = link.queue;
        // A window of everything is an LRU: whoever is used belongs into it.
        if queue == self.window_name || self.window >= self.capacity {
            self.move_to(place, WINDOW);
        } else {
            self.move_to(place, PROTECTED);
            while self.queues[usize::from(PROTECTED)].cost > self.protected {
                self.move_to(self.queues[usize::from(PROTECTED)].tail, PROBATION);
            }
        }
        known
    }

    /// Take in a new resident, and tell `leaves` who has to leave for it: never the new one itself.
    ///
    /// `cost` must not exceed the capacity.
    pub(crate) fn admit(&mut self, hash: u64, cost: u32, leaves: impl FnMut(Place)) -> Place {
        self.tick();
        let link = Link {
            hash,
            prev: NOBODY,
            next: NOBODY,
            cost,
            queue: 0,
            count: self.history.take(hash, self.epoch).saturating_add(1),
            epoch: self.epoch,
        };
        let place = if self.free == NOBODY {
            self.links.push(link);
            self.history.reserve(self.links.len());
            self.measure_epoch();
            Place::try_from(self.links.len() - 1).unwrap_or(NOBODY)
        } else {
            let place = self.free;
            self.free = self.links[place as usize].next;
            self.links[place as usize] = link;
            place
        };
        let links = &self.links;
        self.index
            .insert_unique(hash, place, |&place| links[place as usize].hash);
        self.push(place, WINDOW);
        self.settle(place, leaves);
        place
    }

    /// Change what a resident costs; `leaves` hears who has to leave for it.
    pub(crate) fn reprice(&mut self, place: Place, cost: u32, leaves: impl FnMut(Place)) {
        let link = &mut self.links[place as usize];
        let before = std::mem::replace(&mut link.cost, cost);
        let at = self.queue(self.links[place as usize].queue);
        let queue = &mut self.queues[at];
        queue.cost = queue.cost - u64::from(before) + u64::from(cost);
        if self.cost() > self.capacity {
            self.move_to(place, WINDOW);
            self.settle(place, leaves);
        }
    }

    /// Take a resident out, without remembering it.
    pub(crate) fn remove(&mut self, place: Place) {
        self.unlink(place);
        let hash = self.links[place as usize].hash;
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == place) {
            entry.remove();
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
    pub(crate) fn settle(&mut self, newest: Place, mut leaves: impl FnMut(Place)) {
        while self.queues[usize::from(WINDOW)].cost > self.window {
            let candidate = self.queues[usize::from(WINDOW)].tail;
            if candidate == newest {
                break;
            }
            if self.cost() <= self.capacity {
                self.move_to(candidate, PROBATION);
                continue;
            }
            let victim = self.victim();
            if victim != NOBODY && self.wins(candidate, victim) {
                self.evict(victim, &mut leaves);
                self.move_to(candidate, PROBATION);
            } else {
                if victim != NOBODY && self.expert.wears {
                    let count = self.count(victim).saturating_sub(1);
                    let link = &mut self.links[victim as usize];
                    (link.count, link.epoch) = (count, self.epoch);
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

    fn evict(&mut self, place: Place, leaves: &mut impl FnMut(Place)) {
        let hash = self.links[place as usize].hash;
        self.history.put(hash, self.count(place), self.epoch);
        self.remove(place);
        leaves(place);
    }

    fn count(&self, place: Place) -> u8 {
        let link = &self.links[place as usize];
        aged(link.count, link.epoch, self.epoch)
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
        self.epoch_ends = u64::from(self.expert.memory) * (self.links.len() as u64).max(1);
    }

    #[inline]
    fn move_to(&mut self, place: Place, queue: u16) {
        if self.queues[usize::from(queue)].head != place {
            self.unlink(place);
            self.push(place, queue);
        }
    }

    #[inline]
    fn unlink(&mut self, place: Place) {
        let Link {
            prev,
            next,
            queue,
            cost,
            ..
        } = self.links[place as usize];
        let at = self.queue(queue);
        let queue = &mut self.queues[at];
        queue.cost -= u64::from(cost);
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
    fn push(&mut self, place: Place, into: u16) {
        let name = if into == WINDOW {
            self.window_name
        } else {
            into
        };
        let queue = &mut self.queues[usize::from(into)];
        let head = queue.head;
        let link = &mut self.links[place as usize];
        link.queue = name;
        (link.prev, link.next) = (NOBODY, head);
        queue.cost += u64::from(link.cost);
        queue.head = place;
        match head {
            NOBODY => queue.tail = place,
            head => self.links[head as usize].prev = place,
        }
    }
}

fn some(place: Place) -> Option<Place> {
    (place != NOBODY).then_some(place)
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
